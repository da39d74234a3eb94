/** Working: one task after another of a queue, or one that I did before. */

import * as api from "../lib/api.js";
import { announce } from "../lib/announce.js";
import { onConnection } from "../lib/connection.js";
import { h, refill } from "/common/dom.js";
import { t, tOr } from "../lib/i18n.js";
import { conversation } from "../lib/text.js";
import { titled } from "../shell.js";
import { taskPage } from "./taskpage.js";

/** The next task of a queue, or of any. */
export async function work(main, [queue = ""]) {
  let left = false;
  let close = null;
  const step = async () => {
    close?.();
    close = null;
    const [view, choices] = await Promise.all([api.nextTask(queue || null), api.getChoices()]);
    if (left) return;
    close = view.task ? taskPage(main, view, choices, { next }) : nothing(main, queue);
  };
  const next = async () => {
    try {
      await step();
    } catch (error) {
      if (!left) close = later(main, error, next);
    }
  };
  await step();
  return () => {
    left = true;
    return close?.();
  };
}

/** A task by its assignment: to go on with, to correct, or to look at. */
export async function past(main, [assignment = ""]) {
  const [view, choices] = await Promise.all([api.getTask(assignment), api.getChoices()]);
  const back = () => {
    location.hash = "#/history";
  };
  if (view.state === "skipped" || view.state === "withdrawn") return settled(main, view);
  return taskPage(main, view, choices, { next: back, correcting: view.state === "done" });
}

function nothing(main, queue) {
  titled(t("work.none"));
  const heading = h("h1", { tabindex: -1 }, t("work.none"));
  refill(
    main,
    h(
      "section.card.narrow",
      {},
      heading,
      h("p", {}, queue ? t("work.noneIn", { queue }) : t("work.noneAnywhere")),
      h("div.buttons", {}, h("a.button.primary", { href: "#/" }, t("work.home"))),
    ),
  );
  heading.focus();
  return null;
}

/** The next task could not be had: try when the server is back, or when somebody asks. */
function later(main, error, next) {
  const words = error instanceof api.Unreachable ? t("lost.next") : error.message;
  refill(
    main,
    h(
      "section.card.narrow",
      {},
      h("h1", {}, t("work.wait")),
      h("p", {}, words),
      h("div.buttons", {}, h("button.primary", { type: "button", onclick: next }, t("again"))),
    ),
  );
  announce(words, true);
  return onConnection((now) => now && next());
}

function settled(main, view) {
  titled(t(`kind.${view.task.kind}`));
  refill(
    main,
    h(
      "div.page",
      {},
      h("h1", {}, t(`kind.${view.task.kind}`)),
      h("p", {}, h(`span.state.${view.state}`, {}, tOr(`state.${view.state}`, view.state)), " ", t(`settled.${view.state}`)),
      view.reason ? h("p.card.notice-card", {}, view.reason) : null,
      view.task.messages.length ? h("section.card", { "aria-label": t("prompt") }, conversation(view.task.messages)) : null,
      h("p", {}, h("a", { href: "#/history" }, t("history.title"))),
    ),
  );
  return null;
}
