/** How far the queues are, and who does how much. */

import * as api from "../lib/api.js";
import { h, meter, refill, table } from "/common/dom.js";
import { duration, number, percent, t, when } from "../lib/i18n.js";

const DAYS = 7;

export async function progressTab(body, { queues }) {
  const [ever, lately] = await Promise.all([api.throughput(null), api.throughput(DAYS)]);
  const recent = new Map(lately.labelers.map((row) => [`${row.labeler}/${row.kind}`, row.done]));
  const slots = queues.reduce((sum, queue) => sum + queue.slots, 0);
  const done = queues.reduce((sum, queue) => sum + queue.done, 0);
  const week = lately.labelers.reduce((sum, row) => sum + row.done, 0);
  refill(
    body,
    h(
      "dl.figures",
      {},
      figure(t("progress.done"), `${number(done)} / ${number(slots)}`, slots ? percent(done / slots) : ""),
      figure(t("progress.lately", { days: DAYS }), number(week), t("progress.labelers", { n: new Set(lately.labelers.map((row) => row.labeler)).size })),
      figure(t("progress.locked"), number(queues.reduce((sum, queue) => sum + queue.locked, 0)), ""),
      figure(t("progress.left"), week ? t("progress.days", { n: Math.ceil((slots - done) / (week / DAYS)) }) : "–", t("progress.pace", { days: DAYS })),
    ),
    h("h2", {}, t("admin.queues")),
    table(
      t("admin.queues"),
      [t("queue"), t("kind"), t("progress.judgements"), t("progress.items"), t("progress.overlap"), t("progress.locked"), t("state")],
      queues.map((queue) => [
        queue.name,
        t(`kind.${queue.kind}`),
        meter(queue.slots ? queue.done / queue.slots : 0, `${number(queue.done)} / ${number(queue.slots)}`),
        h("span.num", {}, `${number(queue.complete)} / ${number(queue.items)}`),
        h("span.num", {}, queue.overlap),
        h("span.num", {}, queue.locked),
        queue.finished && queue.items ? t("queue.finished") : t(queue.open ? "queue.open" : "queue.closed"),
      ]),
      t("home.none"),
    ),
    h("h2", {}, t("progress.throughput")),
    table(
      t("progress.throughput"),
      [t("labeler"), t("kind"), t("progress.total"), t("progress.lately", { days: DAYS }), t("progress.median"), t("progress.last")],
      ever.labelers.map((row) => [
        row.labeler,
        t(`kind.${row.kind}`),
        h("span.num", {}, number(row.done)),
        h("span.num", {}, number(recent.get(`${row.labeler}/${row.kind}`) ?? 0)),
        h("span.num", {}, duration(row.seconds_median)),
        h("span.num", {}, when(row.last)),
      ]),
      t("progress.nobody"),
    ),
  );
}

function figure(label, value, below) {
  return h("div.figure.card", {}, h("dt", {}, label), h("dd.big", {}, value), below ? h("dd.muted", {}, below) : null);
}
