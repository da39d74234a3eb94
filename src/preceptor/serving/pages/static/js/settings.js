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
  const key = h("input", { type: "password", autocomplete: "off", value: apiKey() });
  const numbers = Object.fromEntries(
    Object.entries(NUMBERS).map(([name, limits]) => [name, h("input", { type: "number", value: now[name] ?? "", ...limits })]),
  );
  const head = h("h2", { id: newId("title") }, t("settings"));
  const close = h("button.icon", { type: "button", "aria-label": t("close"), onclick: () => dialog.close() }, "×");
  const form = h(
    "form",
    {
      onsubmit: (event) => {
        event.preventDefault();
        const given = Object.entries(numbers).filter(([, input]) => input.value !== "");
        keepSettings({
          model: now.model,
          other: now.other,
          ...Object.fromEntries(given.map(([name, input]) => [name, Number(input.value)])),
        });
        keepKey(key.value.trim());
        dialog.close();
        applied(prompt.value.trim());
      },
    },
    field(t("system"), prompt, t("system.hint")),
    h("div.numbers", {}, Object.entries(numbers).map(([name, input]) => field(t(name), input))),
    h("p.hint", {}, `${t("empty.hint")} ${t("seed.hint")}`),
    field(t("key"), key, t("key.hint")),
    more(() => dialog.close()),
    h("div.buttons", {}, h("button.primary", { type: "submit" }, t("apply"))),
  );
  const dialog = h("dialog", { "aria-labelledby": head.id, onclose: () => dialog.remove() }, h("div.dialog-head", {}, head, close), form);
  document.body.append(dialog);
  dialog.showModal();
  prompt.focus();
}
