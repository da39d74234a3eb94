/** Saying things to screen readers, and copying. */

import { h } from "/common/dom.js";
import { t } from "./words.js";

export const live = h("div.sr", { "aria-live": "polite", role: "status", id: "live" });

/** Tell screen readers. Saying the same twice is heard twice. */
export function say(words) {
  live.textContent = "";
  requestAnimationFrame(() => {
    live.textContent = words;
  });
}

/** A button that copies what `text` gives. */
export function copyButton(label, text) {
  return h("button.quiet", { type: "button", onclick: () => copy(text()) }, label);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyTheOldWay(text); // over plain http a browser has no clipboard to write to
  }
  say(t("copied"));
}

function copyTheOldWay(text) {
  const before = document.activeElement;
  const box = h("textarea.sr", { value: text });
  document.body.append(box);
  box.select();
  document.execCommand("copy");
  box.remove();
  before?.focus();
}
