/** Whether the server answers. When it stops to, we ask again, ever more slowly, until it does. */

const FIRST_WAIT = 1000;
const LAST_WAIT = 15000;

let there = navigator.onLine;
let timer = 0;
let wait = FIRST_WAIT;
const listeners = new Set();

/** Whether the last we heard was an answer. */
export function connected() {
  return there;
}

/** Be told of changes; returns how to stop that. */
export function onConnection(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** A request came back. */
export function answered() {
  clearTimeout(timer);
  wait = FIRST_WAIT;
  set(true);
}

/** A request did not come back. */
export function lost() {
  set(false);
  clearTimeout(timer);
  timer = setTimeout(ask, wait);
  wait = Math.min(LAST_WAIT, wait * 2);
}

async function ask() {
  try {
    const answer = await fetch("/api/session", { cache: "no-store", credentials: "same-origin" });
    if (answer.status < 500) answered();
    else lost();
  } catch {
    lost();
  }
}

function set(now) {
  if (now === there) return;
  there = now;
  for (const listener of [...listeners]) listener(now);
}

addEventListener("offline", () => lost());
addEventListener("online", () => {
  wait = FIRST_WAIT;
  ask();
});
if (!there) lost();
