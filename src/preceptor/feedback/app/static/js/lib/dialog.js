/** Dialogs: the browser's own `dialog`, which holds the focus and gives it back. */

import { h, newId } from "/common/dom.js";
import { t } from "./i18n.js";

/**
 * Open one.
 *
 * @param {string} title
 * @param {any[]} content
 * @param {object} [options]
 * @param {boolean} [options.wide]
 * @param {() => void} [options.closed]
 * @returns {HTMLDialogElement}
 */
export function openDialog(title, content, { wide = false, closed = null } = {}) {
  const head = h("h2", { id: newId("title") }, title);
  const close = h("button.icon", { type: "button", "aria-label": t("close"), onclick: () => dialog.close() }, "×");
  const dialog = h(
    `dialog${wide ? ".wide" : ""}`,
    { "aria-labelledby": head.id },
    h("div.dialog-head", {}, head, close),
    content,
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed?.();
  });
  document.body.append(dialog);
  dialog.showModal();
  dialog.querySelector("form input, form textarea")?.focus();
  return dialog;
}

/**
 * Ask for a reason, or for a choice and a note. Resolves to null when the dialog is closed.
 *
 * @param {object} ask
 * @param {string} ask.title
 * @param {string} [ask.text]
 * @param {[string, string][]} [ask.options] radio buttons
 * @param {string} ask.noteLabel
 * @param {boolean} [ask.noteNeeded]
 * @param {string} ask.action
 * @returns {Promise<{choice: string | null, note: string} | null>}
 */
export function askReason({ title, text, options = [], noteLabel, noteNeeded = false, action }) {
  return new Promise((resolve) => {
    let given = null;
    const note = h("textarea", { rows: 3, dir: "auto", id: newId("note"), required: noteNeeded });
    const group = newId("reason");
    const radios = options.map(([value, label]) =>
      h("label.line", {}, h("input", { type: "radio", name: group, value, required: true }), label),
    );
    const form = h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          if (noteNeeded && !note.value.trim()) return note.focus();
          const choice = form.querySelector(`input[name="${group}"]:checked`)?.value ?? null;
          given = { choice, note: note.value };
          dialog.close();
        },
      },
      text ? h("p", {}, text) : null,
      radios.length ? h("fieldset.plain", {}, h("legend.sr", {}, title), radios) : null,
      h("div.field", {}, h("label", { for: note.id }, noteLabel), note),
      h(
        "div.buttons",
        {},
        h("button", { type: "button", onclick: () => dialog.close() }, t("cancel")),
        h("button.primary", { type: "submit" }, action),
      ),
    );
    const dialog = openDialog(title, [form], { closed: () => resolve(given) });
  });
}
