/** Light, dark, or as the system is. */

import { h } from "./dom.js";
import { forget, recall, remember } from "./memory.js";

const ORDER = ["system", "light", "dark"];
const SIGNS = { system: "◐", light: "☀", dark: "☾" };

function theme() {
  const kept = recall("theme");
  return ORDER.includes(kept) ? kept : "system";
}

/** The button that goes through the three. `t` gives the words of theme.system, theme.light and theme.dark. */
export function themeButton(t) {
  const button = h("button.icon", {
    type: "button",
    onclick: () => {
      const next = ORDER[(ORDER.indexOf(theme()) + 1) % ORDER.length];
      if (next === "system") {
        forget("theme");
        delete document.documentElement.dataset.theme;
      } else {
        remember("theme", next);
        document.documentElement.dataset.theme = next;
      }
      label();
    },
  });
  const label = () => {
    button.textContent = SIGNS[theme()];
    button.title = t(`theme.${theme()}`);
    button.setAttribute("aria-label", t(`theme.${theme()}`));
  };
  label();
  return button;
}
