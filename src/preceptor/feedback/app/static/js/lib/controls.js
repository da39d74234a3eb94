/** Controls that several pages use. */

import { notice, tried } from "./announce.js";
import { growing, h, newId, refill } from "/common/dom.js";
import { t } from "./i18n.js";

/**
 * Radio buttons in one row, as a group with a legend.
 *
 * @param {string} legend
 * @param {[any, string][]} options
 * @param {any} value
 * @param {(value: any) => void} changed
 * @param {object} [look]
 * @returns {HTMLElement & {set: (value: any) => void, inputs: HTMLInputElement[]}}
 */
export function segmented(legend, options, value, changed, { disabled = false, ends = null } = {}) {
  const name = newId("choice");
  const inputs = options.map(([key]) =>
    h("input", { type: "radio", name, value: key, checked: key === value, disabled, onchange: () => changed(key) }),
  );
  const group = h(
    "fieldset.segmented",
    {},
    h("legend", {}, legend),
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

/** Copy what is in a box. */
export async function copy(box) {
  box.select();
  try {
    await navigator.clipboard.writeText(box.value);
    notice(t("copied"));
  } catch {
    notice(t("copy.select"), "bad"); // not over plain http: the text is selected
  }
}

/**
 * A list that is read in parts, and a button for the next one.
 *
 * @param {number} atOnce how many `load` gives while there are more
 * @param {(last: any) => Promise<any[]>} load what comes after the last one we have; undefined if we have none
 * @param {(all: any[]) => HTMLElement} draw
 * @returns {Promise<HTMLElement[]>}
 */
export async function listInParts(atOnce, load, draw) {
  const all = [];
  const list = h("div", {});
  const more = h("button", { type: "button", onclick: () => tried(next) }, t("more"));
  const next = async () => {
    const found = await load(all.at(-1));
    all.push(...found);
    more.hidden = found.length < atOnce;
    refill(list, draw(all));
  };
  await next();
  return [list, more];
}

/** Save a text as a file. */
export function saveFile(name, text) {
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
