/**
 * What has been typed for a task so far. Kept twice: in this browser at once, and on the server a moment later.
 * So a reload, a crash, a lost connection or another computer find it again.
 */

import * as api from "./api.js";
import { connected, onConnection } from "./connection.js";
import { forget, recall, remember, remembered } from "/common/memory.js";

const START = "draft/";
const SERVER_WAIT = 1500; // milliseconds of rest before the server is told
const LONGEST_HOLD = 1000;
const KEPT_DAYS = 30;

/**
 * @typedef {object} Kept
 * @property {any} content what the editor needs to show it again
 * @property {number} seconds on the task so far
 * @property {number} at milliseconds since 1970, of the browser that kept it
 */

export class Draft {
  /**
   * @param {string} assignment
   * @param {Kept | null} onServer the task's `draft`
   * @param {() => number} seconds the clock
   * @param {boolean} server whether the server keeps one of it as well: not of a correction
   */
  constructor(assignment, onServer, seconds, server) {
    this.server = server;
    this.name = START + assignment;
    this.assignment = assignment;
    this.seconds = seconds;
    const here = recall(this.name);
    const there = isKept(onServer) ? onServer : null;
    this.kept = isKept(here) && (!there || here.at >= there.at) ? here : there;
    this.saved = !isKept(here) || this.kept === there; // whether the server has all of it
    this.over = false;
    this.held = false; // the answer itself is on its way
    this.going = null; // the draft is
    this.timer = 0;
    this.onState = null; // told "saving" | "saved" | "here" | "over"
    this.leave = () => document.hidden && this.keepTime();
    document.addEventListener("visibilitychange", this.leave);
    this.stopListening = onConnection((now) => now && this.toServer());
    if (!this.saved) this.later();
  }

  /** Keep this. */
  set(content) {
    if (this.over) return;
    this.kept = { content, seconds: this.seconds(), at: Date.now() };
    remember(this.name, this.kept);
    this.saved = false;
    this.onState?.(connected() && this.server ? "saving" : "here");
    this.later();
  }

  /** The time goes on even if nothing is typed. */
  keepTime() {
    if (this.kept && !this.over) remember(this.name, { ...this.kept, seconds: this.seconds() });
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.toServer(), SERVER_WAIT);
  }

  /** Tell the server now; a promise of that, or null if there is nothing to tell. */
  toServer() {
    clearTimeout(this.timer);
    if (!this.server || this.saved || this.held || this.over || !this.kept) return null;
    this.going = this.send();
    return this.going;
  }

  async send() {
    const sent = this.kept;
    try {
      await api.saveDraft(this.assignment, sent);
      this.saved = this.kept === sent;
      if (this.saved && !this.over) this.onState?.("saved");
    } catch (error) {
      const over = error instanceof api.Refused && error.status === 409; // done in another window
      if (over) this.server = false;
      this.onState?.(over ? "over" : "here");
    }
  }

  /** The answer is sent: no draft overtakes it. One that is on its way is waited for, a little. */
  async hold() {
    this.held = true;
    clearTimeout(this.timer);
    await Promise.race([this.going, new Promise((resolve) => setTimeout(resolve, LONGEST_HOLD))]);
  }

  /** It was not taken: drafts go on. */
  release() {
    this.held = false;
    if (!this.saved) this.later();
  }

  /** It was handed in, or is of no use any more. */
  discard() {
    forget(this.name);
    this.close();
  }

  /** The page is left; what was typed stays. */
  close() {
    this.keepTime();
    this.over = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.leave);
    this.stopListening();
  }
}

function isKept(value) {
  return Boolean(value) && typeof value === "object" && "content" in value && Number.isFinite(value.at);
}

/** Forget drafts that nobody came back to, and with `all` every one: somebody signs out of a shared computer. */
export function sweep(all = false) {
  const old = Date.now() - KEPT_DAYS * 86400 * 1000;
  for (const name of remembered(START)) {
    const kept = recall(name);
    if (all || !isKept(kept) || kept.at < old) forget(name);
  }
}
