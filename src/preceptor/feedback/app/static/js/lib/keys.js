/**
 * Keys. A page binds what it offers; `?` shows the list. Single letters do nothing while somebody types,
 * while a dialog is open, or when they were switched off (WCAG 2.1.4).
 */

import { openDialog } from "./dialog.js";
import { h } from "/common/dom.js";
import { t } from "./i18n.js";
import { recall, remember } from "/common/memory.js";

/**
 * @typedef {object} Key
 * @property {string} key as in KeyboardEvent.key, lower case: "j", "arrowup", "enter"; or "digit" for 1 to 9
 * @property {boolean} [shift]
 * @property {boolean} [ctrl] or Command; such keys work in text fields as well
 * @property {string} [shown] how it is written, where that is not its name
 * @property {string} does the key of its words
 * @property {(digit: number) => void} run
 */

let bound = [];

/** Offer keys; returns how to take them back. */
export function bindKeys(keys) {
  bound = [...bound, ...keys];
  return () => {
    bound = bound.filter((one) => !keys.includes(one));
  };
}

function typing(target) {
  if (target.matches?.("textarea, select, [contenteditable]")) return true;
  return target.matches?.("input") && !["radio", "checkbox", "button", "submit"].includes(target.type);
}

function pressed(event) {
  const letter = /^Key([A-Z])$/.exec(event.code);
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code);
  if (digit && (event.shiftKey || /^[0-9]$/.test(event.key))) return digit[1];
  if (event.key === "Process" && letter) return letter[1].toLowerCase(); // an input method is on
  return event.key.toLowerCase();
}

function matches(one, event, key) {
  const ctrl = event.ctrlKey || event.metaKey;
  if (Boolean(one.ctrl) !== ctrl || event.altKey) return false;
  if (one.key === "?") return key === "?";
  if (Boolean(one.shift) !== event.shiftKey) return false;
  return one.key === "digit" ? /^[1-9]$/.test(key) : one.key === key;
}

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.defaultPrevented) return;
  if (event.key === "Escape" && typing(event.target) && !document.querySelector("dialog[open]")) {
    (event.target.closest("[data-card]") ?? document.querySelector("main"))?.focus();
    return;
  }
  if (document.querySelector("dialog[open]")) return;
  const key = pressed(event);
  const found = [...bound, HELP].find((one) => matches(one, event, key));
  if (!found) return;
  if (!found.ctrl && (typing(event.target) || (!singleKeys() && found !== HELP))) return;
  event.preventDefault();
  found.run(Number(key));
});

/** Whether keys without Ctrl work. */
function singleKeys() {
  return recall("single-keys") !== false;
}

/** How a key is written. */
function keyName(one) {
  const names = { arrowup: "↑", arrowdown: "↓", enter: "Enter", backspace: "Backspace" };
  const key = one.shown ?? names[one.key] ?? one.key.toUpperCase();
  return [one.ctrl ? "Ctrl" : null, one.shift ? "Shift" : null, key].filter(Boolean);
}

function showKeys() {
  const rows = [...bound, HELP].map((one) =>
    h("div.key-row", {}, h("dt", {}, keyName(one).map((name) => h("kbd", {}, name))), h("dd", {}, t(one.does))),
  );
  const toggle = h("input", {
    type: "checkbox",
    checked: singleKeys(),
    onchange: () => remember("single-keys", toggle.checked),
  });
  openDialog(
    t("keys.title"),
    [h("dl.keys", {}, rows), h("label.line", {}, toggle, t("keys.single")), h("p.hint", {}, t("keys.escape"))],
    { wide: true },
  );
}

const HELP = { key: "?", does: "keys.help", run: showKeys };

/** The button that shows the list, for those who do not know of `?`. */
export function keysButton() {
  return h("button.icon", { type: "button", onclick: showKeys, "aria-label": t("keys.title"), title: t("keys.title") }, "?");
}
