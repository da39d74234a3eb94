/** Two outputs, one of them better, or neither. Nobody is told which model wrote which. */

import { noteField, segmented } from "../lib/controls.js";
import { h, newId } from "/common/dom.js";
import { t } from "../lib/i18n.js";
import { textView } from "../lib/text.js";

const ANSWERS = ["first", "tie", "second"];

/** @returns {import("./taskpage.js").Editor} */
export function comparison(task, saved, answer, changed) {
  const from = saved ?? answer ?? {};
  const state = { preferred: ANSWERS.includes(from.preferred) ? from.preferred : null, note: String(from.note ?? "") };
  const cards = task.outputs.map((text, k) => {
    const head = h("h2", { id: newId("output") }, t("output", { letter: "AB"[k] }));
    return h("article.card.output", { "aria-labelledby": head.id, tabindex: -1, "data-card": k }, head, textView(text));
  });
  const mark = () => {
    cards[0].classList.toggle("chosen", state.preferred === "first");
    cards[1]?.classList.toggle("chosen", state.preferred === "second");
  };
  const choose = (value) => {
    state.preferred = value;
    choice.set(value);
    mark();
    changed();
  };
  const choice = segmented(t("comparison.which"), ANSWERS.map((one) => [one, t(`comparison.${one}`)]), state.preferred, choose);
  const note = noteField(state.note, (words) => {
    state.note = words;
    changed();
  });
  mark();
  const key = (name, value) => ({ key: name, does: `comparison.${value}`, run: () => choose(value) });
  return {
    element: h("div.editor", {}, h("div.outputs.two", {}, cards), h("section.card.verdict", {}, choice, note)),
    content: () => ({ ...state }),
    missing: () => (state.preferred ? [] : [t("comparison.missing")]),
    answer: () =>
      state.preferred
        ? { payload: { kind: "comparison", ...state } }
        : { problem: t("comparison.missing"), focus: choice.inputs[0] },
    readable: () => `${t("comparison.which")} ${state.preferred ? t(`comparison.${state.preferred}`) : "–"}\n${state.note}`,
    keys: [key("a", "first"), key("b", "second"), key("t", "tie"), { key: "n", does: "keys.note", run: () => note.box.focus() }],
  };
}
