/** Saying things: to screen readers, and as a short notice that goes away by itself. */

import { Refused, Unreachable } from "./api.js";
import { h } from "/common/dom.js";

const NOTICE_FOR = 5000;

const polite = h("div.sr", { "aria-live": "polite", role: "status", id: "live" });
const urgent = h("div.sr", { "aria-live": "assertive", role: "alert", id: "live-urgent" });
const notices = h("div.notices", { id: "notices" });

/** The places for it, to be put on the page once. */
export const places = [polite, urgent, notices];

/** Tell screen readers. Saying the same twice is heard twice. */
export function announce(words, now = false) {
  const place = now ? urgent : polite;
  place.textContent = "";
  requestAnimationFrame(() => {
    place.textContent = words;
  });
}

/** A notice for everybody. */
export function notice(words, kind = "good") {
  const shown = h(`div.notice.${kind}`, {}, words);
  notices.append(shown);
  announce(words, kind === "bad");
  setTimeout(() => shown.remove(), NOTICE_FOR);
}

/** Do something, and say so if the server did not; whether it did. */
export async function tried(act) {
  try {
    await act();
    return true;
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    notice(error.message, "bad");
    return false;
  }
}
