/** A task that was refused as too late: the words stay, and can be taken along. */

import { copy, saveFile } from "../lib/controls.js";
import { openDialog } from "../lib/dialog.js";
import { h, newId } from "/common/dom.js";
import { t } from "../lib/i18n.js";

/**
 * @param {string} message of the server
 * @param {string} text the work
 * @param {object} task
 * @param {() => void} next give it up and take the next one
 */
export function conflict(message, text, task, next) {
  const box = h("textarea", { rows: 10, readonly: true, value: text, dir: "auto", id: newId("kept") });
  const dialog = openDialog(
    t("conflict.title"),
    [
      h("p", {}, message),
      h("div.field", {}, h("label", { for: box.id }, t("conflict.text")), box),
      h(
        "div.buttons",
        {},
        h("button", { type: "button", onclick: () => copy(box) }, t("copy")),
        h("button", { type: "button", onclick: () => saveFile(`preceptor-${task.kind}-${task.assignment.slice(0, 8)}.txt`, text) }, t("conflict.save")),
        h(
          "button.primary",
          {
            type: "button",
            onclick: () => {
              dialog.close();
              next();
            },
          },
          t("conflict.next"),
        ),
      ),
    ],
    { wide: true },
  );
}
