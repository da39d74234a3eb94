/** What the tabs of the admin share. */

import { field, h, select } from "/common/dom.js";
import { number, percent, t } from "../lib/i18n.js";

const SVG = "http://www.w3.org/2000/svg";

/** The kinds of queues whose labelers judge outputs. */
export const JUDGING = ["ranking", "comparison"];

/** Choose a queue for a tab, of those in which outputs are judged. */
export function queueChoice(tab, queues, queue) {
  const fit = queues.filter((one) => JUDGING.includes(one.kind));
  const choose = select([["", t("review.all")], ...fit.map((one) => [one.name, one.name])], queue, {
    onchange: () => (location.hash = `#/admin/${tab}/${encodeURIComponent(choose.value)}`),
  });
  return h("div.row", {}, field(t("queue"), choose));
}

/** A share with its interval, as words and drawn on a scale from 0 to 1. */
export function interval({ share, low, high, chance = null }) {
  if (share === null || share === undefined) return h("span.muted", {}, "–");
  const range = low === null || low === undefined ? "" : t("interval", { low: percent(low), high: percent(high) });
  return h("span.interval", {}, whisker({ share, low, high, chance }, 0), h("span.num", {}, percent(share), h("span.muted", {}, ` ${range}`)));
}

/** A coefficient (1 is perfect, 0 is chance, less than that is seldom far below) with its interval. */
export function coefficient({ value, low, high }) {
  if (value === null || value === undefined) return h("span.muted", {}, "–");
  const range = low === null || low === undefined ? "" : t("interval", { low: number(low, 2), high: number(high, 2) });
  return h("span.interval", {}, whisker({ share: value, low, high, chance: 0 }, -0.2), h("span.num", {}, number(value, 2), h("span.muted", {}, ` ${range}`)));
}

/** On a scale from `from` to 1; what is beyond an end is drawn at it. */
function whisker({ share, low, high, chance }, from) {
  const at = (value) => 4 + (Math.min(1, Math.max(from, value)) - from) / (1 - from) * 92; // a point at an end fits in
  const svg = draw("svg", { viewBox: "0 0 100 16", class: "whisker", "aria-hidden": "true" });
  svg.append(draw("line", { x1: 4, x2: 96, y1: 8, y2: 8, class: "axis" }));
  if (chance !== null) svg.append(draw("line", { x1: at(chance), x2: at(chance), y1: 2, y2: 14, class: "chance" }));
  if (low !== null && low !== undefined) svg.append(draw("line", { x1: at(low), x2: at(high), y1: 8, y2: 8, class: "range" }));
  svg.append(draw("circle", { cx: at(share), cy: 8, r: 3.5, class: "point" }));
  return svg;
}

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Passed, failed, or not known yet. */
export function passed(value) {
  if (value === null || value === undefined) return h("span.muted", {}, t("screen.open"));
  return h(`span.state.${value ? "done" : "withdrawn"}`, {}, t(value ? "screen.passed" : "screen.failed"));
}

/** A form whose button does something; what went wrong is said below it. */
export function actionForm(fields, label, act) {
  const wrong = h("p.error", { role: "alert" });
  const button = h("button.primary", { type: "submit" }, label);
  return h(
    "form.action",
    {
      onsubmit: async (event) => {
        event.preventDefault();
        button.disabled = true;
        wrong.textContent = "";
        try {
          await act();
        } catch (error) {
          wrong.textContent = error.message;
        } finally {
          button.disabled = false;
        }
      },
    },
    fields,
    wrong,
    h("div.buttons", {}, button),
  );
}
