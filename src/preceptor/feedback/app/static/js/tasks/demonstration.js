/** Writing the reply that the assistant should give. */

import { noteField } from "../lib/controls.js";
import { growing, h, newId } from "/common/dom.js";
import { number, t } from "../lib/i18n.js";

/** @returns {import("./taskpage.js").Editor} */
export function demonstration(task, saved, answer, changed) {
  const state = { text: "", note: "", ...pick(answer), ...pick(saved) };
  const count = h("span.muted.num", {});
  const counted = () => (count.textContent = t("characters", { n: number([...state.text].length) }));
  const text = growing({
    id: newId("demonstration"),
    rows: 10,
    value: state.text,
    oninput: () => {
      state.text = text.value;
      counted();
      changed();
    },
  });
  counted();
  const note = noteField(state.note, (words) => {
    state.note = words;
    changed();
  });
  return {
    element: h(
      "section.card.editor",
      {},
      h("div.field", {}, h("div.label-row", {}, h("label", { for: text.id }, t("demonstration.label")), count), text),
      note,
    ),
    content: () => ({ ...state }),
    missing: () => (state.text.trim() ? [] : [t("demonstration.missing")]),
    answer: () =>
      state.text.trim()
        ? { payload: { kind: "demonstration", ...state } }
        : { problem: t("demonstration.missing"), focus: text },
    readable: () => state.text + (state.note ? `\n\n${t("note")}: ${state.note}` : ""),
    keys: [{ key: "i", does: "keys.write", run: () => text.focus() }],
  };
}

function pick(from) {
  return from ? { text: String(from.text ?? ""), note: String(from.note ?? "") } : {};
}
