/** The lock on a task: extended while somebody works, and only then. */

import * as api from "../lib/api.js";
import { t } from "../lib/i18n.js";

const EVERY = 15000;
const RENEWED_AT = 2 / 3; // of its time left

/**
 * @param {object} task
 * @param {string} now time of the server, when it gave the task
 * @param {(words: string) => void} say
 * @returns {() => void} how to stop
 */
export function keepLock(task, now, say) {
  let offset = Date.parse(now) - Date.now();
  let until = Date.parse(task.expires_at);
  const whole = until - Date.parse(task.locked_at);
  let active = true;
  let lostIt = false;
  const sign = () => {
    active = true;
  };
  const tick = async () => {
    const left = until - (Date.now() + offset);
    if (!active || lostIt || left > whole * RENEWED_AT) return;
    active = false;
    try {
      const said = await api.extend(task.assignment);
      until = Date.parse(said.expires_at);
      offset = Date.parse(said.now) - Date.now();
    } catch (error) {
      active = error instanceof api.Unreachable; // then once more
      lostIt = error instanceof api.Refused && error.status === 409;
      if (lostIt) say(t("lock.lost"));
    }
  };
  const timer = setInterval(tick, Math.min(EVERY, Math.max(1000, whole / 4)));
  for (const kind of ["keydown", "pointerdown", "wheel"]) document.addEventListener(kind, sign, { passive: true });
  tick();
  return () => {
    clearInterval(timer);
    for (const kind of ["keydown", "pointerdown", "wheel"]) document.removeEventListener(kind, sign);
  };
}
