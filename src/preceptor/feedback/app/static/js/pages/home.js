/** Where a labeler begins: what there is to do, and what came back. */

import * as api from "../lib/api.js";
import { h, meter, refill } from "/common/dom.js";
import { number, t } from "../lib/i18n.js";
import { me } from "../lib/me.js";
import { titled } from "../shell.js";
import { pastTable } from "./history.js";

const RECENT = 5;
const LOOKED_AT = 20; // of the last tasks, for what a reviewer returned
const COUNTED_TO = 1000; // what the server counts up to

export async function home(main) {
  titled(t("home.title"));
  const [{ queues }, { tasks }] = await Promise.all([api.queues(), api.history(null, LOOKED_AT)]);
  const can = queues.filter((queue) => queue.held || queue.available);
  const held = queues.some((queue) => queue.held);
  const returned = tasks.filter((task) => task.state === "withdrawn");
  refill(
    main,
    h(
      "div.page",
      {},
      h("h1", {}, t("home.hello", { name: me().name })),
      h(
        "div.start",
        {},
        h(
          "p",
          {},
          can.length ? t("home.waiting", { n: total(can) }) : t("home.nothing"),
        ),
        can.length ? h("a.button.primary.big", { href: "#/work" }, held ? t("home.continue") : t("home.start")) : null,
      ),
      returned.length
        ? h(
            "section.card.notice-card",
            {},
            h("h2", {}, t("home.returned")),
            h("ul", {}, returned.map((task) => h("li", {}, h("a", { href: `#/task/${task.assignment}` }, task.excerpt || t(`kind.${task.kind}`)), task.reason ? `: ${task.reason}` : ""))),
          )
        : null,
      h("h2", {}, t("home.queues")),
      queues.length
        ? h("ul.queues", {}, queues.map(queueCard))
        : h("p.muted", {}, t("home.none")),
      h("h2", {}, t("home.recent")),
      pastTable(tasks.slice(0, RECENT)),
      tasks.length > RECENT ? h("p", {}, h("a", { href: "#/history" }, t("history.all"))) : null,
    ),
  );
}

function total(queues) {
  return queues.reduce((sum, queue) => sum + queue.available + (queue.held ? 1 : 0), 0);
}

function queueCard(queue) {
  const open = queue.held || queue.available;
  const left = queue.available >= COUNTED_TO ? t("home.many", { n: number(COUNTED_TO) }) : t("home.left", { n: queue.available });
  return h(
    "li.card.queue",
    {},
    h("div.queue-head", {}, h("span.kind", {}, t(`kind.${queue.kind}`)), h("h3", {}, queue.name)),
    h("p.queue-counts", {}, h("span", {}, left), h("span", {}, t("home.mine", { n: queue.mine }))),
    meter(queue.items ? queue.complete / queue.items : 0, t("home.progress", { done: number(queue.complete), all: number(queue.items) })),
    open
      ? h(
          "a.button",
          { href: `#/work/${encodeURIComponent(queue.name)}`, "aria-label": `${queue.held ? t("home.resume") : t("home.open")}: ${queue.name}` },
          queue.held ? t("home.resume") : t("home.open"),
        )
      : h("span.done", {}, t("home.done")),
  );
}
