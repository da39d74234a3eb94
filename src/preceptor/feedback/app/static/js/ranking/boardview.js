/** The board beside the outputs: levels from the best down, and what is not ranked yet. */

import { h, refill } from "/common/dom.js";
import { t } from "../lib/i18n.js";
import * as board from "./board.js";
import { draggable } from "./drag.js";

const EDGE = 0.28; // of a level's height: nearer to its rim means beside it, not on it
const EXCERPT = 80;

/** The letter of a card. */
export function letter(card) {
  return String.fromCharCode(65 + card);
}

/**
 * @param {object} of
 * @param {string[]} of.outputs
 * @param {() => {levels: number[][], overalls: (number | null)[]}} of.state
 * @param {(levels: number[][], card: number) => void} of.move told the new levels and who moved
 * @param {(card: number) => void} of.go to the card itself
 * @returns {{element: HTMLElement, draw: () => void, makeDraggable: (handle: HTMLElement, card: number) => void}}
 */
export function boardView({ outputs, state, move, go }) {
  const list = h("ol", { "aria-label": t("rank.levels") });
  const pool = h("ul.pool", { "aria-label": t("rank.pool") });
  const poolHead = h("h3", {}, t("rank.pool"));
  const element = h("div.board", {}, list, h("div.pool-box", { "data-drop": "pool" }, poolHead, pool));

  function chip(card) {
    const { levels, overalls } = state();
    const name = letter(card);
    const rank = board.rankOf(levels, card);
    const act = (what, sign, words, change) =>
      h("button.icon.small", { type: "button", "data-do": what, "aria-label": words, title: words, onclick: () => move(change(levels, card), card) }, sign);
    const label = t("rank.chip", {
      letter: name,
      rank: rank === null ? t("rank.not") : t("rank.is", { rank }),
      rating: overalls[card] === null ? t("rate.not") : t("rate.is", { rating: overalls[card] }),
    });
    const jump = h("button.chip-go", { type: "button", "data-do": "go", "aria-label": label, onclick: () => go(card) },
      h("span.letter", {}, name),
      h("span.excerpt", { dir: "auto" }, outputs[card].slice(0, EXCERPT)),
      h("span.num.muted", {}, overalls[card] === null ? "–" : `${overalls[card]}/7`),
    );
    const made = h("li.chip", { "data-chip": card }, h("span.grip", { "aria-hidden": "true" }, "⠿"), jump,
      act("up", "▲", t("rank.up", { letter: name }), board.raise),
      act("down", "▼", t("rank.down", { letter: name }), board.lower),
    );
    makeDraggable(made, card);
    return made;
  }

  /** What a card dropped at this point would do. */
  function target(card, x, y) {
    const place = document.elementFromPoint(x, y)?.closest("[data-drop]");
    if (!place || !element.contains(place)) return null;
    const { levels } = state();
    const [kind, number] = place.dataset.drop.split(":");
    const index = Number(number);
    if (kind === "pool") return { mark: element.querySelector(".pool-box"), drop: () => move(board.without(levels, card), card) };
    const gap = (k) => ({ mark: element.querySelector(`[data-drop="gap:${k}"]`), drop: () => move(board.between(levels, card, k), card) });
    if (kind === "gap") return gap(index);
    const rim = place.getBoundingClientRect();
    const at = (y - rim.top) / rim.height;
    if (at < EDGE) return gap(index);
    if (at > 1 - EDGE) return gap(index + 1);
    return { mark: place, drop: () => move(board.onLevel(levels, card, index), card) };
  }

  function makeDraggable(handle, card) {
    draggable(handle, {
      ghost: () => h("div.chip", {}, h("span.letter", {}, letter(card)), h("span.excerpt", {}, outputs[card].slice(0, EXCERPT))),
      target: (x, y) => target(card, x, y),
    });
  }

  function draw() {
    const { levels } = state();
    const held = element.contains(document.activeElement) ? document.activeElement : null;
    const again = held && [held.closest("[data-chip]")?.dataset.chip, held.dataset.do];
    refill(list);
    if (!levels.length) list.append(h("li.gap.first", { "data-drop": "gap:0" }, t("rank.dropHere")));
    levels.forEach((level, k) => {
      list.append(h("li.gap", { "data-drop": `gap:${k}`, "aria-hidden": "true" }));
      const words = level.length > 1 ? t("rank.levelTie", { rank: k + 1 }) : t("rank.level", { rank: k + 1 });
      list.append(h("li.level", { "data-drop": `level:${k}`, "aria-label": words },
        h("span.rank", { "aria-hidden": "true" }, k + 1),
        h("ul.chips", { "aria-label": words }, level.map(chip)),
      ));
    });
    if (levels.length) list.append(h("li.gap", { "data-drop": `gap:${levels.length}`, "aria-hidden": "true" }));
    const rest = outputs.map((_, card) => card).filter((card) => board.rankOf(levels, card) === null);
    refill(pool, rest.map(chip));
    poolHead.textContent = rest.length ? t("rank.pool") : t("rank.allRanked");
    if (again) element.querySelector(`[data-chip="${again[0]}"] [data-do="${again[1]}"]`)?.focus();
  }

  return { element, draw, makeDraggable };
}
