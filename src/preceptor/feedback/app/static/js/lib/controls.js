/** Controls that several pages use. */

import { growing, h, newId } from "./dom.js";
import { t } from "./i18n.js";

/**
 * Radio buttons in one row, as a group with a legend.
 *
 * @param {string} legend
 * @param {[any, string][]} options
 * @param {any} value
 * @param {(value: any) => void} changed
 * @param {object} [look]
 * @returns {HTMLElement & {set: (value: any) => void}}
 */
export function segmented(legend, options, value, changed, { hiddenLegend = false, disabled = false, ends = null } = {}) {
  const name = newId("choice");
  const inputs = options.map(([key]) =>
    h("input", { type: "radio", name, value: key, checked: key === value, disabled, onchange: () => changed(key) }),
  );
  const group = h(
    "fieldset.segmented",
    {},
    h(`legend${hiddenLegend ? ".sr" : ""}`, {}, legend),
    h(
      "div.segments",
      {},
      ends ? h("span.end", { "aria-hidden": "true" }, ends[0]) : null,
      options.map(([, label], k) => h("label", {}, inputs[k], h("span", {}, label))),
      ends ? h("span.end", { "aria-hidden": "true" }, ends[1]) : null,
    ),
  );
  group.set = (now) => options.forEach(([key], k) => (inputs[k].checked = key === now));
  group.inputs = inputs;
  return group;
}

/** The note to the reviewers. */
export function noteField(value, changed) {
  const box = growing({ value, rows: 2, maxlength: 10000, id: newId("note"), oninput: () => changed(box.value) });
  const field = h("div.field", {}, h("label", { for: box.id }, t("note")), box);
  field.box = box;
  return field;
}

/** Save a text as a file. */
export function saveFile(name, text) {
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
