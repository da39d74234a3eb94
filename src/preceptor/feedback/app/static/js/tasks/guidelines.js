/** The guidelines beside a task: in the version that the task was given under. */

import * as api from "../lib/api.js";
import { h, refill } from "/common/dom.js";
import { currentLanguage, t } from "../lib/i18n.js";
import { build } from "../lib/markdown.js";
import { recall, remember } from "/common/memory.js";
import { pieces } from "../lib/text.js";

const WIDE = matchMedia("(min-width: 1100px)");

/** @returns {{panel: HTMLElement, button: HTMLElement, toggle: () => void}} */
export function guidelines(kind, version) {
  const body = h("div.text.markdown", {}, h("p.muted", {}, t("loading")));
  const panel = h(
    "aside.guidelines.card",
    { id: "guidelines", "aria-label": t("guidelines"), tabindex: -1 },
    h("h2", {}, t("guidelines"), " ", version ? h("span.muted", {}, t("version", { version })) : null),
    body,
  );
  const button = h("button", { type: "button", "aria-controls": "guidelines" }, t("guidelines"));
  const show = (open) => {
    panel.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
  };
  const toggle = () => {
    const open = panel.hidden;
    show(open);
    remember(WIDE.matches ? "guidelines" : "guidelines-narrow", open);
    if (open && !WIDE.matches) panel.scrollIntoView({ block: "start" });
  };
  button.addEventListener("click", toggle);
  show(WIDE.matches ? recall("guidelines") !== false : recall("guidelines-narrow") === true);
  load(kind, version, body);
  return { panel, button, toggle };
}

async function load(kind, version, body) {
  try {
    const text = await api.guidelines(kind, version || null, currentLanguage());
    body.lang = text.language;
    refill(body, build(text.html, pieces));
  } catch (error) {
    const none = error instanceof api.Refused && error.status === 404;
    refill(body, h("p.muted", {}, t(none ? "guidelines.none" : "guidelines.failed")));
  }
}
