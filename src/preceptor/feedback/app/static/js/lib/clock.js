/** Time on a task: seconds during which its page could be seen. */

const TICK = 1000;
const LONGEST = 5000; // a longer gap between ticks is a machine that slept

export class Clock {
  /** @param {number} seconds what an earlier visit has counted */
  constructor(seconds) {
    this.counted = seconds * 1000;
    this.last = performance.now();
    this.listener = null;
    this.onVisibility = () => this.tick();
    this.wasVisible = !document.hidden;
    document.addEventListener("visibilitychange", this.onVisibility);
    this.timer = setInterval(() => this.tick(), TICK);
  }

  tick() {
    const now = performance.now();
    if (this.wasVisible) this.counted += Math.min(now - this.last, LONGEST);
    this.last = now;
    this.wasVisible = !document.hidden;
    this.listener?.(this.counted / 1000);
  }

  /** Seconds until now. */
  seconds() {
    this.tick();
    return Math.round(this.counted / 100) / 10;
  }

  stop() {
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.onVisibility);
  }
}
