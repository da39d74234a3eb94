/** Writing a prompt: plain, few-shot or user-based; asked directly, by examples, or as a text to continue. */

import { noteField, segmented } from "../lib/controls.js";
import { field, growing, h, newId, refill, select } from "/common/dom.js";
import { t } from "../lib/i18n.js";
import { textView } from "../lib/text.js";

/** @returns {import("./taskpage.js").Editor} */
export function prompt(task, saved, answer, changed, choices) {
  const wish = task.wish ?? {};
  const state = start(wish, saved ?? answer, choices);
  const body = h("div.prompt-fields", {});
  const preview = h("div.message.user", {});
  const show = () => refill(preview, h("span.role", {}, t("prompt.preview")), textView(asText(state) || "…"));
  const touched = () => {
    show();
    changed();
  };
  const draw = () => {
    refill(body, state.way === "examples" ? byExamples(state, choices.min_examples, touched, draw) : asked(state, touched));
  };
  // A few-shot prompt asks by examples: who is told to write one, or to ask otherwise, has no choice in the other either.
  const forms = choices.forms.filter((one) => one !== "few-shot" || (wish.way ?? "examples") === "examples");
  const way = segmented(t("prompt.way"), choices.ways.map((one) => [one, t(`way.${one}`)]), state.way, setWay, {
    disabled: Boolean(wish.way) || wish.form === "few-shot",
  });
  const form = segmented(t("prompt.form"), forms.map((one) => [one, t(`form.${one}`)]), state.form, setForm, { disabled: Boolean(wish.form) });
  const useCase = select([["", t("choose")], ...choices.use_cases.map((one) => [one, t(`case.${one}`)])], state.use_case, {
    disabled: Boolean(wish.use_case),
    onchange: () => {
      state.use_case = useCase.value;
      touched();
    },
  });

  function setWay(value) {
    state.way = value;
    if (state.form === "few-shot" && value !== "examples") {
      state.form = "plain";
      form.set("plain");
    }
    draw();
    touched();
  }

  function setForm(value) {
    state.form = value;
    if (value === "few-shot" && state.way !== "examples") {
      state.way = "examples";
      way.set("examples");
      draw();
    }
    touched();
  }

  const note = noteField(state.note, (words) => {
    state.note = words;
    changed();
  });
  draw();
  show();
  return {
    element: h(
      "section.card.editor",
      {},
      wish.hint ? h("p.notice-card.card", { dir: "auto" }, h("strong", {}, t("prompt.hint")), " ", wish.hint) : null,
      h("div.row", {}, form, way, field(t("prompt.case"), useCase)),
      h("p.hint", {}, t(wish.form || wish.way || wish.use_case ? "prompt.asGiven" : "prompt.free")),
      body,
      h("section.conversation", { "aria-label": t("prompt.preview") }, preview),
      note,
    ),
    content: () => structuredClone(state),
    missing: () => problems(state).map(([words]) => words),
    answer: () => {
      const [first] = problems(state);
      if (first) return { problem: first[0], focus: first[1] ? body.querySelector(first[1]) : useCase };
      return { payload: payload(state) };
    },
    readable: () => asText(state) + (state.note ? `\n\n${t("note")}: ${state.note}` : ""),
    keys: [{ key: "i", does: "keys.write", run: () => body.querySelector("textarea").focus() }],
  };
}

function start(wish, from, choices) {
  const given = from ?? {};
  const one = (value, list, otherwise) => (list.includes(value) ? value : otherwise);
  const form = wish.form ?? one(given.form, choices.forms, "plain");
  const examples = Array.isArray(given.examples) ? given.examples : [];
  const state = {
    form,
    way: wish.way ?? (form === "few-shot" ? "examples" : one(given.way, choices.ways, "direct")),
    use_case: wish.use_case ?? one(given.use_case, choices.use_cases, ""),
    text: String(given.text ?? ""),
    examples: examples.map((two) => ({ query: String(two?.query ?? ""), response: String(two?.response ?? "") })),
    query: String(given.query ?? ""),
    note: String(given.note ?? ""),
  };
  while (state.examples.length < choices.min_examples) state.examples.push({ query: "", response: "" });
  return state;
}

function box(of, name, touched, attributes) {
  const area = growing({
    id: newId("prompt"),
    value: of[name],
    ...attributes,
    oninput: () => {
      of[name] = area.value;
      touched();
    },
  });
  return area;
}

function asked(state, touched) {
  const area = box(state, "text", touched, { rows: 5, "data-field": "text" });
  return field(t(`prompt.text.${state.way}`), area, t(`prompt.hint.${state.way}`));
}

function byExamples(state, fewest, touched, draw) {
  const redraw = () => {
    draw();
    touched();
  };
  const rows = state.examples.map((example, k) =>
    h(
      "fieldset.example",
      {},
      h("legend", {}, t("prompt.example", { n: k + 1 })),
      field(t("prompt.query"), box(example, "query", touched, { rows: 2, "data-field": `query-${k}` })),
      field(t("prompt.response"), box(example, "response", touched, { rows: 2, "data-field": `response-${k}` })),
      state.examples.length > fewest
        ? h("button.quiet", { type: "button", onclick: () => (state.examples.splice(k, 1), redraw()) }, t("prompt.remove", { n: k + 1 }))
        : null,
    ),
  );
  return [
    field(t("prompt.text.examples"), box(state, "text", touched, { rows: 2, "data-field": "text" }), t("prompt.hint.examples")),
    rows,
    h("button", { type: "button", onclick: () => (state.examples.push({ query: "", response: "" }), redraw()) }, t("prompt.add")),
    field(t("prompt.last"), box(state, "query", touched, { rows: 2, "data-field": "last" }), t("prompt.hint.last")),
  ];
}

/** What is missing: words, and where; null is the use case. */
function problems(state) {
  const found = [];
  if (!state.use_case) found.push([t("prompt.noCase"), null]);
  if (state.way !== "examples") {
    if (!state.text.trim()) found.push([t("prompt.noText"), "[data-field=text]"]);
    return found;
  }
  const k = state.examples.findIndex((example) => !example.query.trim() || !example.response.trim());
  if (k >= 0) {
    const part = state.examples[k].query.trim() ? "response" : "query";
    found.push([t("prompt.noExample", { number: k + 1 }), `[data-field=${part}-${k}]`]);
  }
  if (!state.query.trim()) found.push([t("prompt.noQuery"), "[data-field=last]"]);
  return found;
}

function payload({ form, way, use_case, text, examples, query, note }) {
  const byExample = way === "examples";
  return { kind: "prompt", form, way, use_case, text, note, examples: byExample ? examples : [], query: byExample ? query : "" };
}

/** The prompt as the model will read it. */
function asText(state) {
  if (state.way !== "examples") return state.text;
  const shown = state.examples.map((example) => `${example.query.trim()}\n${example.response.trim()}`.trim());
  return [state.text.trim(), ...shown, state.query.trim()].filter(Boolean).join("\n\n");
}
