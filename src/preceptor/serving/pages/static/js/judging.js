/** What the reader says of replies that the server keeps: thumbs, a better text, a choice between two. */

import { h } from "/common/dom.js";
import { Failed, tell } from "./api.js";
import { consentUser } from "./consent.js";
import { say } from "./say.js";
import { t } from "./words.js";

const PREFERRED = { A: 0, B: 1, tie: null };
const isKept = (node) => Boolean(node.reply && node.reply.user === consentUser());

/**
 * The buttons below a reply; none where nothing is kept of it.
 *
 * @param {import("./tree.js").Node} node
 * @param {object} does
 * @param {(save: (text: string, problem: HTMLElement) => void) => void} does.edit opens a box for the reply's text
 * @param {() => void} does.kept the node has changed
 * @param {(text: string) => void} does.rewritten the text is stored
 * @returns {HTMLElement[]}
 */
export function judging(node, { edit, kept, rewritten }) {
  if (!isKept(node)) return [];
  const note = h("span.hint", {});
  const thumb = (which, words, label) =>
    h("button.quiet", { type: "button", "aria-label": t(label), "data-thumb": which, onclick: () => press(which) }, t(words));
  const thumbs = node.rewritten ? [] : [thumb("up", "good", "good.label"), thumb("down", "bad", "bad.label")];
  const paint = () => thumbs.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.thumb === node.thumb)));
  const press = async (which) => {
    const wanted = node.thumb === which ? null : which; // once more takes it back
    const why = await told("thumbs", { reply: { id: node.reply.id }, thumb: wanted });
    if (!why) {
      node.thumb = wanted ?? undefined;
      kept();
      paint();
    }
    note.textContent = why ? t("kept.not", { why }) : t(wanted ? "kept" : "kept.back");
    say(note.textContent);
  };
  const save = async (text, problem) => {
    const why = await told("demonstrations", { reply: { id: node.reply.id }, text });
    if (why) problem.textContent = t("kept.not", { why });
    else {
      rewritten(text);
      say(t("kept"));
    }
  };
  paint();
  return [...thumbs, h("button.quiet", { type: "button", onclick: () => edit(save) }, t("rewrite")), note];
}

/** Tell the server which of two replies was picked, if it keeps both. `done` is called when `pair.told` says how it went. */
export async function sendChoice(pair, replies, done) {
  if (!replies.every(isKept)) return;
  const body = { replies: replies.map((node) => ({ id: node.reply.id })), preferred: PREFERRED[pair.picked] };
  const why = await told("comparisons", body);
  pair.told = why ? t("kept.not", { why }) : t("kept.choice");
  done();
}

/** Why the server did not take it; nothing if it did. */
async function told(what, body) {
  try {
    await tell(what, body);
    return "";
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    return error.message;
  }
}
