/** Ranking K outputs, after rating each. Mouse, finger, keyboard and screen reader all do all of it. */

import { announce } from "../lib/announce.js";
import { noteField } from "../lib/controls.js";
import { h } from "/common/dom.js";
import { t } from "../lib/i18n.js";
import * as board from "./board.js";
import { boardView, letter } from "./boardview.js";
import { cardView, FLAG_KEYS, FLAGS, rankWords } from "./card.js";

/** @returns {import("../tasks/taskpage.js").Editor} */
export function ranking(task, saved, answer, changed) {
  const count = task.outputs.length;
  const state = start(count, saved, answer);
  let current = 0;

  const move = (levels, card) => {
    state.levels = levels;
    current = card;
    redraw();
    announce(`${letter(card)}: ${rankWords(levels, card)}. ${t("rank.toRank", { n: unranked() })}`);
    changed();
  };
  const touched = () => {
    view.draw();
    changed();
  };
  const cards = task.outputs.map((text, card) =>
    cardView({ card, text, rating: state.ratings[card], levels: () => state.levels, changed: touched, move }),
  );
  const view = boardView({
    outputs: task.outputs,
    state: () => ({ levels: state.levels, overalls: state.ratings.map((rating) => rating.overall) }),
    move,
    go: focusCard,
  });
  cards.forEach((card, k) => {
    card.element.addEventListener("focusin", () => (current = k));
    view.makeDraggable(card.head, k);
  });
  view.element.addEventListener("focusin", (event) => {
    const chip = event.target.closest("[data-chip]");
    if (chip) current = Number(chip.dataset.chip);
  });

  const allBad = h("input", {
    type: "checkbox",
    checked: state.all_bad,
    onchange: () => {
      state.all_bad = allBad.checked;
      changed();
    },
  });
  const note = noteField(state.note, (words) => {
    state.note = words;
    changed();
  });
  const order = h("button.quiet", { type: "button", onclick: byRatings }, t("rank.byRatings"));

  function focusCard(card) {
    current = (card + count) % count;
    const { element } = cards[current];
    element.focus({ preventScroll: true });
    element.scrollIntoView({ block: "nearest", behavior: calm() ? "auto" : "smooth" });
  }

  function redraw() {
    view.draw();
    for (const card of cards) card.draw();
  }

  function unranked() {
    return count - state.levels.flat().length;
  }

  function byRatings() {
    state.levels = board.byRatings(state.ratings.map((rating) => rating.overall));
    redraw();
    announce(t("rank.sorted", { n: unranked() }));
    changed();
  }

  const unrated = () => state.ratings.filter((rating) => rating.overall === null).length;
  redraw();
  return {
    element: h("div.outputs", { "aria-label": t("outputs"), role: "group" }, cards.map((card) => card.element)),
    side: h(
      "aside.side.card",
      { "aria-label": t("rank.title") },
      h("div.side-head", {}, h("h2", {}, t("rank.title")), order),
      h("p.hint", {}, t("rank.hint")),
      view.element,
      h("label.line", { title: t("allBad.long") }, allBad, t("allBad")),
      note,
    ),
    content: () => structuredClone(state),
    missing: () => [unrated() ? t("rate.missing", { n: unrated() }) : "", unranked() ? t("rank.toRank", { n: unranked() }) : ""].filter(Boolean),
    answer: () => {
      const k = state.ratings.findIndex((rating) => rating.overall === null);
      if (k >= 0) {
        cards[k].element.classList.add("wanted");
        return { problem: t("rate.wanted", { letter: letter(k) }), focus: cards[k].overall.inputs[0] };
      }
      if (unranked()) {
        const card = board.toRanks(state.levels, count).indexOf(null);
        return { problem: t("rank.wanted", { letter: letter(card) }), focus: view.element.querySelector(`[data-chip="${card}"] [data-do=up]`) };
      }
      const { ratings, all_bad, note: words } = structuredClone(state);
      return { payload: { kind: "ranking", ranks: board.toRanks(state.levels, count), ratings, all_bad, note: words } };
    },
    readable: () => readable(state, task.outputs),
    keys: [
      { key: "j", does: "keys.next", run: () => focusCard(onCard() ? current + 1 : current) },
      { key: "k", does: "keys.previous", run: () => focusCard(onCard() ? current - 1 : current) },
      { key: "digit", shown: "1–7", does: "keys.rate", run: (n) => n <= 7 && cards[current].rate(n) },
      { key: "arrowup", shift: true, does: "keys.up", run: () => move(board.raise(state.levels, current), current) },
      { key: "arrowdown", shift: true, does: "keys.down", run: () => move(board.lower(state.levels, current), current) },
      { key: "digit", shown: "1–9", shift: true, does: "keys.rank", run: (n) => move(board.toRank(state.levels, current, n), current) },
      { key: "backspace", does: "keys.unrank", run: () => move(board.without(state.levels, current), current) },
      { key: "z", does: "keys.byRatings", run: byRatings },
      { key: "b", does: "allBad", run: () => allBad.click() },
      { key: "n", does: "keys.note", run: () => note.box.focus() },
      ...FLAGS.map((flag) => ({ key: FLAG_KEYS[flag], does: `flag.${flag}`, run: () => cards[current].toggleFlag(flag) })),
    ],
  };

  function onCard() {
    return cards[current].element.contains(document.activeElement);
  }
}

function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** What was there: of a draft, or of the judgement that is corrected, as far as it makes sense. */
function start(count, saved, answer) {
  const from = saved ?? (answer ? { ...answer, levels: board.fromRanks(answer.ranks) } : {});
  const rating = (given) => ({
    overall: Number.isInteger(given?.overall) && given.overall >= 1 && given.overall <= 7 ? given.overall : null,
    flags: FLAGS.filter((flag) => given?.flags?.includes?.(flag)),
  });
  return {
    levels: board.isLevels(from.levels, count) ? from.levels : [],
    ratings: Array.from({ length: count }, (_, card) => rating(from.ratings?.[card])),
    all_bad: from.all_bad === true,
    note: String(from.note ?? ""),
  };
}

function readable(state, outputs) {
  const rows = outputs.map((text, card) => {
    const { overall, flags } = state.ratings[card];
    const said = [rankWords(state.levels, card), overall === null ? t("rate.not") : `${overall}/7`, ...flags.map((flag) => t(`flag.${flag}`))];
    return `${letter(card)} (${said.join("; ")}): ${text.slice(0, 200)}`;
  });
  return [...rows, state.all_bad ? t("allBad") : "", state.note ? `${t("note")}: ${state.note}` : ""].filter(Boolean).join("\n\n");
}
