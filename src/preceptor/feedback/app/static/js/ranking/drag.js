/** Dragging with mouse, finger or pen, by pointer events: what is dragged follows as a ghost, targets light up. */

const FAR = 5; // pixels until a press becomes a drag
const EDGE = 60; // pixels from the window's edge in which the page scrolls
const STEP = 12; // pixels, 60 times a second

/**
 * Make something draggable.
 *
 * @param {HTMLElement} handle what is pressed. A finger must be on a grip in it (`.grip`, with the style
 *   `touch-action: none`), for elsewhere it scrolls
 * @param {object} what
 * @param {() => HTMLElement} what.ghost what follows the pointer
 * @param {(x: number, y: number) => {mark: HTMLElement, drop: () => void} | null} what.target
 */
export function draggable(handle, what) {
  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    if (event.pointerType === "touch" && !event.target.closest(".grip")) return;
    const from = { x: event.clientX, y: event.clientY };
    let drag = null;
    const move = (now) => {
      if (!drag && Math.hypot(now.clientX - from.x, now.clientY - from.y) < FAR) return;
      drag ??= begin(what);
      drag.to(now.clientX, now.clientY);
    };
    const end = (now) => {
      stop();
      if (!drag) return;
      handle.addEventListener("click", swallow, { capture: true, once: true });
      setTimeout(() => handle.removeEventListener("click", swallow, { capture: true }), 0);
      drag.end(now.type === "pointerup");
    };
    const escape = (key) => {
      if (key.key !== "Escape") return;
      stop();
      drag?.end(false);
    };
    const stop = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
      removeEventListener("keydown", escape, true);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
    addEventListener("keydown", escape, true);
  });
  handle.addEventListener("dragstart", (event) => event.preventDefault());
}

function swallow(event) {
  event.stopPropagation();
  event.preventDefault();
}

function begin(what) {
  const ghost = what.ghost();
  ghost.classList.add("ghost");
  ghost.setAttribute("aria-hidden", "true");
  document.body.append(ghost);
  document.documentElement.classList.add("dragging");
  let found = null;
  let last = { x: 0, y: 0 };
  const look = () => {
    const now = what.target(last.x, last.y);
    if (now?.mark !== found?.mark) {
      found?.mark.classList.remove("target");
      now?.mark.classList.add("target");
    }
    found = now;
  };
  const scroller = setInterval(() => {
    if (last.y < EDGE) scrollBy(0, -STEP);
    else if (last.y > innerHeight - EDGE) scrollBy(0, STEP);
    else return;
    look();
  }, 16);
  return {
    to(x, y) {
      last = { x, y };
      ghost.style.transform = `translate(${x + 8}px, ${y + 8}px)`;
      look();
    },
    end(dropped) {
      clearInterval(scroller);
      ghost.remove();
      document.documentElement.classList.remove("dragging");
      found?.mark.classList.remove("target");
      if (dropped) found?.drop();
    },
  };
}
