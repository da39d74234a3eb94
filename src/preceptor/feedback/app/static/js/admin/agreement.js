/** How far labelers agree: overall, each with the others, by use case. */

import * as api from "../lib/api.js";
import { h, refill, table } from "/common/dom.js";
import { number, percent, t, tOr } from "../lib/i18n.js";
import { coefficient, interval, queueChoice } from "./parts.js";

export async function agreementTab(body, { queue, queues }) {
  const report = await api.agreement(queue);
  const compared = queues.find((one) => one.name === queue)?.kind === "comparison";
  const rates = compared ? (await api.winRates(queue)).pairs : null;
  const { overall } = report;
  refill(
    body,
    queueChoice("agreement", queues, queue),
    h(
      "dl.figures",
      {},
      h(
        "div.figure.card",
        { "data-figure": "overall" },
        h("dt", {}, t("agree.overall")),
        h("dd.big", {}, percent(overall.share)),
        h("dd.muted", {}, overall.share === null ? t("agree.none") : t("agree.over", { low: percent(overall.low), high: percent(overall.high), pairs: number(overall.pairs), prompts: number(overall.prompts) })),
      ),
      h("div.figure.card", {}, h("dt", {}, t("agree.strict")), h("dd.big", {}, percent(overall.strict_share)), h("dd.muted", {}, t("agree.strict.text"))),
    ),
    h("p.hint", {}, t("agree.text")),
    h("h2", {}, t("agree.coefficients")),
    table(
      t("agree.coefficients"),
      [t("agree.measure"), t("agree.value")],
      ["pair_kappa", "pair_alpha", "rank_alpha", "rating_alpha"].map((name) => [t(`agree.${name}`), coefficient(report[name])]),
      "",
    ),
    h("h2", {}, t("agree.byLabeler")),
    shares(t("agree.byLabeler"), t("labeler"), report.by_labeler, (name) => name),
    h("h2", {}, t("agree.byCase")),
    shares(t("agree.byCase"), t("prompt.case"), report.by_use_case, (name) => tOr(`case.${name}`, name)),
    rates ? [h("h2", {}, t("wins.title")), wins(rates)] : null,
  );
}

function shares(caption, head, rows, named) {
  return table(
    caption,
    [head, t("agree.share"), t("agree.strict"), t("agree.pairs"), t("agree.prompts")],
    Object.entries(rows).map(([name, row]) => [
      named(name),
      interval(row),
      h("span.num", {}, percent(row.strict_share)),
      h("span.num", {}, number(row.pairs)),
      h("span.num", {}, number(row.prompts)),
    ]),
    t("agree.none"),
  );
}

function wins(pairs) {
  return table(
    t("wins.title"),
    [t("wins.model"), t("wins.other"), t("wins.share"), t("wins.n")],
    pairs.map((pair) => [pair.model, pair.other, h("span.num", {}, percent(pair.share)), h("span.num", {}, number(pair.n))]),
    t("agree.none"),
  );
}
