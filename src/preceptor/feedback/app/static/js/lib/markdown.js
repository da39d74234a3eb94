/**
 * From sanitised HTML to elements. The server has cleaned it; we trust that no more than need be: it is parsed into a
 * document without scripts that is never shown, and only what is on this list is built anew, without attributes.
 */

import { h } from "/common/dom.js";

const ALLOWED = new Set(
  ("p br hr em strong del s code pre blockquote ul ol li h1 h2 h3 h4 h5 h6 " +
    "table thead tbody tr th td sub sup").split(" "),
);
const LEFT_OUT = new Set("script style template iframe object embed noscript svg math title textarea".split(" "));
const DEEPEST = 60;

const policy = globalThis.trustedTypes?.createPolicy("preceptor", { createHTML: (html) => html });

/**
 * @param {string} html
 * @param {(text: string) => any[]} words how the text in it is shown
 * @returns {Node[]}
 */
export function build(html, words) {
  const inert = new DOMParser().parseFromString(policy ? policy.createHTML(html) : html, "text/html");
  return copies(inert.body, words, 0);
}

function copies(parent, words, depth) {
  return depth > DEEPEST ? [] : [...parent.childNodes].flatMap((node) => copy(node, words, depth));
}

function copy(node, words, depth) {
  if (node.nodeType === Node.TEXT_NODE) return words(node.data);
  if (node.nodeType !== Node.ELEMENT_NODE) return [];
  const tag = node.localName;
  if (LEFT_OUT.has(tag)) return [];
  const inside = copies(node, words, depth + 1);
  if (tag === "a") return [h("span.link", {}, inside), ...address(node, words)];
  if (tag === "img") return [h("span.muted", {}, "[", words(node.getAttribute("alt") || "image"), "]")];
  if (!ALLOWED.has(tag)) return inside;
  const heading = /^h([1-6])$/.exec(tag); // the page's own headings come first
  const made = h(heading ? `h${Math.min(6, Number(heading[1]) + 3)}` : tag, {}, inside);
  return [tag === "table" ? h("div.scroll", {}, made) : made];
}

/** Where a link goes, to be read, not to be clicked: strangers wrote it. */
function address(node, words) {
  const href = node.getAttribute("href");
  return href && href !== node.textContent ? [h("span.muted", {}, " (", words(href), ")")] : [];
}
