/** One output: its text, its rank, the rating from 1 to 7 and the eleven flags. */

import { segmented } from "../lib/controls.js";
import { h, newId } from "/common/dom.js";
import { t } from "../lib/i18n.js";
import { textView } from "../lib/text.js";
import * as board from "./board.js";
import { letter } from "./boardview.js";

/** The flags with the key that sets each; all but one name a fault or something to be careful with. */
export const FLAG_KEYS = {
  fails_instruction: "f",
  inappropriate: "i",
  hallucination: "h",
  satisfies_constraint: "c",
  sexual: "s",
  violent: "v",
  encourages_harm: "e",
  denigrates: "d",
  harmful_advice: "a",
  opinion: "o",
  moral_judgement: "m",
};
export const FLAGS = Object.keys(FLAG_KEYS);
const RATINGS = [1, 2, 3, 4, 5, 6, 7];

/**
 * @param {object} of
 * @param {number} of.card
 * @param {string} of.text
 * @param {{overall: number | null, flags: string[]}} of.rating changed in place
 * @param {() => number[][]} of.levels
 * @param {() => void} of.changed
 * @param {(levels: number[][], card: number) => void} of.move
 */
export function cardView({ card, text, rating, levels, changed, move }) {
  const name = letter(card);
  const head = h("h2.letter.grip", { id: newId("output"), "aria-label": t("output", { letter: name }), title: t("rank.drag") }, name);
  const rank = h("span.rank-words", {});
  const overall = segmented(t("rate.overall"), RATINGS.map((n) => [n, String(n)]), rating.overall, rate, {
    ends: [t("rate.worst"), t("rate.best")],
  });
  const boxes = {};
  const flags = h(
    "fieldset.flags",
    {},
    h("legend", {}, t("flags.legend")),
    FLAGS.map((flag) => {
      const box = h("input", {
        type: "checkbox",
        checked: rating.flags.includes(flag),
        onchange: () => setFlag(flag, box.checked),
        "aria-keyshortcuts": FLAG_KEYS[flag],
      });
      boxes[flag] = box;
      const good = flag === "satisfies_constraint" ? ".good" : "";
      return h(`label.flag${good}`, { title: t(`flag.${flag}.long`) }, box, h("span", {}, t(`flag.${flag}`)), h("kbd", { "aria-hidden": "true" }, FLAG_KEYS[flag]));
    }),
  );
  const step = (sign, words, change) =>
    h("button.icon.small", { type: "button", "aria-label": words, title: words, onclick: () => move(change(levels(), card), card) }, sign);
  const element = h(
    "article.card.output",
    { "aria-labelledby": head.id, tabindex: -1, "data-card": card },
    h(
      "header",
      {},
      head,
      rank,
      step("▲", t("rank.up", { letter: name }), board.raise),
      step("▼", t("rank.down", { letter: name }), board.lower),
    ),
    textView(text),
    overall,
    flags,
  );

  function rate(value) {
    rating.overall = value;
    overall.set(value);
    element.classList.remove("wanted");
    changed();
  }

  function setFlag(flag, on) {
    rating.flags = FLAGS.filter((one) => (one === flag ? on : rating.flags.includes(one)));
    boxes[flag].checked = on;
    changed();
  }

  return {
    element,
    head,
    overall,
    rate,
    toggleFlag: (flag) => setFlag(flag, !rating.flags.includes(flag)),
    draw: () => {
      rank.textContent = rankWords(levels(), card);
      rank.classList.toggle("ranked", board.rankOf(levels(), card) !== null);
    },
  };
}

/** "Rank 2, tied with D". */
export function rankWords(levels, card) {
  const rank = board.rankOf(levels, card);
  if (rank === null) return t("rank.not");
  const others = levels[rank - 1].filter((one) => one !== card).map(letter);
  return others.length ? t("rank.isTie", { rank, others: others.join(", ") }) : t("rank.is", { rank });
}
