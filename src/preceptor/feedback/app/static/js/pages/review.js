/** For reviewers: where labelers disagree, and what came in last. */

import * as api from "../lib/api.js";
import { listInParts } from "../lib/controls.js";
import { field, h, refill, select, table } from "/common/dom.js";
import { duration, percent, t, tOr, when } from "../lib/i18n.js";
import { titled } from "../shell.js";
import { judgementActions } from "./verdicts.js";

const AT_ONCE = 50;

/** Addresses: #/review/disagreements/QUEUE and #/review/latest/QUEUE. */
export async function review(main, [tab = "disagreements", name = ""]) {
  titled(t("review.title"));
  const { queues } = await api.reviewQueues();
  const judged = queues.filter((queue) => queue.kind === "ranking" || queue.kind === "comparison");
  const latest = tab === "latest";
  const offered = latest ? queues : judged;
  const queue = offered.some((one) => one.name === name) ? name : latest ? "" : (judged[0]?.name ?? "");
  const options = [...(latest ? [["", t("review.all")]] : []), ...offered.map((one) => [one.name, `${one.name} (${t(`kind.${one.kind}`)})`])];
  const choose = select(options, queue, {
    onchange: () => (location.hash = `#/review/${tab}/${encodeURIComponent(choose.value)}`),
  });
  const body = h("div", {});
  const tabLink = (key) =>
    h("a", { href: `#/review/${key}/${encodeURIComponent(queue)}`, "aria-current": key === (latest ? "latest" : "disagreements") ? "page" : null }, t(`review.${key}`));
  refill(
    main,
    h(
      "div.page.wide",
      {},
      h("h1", {}, t("review.title")),
      h("nav.tabs", { "aria-label": t("review.title") }, tabLink("disagreements"), tabLink("latest")),
      h("div.row", {}, field(t("queue"), choose)),
      body,
    ),
  );
  if (latest) await showLatest(body, queue);
  else await showDisagreements(body, queue);
}

async function showDisagreements(body, queue) {
  if (!queue) return refill(body, h("p.muted", {}, t("review.noQueue")));
  const { items } = await api.disagreements(queue);
  return refill(
    body,
    h("p.hint", {}, t("review.disagreements.text")),
    table(
      t("review.disagreements"),
      [t("prompt"), t("review.agreement"), t("review.labelers")],
      items.map((item) => [
        h("a", { href: `#/review/item/${item.item}`, dir: "auto" }, item.excerpt || t("review.item", { item: item.item })),
        h("span.num", {}, percent(item.agreement)),
        h("span.num", {}, item.labelers),
      ]),
      t("review.none"),
    ),
  );
}

async function showLatest(body, queue) {
  const load = async (last) => (await api.judgements({ queue, limit: AT_ONCE, before: last?.judgement })).judgements;
  refill(body, await listInParts(AT_ONCE, load, latestTable));
}

function latestTable(judgements) {
  return table(
    t("review.latest"),
    [t("review.what"), t("labeler"), t("history.when"), t("history.time"), t("review.said"), t("review.verdict")],
    judgements.map((one) => [
      one.item
        ? h("a", { href: `#/review/item/${one.item}`, dir: "auto" }, one.excerpt || t(`kind.${one.kind}`))
        : h("span", { dir: "auto" }, one.excerpt),
      one.labeler,
      h("span.num", {}, when(one.at)),
      duration(one.seconds),
      h("span.clamp", { dir: "auto" }, said(one)),
      one.kind === "skip" ? "" : judgementActions(one),
    ]),
    t("review.none"),
  );
}

function said(one) {
  if (one.kind === "skip") return `${t("skip")}: ${tOr(`skip.${one.reason}`, one.reason)}`;
  return one.text ?? (one.ranks ? one.ranks.join(" ") : "");
}
