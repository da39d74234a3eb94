/**
 * Showing what models and people wrote. As text it is a text node and nothing else; characters that would hide
 * something or turn the direction of what follows are shown by their names. As Markdown it is the server's
 * sanitised HTML, built anew here from a list of what may be.
 */

import * as api from "./api.js";
import { h, refill } from "/common/dom.js";
import { t } from "./i18n.js";
import { build } from "./markdown.js";
import { recall, remember } from "/common/memory.js";

// Controls (but tab and line feed), soft hyphen, Arabic letter mark, zero-width space, marks, overrides and isolates,
// joiners of words, byte order mark, tags. Not ZWJ and ZWNJ: emoji and Persian need them.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\u{e0000}-\u{e007f}]/gu;

let asMarkdown = recall("markdown") === true;
const shown = new WeakMap(); // the text of an element

/** The button that shows everything on the page as Markdown, or as text. */
export function markdownButton() {
  const label = () => button.setAttribute("aria-pressed", String(asMarkdown));
  const toggle = () => {
    asMarkdown = !asMarkdown;
    remember("markdown", asMarkdown);
    label();
    for (const element of document.querySelectorAll(".text")) if (shown.has(element)) draw(element, shown.get(element));
  };
  const button = h("button", { type: "button", onclick: toggle }, t("text.markdown"));
  label();
  return button;
}

/** The pieces of a text: strings, and marks for hidden characters. */
export function pieces(text) {
  const parts = [];
  let last = 0;
  for (const match of text.matchAll(HIDDEN)) {
    parts.push(text.slice(last, match.index));
    const code = `U+${match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
    parts.push(h("span.mark", { title: t("text.hidden", { code }) }, code));
    last = match.index + match[0].length;
  }
  parts.push(text.slice(last));
  return parts.filter((part) => part !== "");
}

/** An element that shows a text as the button says. */
export function textView(text) {
  const element = h("div.text", { dir: "auto" });
  shown.set(element, text);
  draw(element, text);
  return element;
}

async function draw(element, text) {
  element.classList.remove("markdown");
  refill(element, pieces(text));
  if (!asMarkdown || !text.trim()) return;
  try {
    const html = await rendered(text);
    if (!asMarkdown) return;
    element.classList.add("markdown");
    refill(element, build(html, pieces));
  } catch {
    // no connection, or too long: it stays text
  }
}

// Texts that are asked for in the same moment go in one request.
const known = new Map();
let waiting = [];
const AT_ONCE = 20; // the server takes no more

function rendered(text) {
  if (!known.has(text)) {
    if (!waiting.length) queueMicrotask(ask);
    const answer = new Promise((resolve, reject) => waiting.push({ text, resolve, reject }));
    answer.catch(() => known.delete(text));
    known.set(text, answer);
  }
  return known.get(text);
}

async function ask() {
  const asked = waiting.splice(0);
  for (let k = 0; k < asked.length; k += AT_ONCE) {
    const group = asked.slice(k, k + AT_ONCE);
    try {
      const { html } = await api.markdown(group.map((one) => one.text));
      group.forEach((one, i) => one.resolve(html[i]));
    } catch (error) {
      group.forEach((one) => one.reject(error));
    }
  }
}

/** A conversation: who says what. */
export function conversation(messages) {
  const roles = { system: t("role.system"), user: t("role.user"), assistant: t("role.assistant") };
  return h(
    "ol.conversation",
    { "aria-label": t("prompt") },
    messages.map((message) =>
      h(
        `li.message.${message.role in roles ? message.role : "other"}`,
        {},
        h("span.role", {}, roles[message.role] ?? message.role),
        textView(message.content),
      ),
    ),
  );
}
