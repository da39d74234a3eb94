/** One message on the page. */

import { growing, h, newId, refill } from "/common/dom.js";
import { markdown } from "./markdown.js";
import { copyButton } from "./say.js";
import { t } from "./words.js";

/**
 * @param {import("./tree.js").Node} node
 * @param {object} how
 * @param {string} how.name who speaks
 * @param {any[]} [how.buttons]
 * @returns {HTMLElement & {paint: () => void}} `paint` shows what the node holds now
 */
export function messageView(node, { name, buttons = [] }) {
  const head = h("h2", { id: newId("by") }, name);
  const text = h("div.text", { dir: "auto" });
  const note = h("p.note", { hidden: true });
  const tools = h("div.tools", {}, copyButton(t("copy"), () => node.content), buttons);
  const view = h(`article.${node.role}`, { "aria-labelledby": head.id }, head, text, note, tools);
  view.paint = () => {
    const writing = node.state === "writing";
    view.setAttribute("aria-busy", String(writing));
    view.classList.toggle("writing", writing);
    tools.hidden = writing;
    if (node.role === "user") refill(text, h("p.plain", {}, node.content));
    else refill(text, markdown(node.content, (code) => copyButton(t("code.copy"), () => code)));
    note.textContent = noteOf(node);
    note.hidden = !note.textContent;
    note.classList.toggle("bad", node.state === "failed");
  };
  view.paint();
  return view;
}

function noteOf(node) {
  if (node.state === "failed") return t("failed", { why: node.why });
  return node.state === "stopped" ? t("stopped") : node.state === "cut" ? t("cut") : "";
}

/** Buttons to go between the versions of a message; nothing when there is one. */
export function versions(all, node, choose) {
  if (all.length < 2) return [];
  const at = all.indexOf(node);
  const go = (step, words, sign) =>
    h(
      "button.icon",
      { type: "button", "aria-label": t(words), "data-step": step, disabled: !all[at + step], onclick: () => choose(all[at + step], step) },
      sign,
    );
  const where = h("span.num", { "aria-hidden": "true" }, `${at + 1}/${all.length}`);
  return [h("span.versions", {}, go(-1, "before", "‹"), where, go(1, "after", "›"))];
}

/**
 * A box in place of a message, to write it anew.
 *
 * @param {(text: string, problem: HTMLElement) => void} send
 * @param {{box: string, go: string}} words what the box and the button are called
 */
export function editor(view, node, send, cancel, words = { box: t("edit.box"), go: t("edit.send") }) {
  const box = growing({ value: node.content, rows: 2, "aria-label": words.box });
  const problem = h("p.problem", { role: "alert" });
  const form = h(
    "form.editor",
    {
      onsubmit: (event) => {
        event.preventDefault();
        if (box.value.trim()) send(box.value.trim(), problem);
      },
      onkeydown: (event) => {
        if (event.key === "Escape") cancel();
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
      },
    },
    box,
    problem,
    h(
      "div.buttons",
      {},
      h("button", { type: "button", onclick: cancel }, t("cancel")),
      h("button.primary", { type: "submit" }, words.go),
    ),
  );
  refill(view, view.querySelector("h2"), form); // the heading stays: it names the article
  box.focus();
}
