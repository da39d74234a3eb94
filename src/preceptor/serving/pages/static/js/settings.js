/** The dialog of settings: system prompt, sampling, API key. */

import { field, h, newId } from "/common/dom.js";
import { apiKey, keepKey } from "./api.js";
import { keepSettings, settings } from "./kept.js";
import { t } from "./words.js";

const NUMBERS = {
  temperature: { min: 0, max: 2, step: 0.05 },
  top_p: { min: 0.01, max: 1, step: 0.01 },
  max_tokens: { min: 1, step: 1 },
  seed: { step: 1 },
};

/**
 * @param {string} system the system prompt as it is
 * @param {(system: string) => void} applied
 * @param {(close: () => void) => HTMLElement | null} more what else there is to set
 */
export function openSettings(system, applied, more) {
  const now = settings();
  const prompt = h("textarea", { rows: 3, dir: "auto", value: system });
  const researcher = h("input", { type: "checkbox", id: newId("researcher"), checked: Boolean(now.researcher) });
  const key = keyInput();
  const section = more(() => section.closest("dialog").close());
  const numbers = Object.fromEntries(
    Object.entries(NUMBERS).map(([name, limits]) => [name, h("input", { type: "number", value: now[name] ?? "", ...limits })]),
  );
  openDialog(
    t("settings"),
    [
      field(t("system"), prompt, t("system.hint")),
      h("div.numbers", {}, Object.entries(numbers).map(([name, input]) => field(t(name), input))),
      h("p.hint", {}, `${t("empty.hint")} ${t("seed.hint")}`),
      h("div.field", {}, h("label.check", { for: researcher.id }, researcher, t("researcher")), h("p.hint", {}, t("researcher.hint"))),
      field(t("key"), key, t("key.hint")),
      section,
    ],
    () => {
      const given = Object.entries(numbers).filter(([, input]) => input.value !== "");
      keepSettings({
        model: now.model,
        other: now.other,
        researcher: researcher.checked,
        ...Object.fromEntries(given.map(([name, input]) => [name, Number(input.value)])),
      });
      keepKey(key.value.trim());
      applied(prompt.value.trim());
    },
  );
}

/** Ask for the API key alone; what is given is kept. @param {() => void} applied */
export function askForKey(applied) {
  const key = keyInput();
  openDialog(t("key.ask"), [field(t("key"), key, t("key.hint"))], () => {
    keepKey(key.value.trim());
    applied();
  });
}

const keyInput = () => h("input", { type: "password", autocomplete: "off", value: apiKey() });

/** A dialog with a form; the first field has the focus. */
function openDialog(title, fields, applied) {
  const head = h("h2", { id: newId("title") }, title);
  const close = h("button.icon", { type: "button", "aria-label": t("close"), onclick: () => dialog.close() }, "×");
  const form = h(
    "form",
    {
      onsubmit: (event) => {
        event.preventDefault();
        dialog.close();
        applied();
      },
    },
    fields,
    h("div.buttons", {}, h("button.primary", { type: "submit" }, t("apply"))),
  );
  const dialog = h("dialog", { "aria-labelledby": head.id, onclose: () => dialog.remove() }, h("div.dialog-head", {}, head, close), form);
  document.body.append(dialog);
  dialog.showModal();
  form.querySelector("input, textarea").focus();
}
