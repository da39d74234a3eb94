/**
 * Markdown of a model as elements. It is read into elements directly; no string ever becomes HTML, so that nothing in it
 * can run. Pictures are left as text: they would tell their server who reads. What is not understood stays as it is.
 */

import { h } from "/common/dom.js";

const LONGEST = 60000; // characters; longer texts are shown as they are
const LONGEST_INLINE = 10000; // of one paragraph
const DEEPEST = 12;

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(?: +|$)/;
const CELLS = /^\s*\|?(?:\s*:?-+:?\s*\|)+(?:\s*:?-+:?\s*)?$/;
const INLINE = new RegExp(
  [
    "\\\\([!-/:-@[-`{-~])", // 1 escaped
    "(`+)([\\s\\S]*?[^`])\\2(?!`)", // 2, 3 code
    "\\*\\*(?=\\S)([\\s\\S]*?\\S)\\*\\*(?!\\*)", // 4 strong
    "\\*(?=[^\\s*])([^*]*[^\\s*])\\*", // 5 emphasis
    "(?<![\\p{L}\\p{N}_])_(?=[^\\s_])([^_]*[^\\s_])_(?![\\p{L}\\p{N}_])", // 6 emphasis
    "~~(?=\\S)([\\s\\S]*?\\S)~~", // 7 struck out
    "(?<!!)\\[([^\\[\\]\\n]{1,500})\\]\\(([^()\\s]{1,2000})\\)", // 8, 9 link
  ].join("|"),
  "gu",
);

/**
 * @param {string} text
 * @param {(code: string) => Node} tool what stands above a block of code
 * @returns {Node[]}
 */
export function markdown(text, tool) {
  if (text.length > LONGEST) return [h("p.plain", {}, text)];
  return blocks(text.replace(/\r\n?/g, "\n").split("\n"), tool, 0);
}

function blocks(lines, tool, depth) {
  if (depth > DEEPEST) return [h("p", {}, lines.join("\n"))];
  const made = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    if (!line.trim()) {
      at += 1;
      continue;
    }
    const read = [fence, heading, rule, quote, list, table].map((one) => one(lines, at, tool, depth));
    const [element, next] = read.find(Boolean) ?? paragraph(lines, at);
    made.push(element);
    at = next;
  }
  return made;
}

function fence(lines, at, tool) {
  const open = FENCE.exec(lines[at]);
  if (!open) return null;
  let end = at + 1;
  const closes = (line) => line.trim().startsWith(open[1]) && !line.trim().replaceAll(open[1][0], "");
  while (end < lines.length && !closes(lines[end])) end += 1;
  const code = lines.slice(at + 1, end).join("\n");
  const head = h("div.code-head", {}, h("span", {}, open[2]), tool(code));
  return [h("div.code", {}, head, h("pre", { tabindex: 0 }, h("code", {}, code))), end + 1];
}

function heading(lines, at) {
  const found = HEADING.exec(lines[at]);
  // the page's own headings come first
  return found && [h(`h${Math.min(6, found[1].length + 2)}`, {}, inline(found[2])), at + 1];
}

function rule(lines, at) {
  return RULE.test(lines[at]) ? [h("hr"), at + 1] : null;
}

function quote(lines, at, tool, depth) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  if (end === at) return null;
  const inside = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  return [h("blockquote", {}, blocks(inside, tool, depth + 1)), end];
}

function list(lines, at, tool, depth) {
  const first = ITEM.exec(lines[at]);
  if (!first) return null;
  const ordered = /\d/.test(first[2]);
  const items = [];
  let end = at;
  while (end < lines.length) {
    const item = ITEM.exec(lines[end]);
    if (item && item[1].length < first[1].length + 2 && /\d/.test(item[2]) === ordered && !RULE.test(lines[end])) {
      items.push([lines[end].slice(item[0].length)]);
    } else if (/^\s{2,}\S/.test(lines[end])) {
      items.at(-1).push(lines[end].replace(/^\s{2,4}/, ""));
    } else if (!lines[end].trim() && (ITEM.test(lines[end + 1] ?? "") || /^\s{2,}\S/.test(lines[end + 1] ?? ""))) {
      items.at(-1).push("");
    } else break;
    end += 1;
  }
  const made = items.map((inside) => h("li", {}, unwrapped(blocks(inside, tool, depth + 1))));
  return [ordered ? h("ol", { start: parseInt(first[2], 10) }, made) : h("ul", {}, made), Math.max(end, at + 1)];
}

/** An item's only paragraph needs no space around it. */
function unwrapped(nodes) {
  return nodes[0]?.localName === "p" ? [...nodes[0].childNodes, ...nodes.slice(1)] : nodes;
}

function table(lines, at) {
  if (!lines[at].includes("|") || !CELLS.test(lines[at + 1] ?? "")) return null;
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => inline(cell.trim()));
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|")) end += 1;
  const row = (line, tag) => h("tr", {}, cells(line).map((cell) => h(tag, {}, cell)));
  const body = lines.slice(at + 2, end).map((line) => row(line, "td"));
  return [h("div.scroll", { tabindex: 0 }, h("table", {}, h("caption.sr", {}, lines[at]), h("thead", {}, row(lines[at], "th")), h("tbody", {}, body))), end];
}

const INTERRUPTS = [FENCE, HEADING, RULE, QUOTE, ITEM];

function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !INTERRUPTS.some((one) => one.test(lines[end]))) end += 1;
  return [h("p", {}, inline(lines.slice(at, end).join("\n"))), end];
}

function inline(text, depth = 0) {
  if (depth > DEEPEST || text.length > LONGEST_INLINE) return [text];
  const made = [];
  let last = 0;
  for (const found of text.matchAll(INLINE)) {
    made.push(text.slice(last, found.index));
    made.push(span(found, depth + 1));
    last = found.index + found[0].length;
  }
  made.push(text.slice(last));
  return made;
}

function span(found, depth) {
  const [whole, escaped, , code, strong, star, under, struck, label, address] = found;
  if (escaped) return escaped;
  if (code) return h("code", {}, code);
  if (strong) return h("strong", {}, inline(strong, depth));
  if (star || under) return h("em", {}, inline(star || under, depth));
  if (struck) return h("s", {}, inline(struck, depth));
  if (!/^(https?:\/\/|mailto:)/i.test(address)) return whole;
  return h("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, inline(label, depth));
}
