/** One item with all that was said of it, side by side: a row for each output, a column for each labeler. */

import * as api from "../lib/api.js";
import { h, refill } from "/common/dom.js";
import { duration, number, percent, t, tOr, when } from "../lib/i18n.js";
import { conversation, markdownButton, textView } from "../lib/text.js";
import { letter } from "../ranking/boardview.js";
import { titled } from "../shell.js";
import { judgementActions } from "./verdicts.js";

export async function reviewItem(main, number_) {
  const item = await api.reviewItem(number_);
  titled(t("review.item", { item: item.item }));
  refill(
    main,
    h(
      "div.page.full",
      {},
      h(
        "div.work-head",
        {},
        h("h1", {}, t("review.item", { item: item.item })),
        h("span.muted.progress", {}, `${item.queue} · ${t(`kind.${item.kind}`)}${item.honeypot ? ` · ${t("honeypot")}` : ""}`),
        h("div.tools", {}, markdownButton(), h("a.button", { href: `#/review/disagreements/${encodeURIComponent(item.queue)}` }, t("review.back"))),
      ),
      item.messages.length ? h("section.card.asked", { "aria-label": t("prompt"), tabindex: 0 }, conversation(item.messages)) : null,
      item.responses.length && item.judgements.some((one) => one.ranks) ? sideBySide(item) : written(item),
    ),
  );
}

function sideBySide(item) {
  const ranked = item.judgements.filter((one) => one.ranks);
  const agreed = item.agreement === null ? null : h("p", {}, t("review.agreementIs", { share: percent(item.agreement) }));
  const heads = ranked.map((one) =>
    h("th", { scope: "col" }, h("strong", {}, one.labeler), h("span.muted.block", {}, `${when(one.at)} · ${duration(one.seconds)}`)),
  );
  const rows = item.responses.map((response, k) =>
    h(
      "tr",
      {},
      h("th.response", { scope: "row" }, h("div.response-head", {}, h("span.letter", {}, letter(k)), h("span.muted", {}, response.model)), textView(response.text)),
      item.consensus
        ? h("td.consensus", {}, h("span.rank-mark", {}, item.consensus.ranks[k]), h("span.muted.block.num", {}, number(item.consensus.mean_ranks[k], 2)))
        : null,
      item.known ? h("td", {}, h("span.rank-mark", {}, item.known[k])) : null,
      ranked.map((one) => h("td", {}, said(one, k, item))),
    ),
  );
  const last = h(
    "tr.notes",
    {},
    h("th", { scope: "row" }, t("review.verdict")),
    item.consensus ? h("td", {}) : null,
    item.known ? h("td", {}) : null,
    ranked.map((one) =>
      h("td", {}, one.all_bad ? h("p.state.withdrawn", {}, t("allBad")) : null, one.note ? h("p.note", { dir: "auto" }, one.note) : null, judgementActions(one)),
    ),
  );
  return [
    agreed,
    h(
      "div.scroll",
      { role: "region", tabindex: 0, "aria-label": t("review.sideBySide") },
      h(
        "table.side-by-side",
        {},
        h("caption.sr", {}, t("review.sideBySide")),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, t("output.any")),
            item.consensus ? h("th", { scope: "col" }, t("review.consensus"), h("span.muted.block", {}, t("review.meanRank"))) : null,
            item.known ? h("th", { scope: "col" }, t("review.known")) : null,
            heads,
          ),
        ),
        h("tbody", {}, rows, last),
      ),
    ),
  ];
}

/** What one labeler said of one response; a rank far from the consensus is marked. */
function said(one, k, item) {
  const rating = one.ratings?.[k];
  const far = item.consensus && Math.abs(item.consensus.ranks[k] - one.ranks[k]) > 1;
  return [
    h(`span.rank-mark${far ? ".far" : ""}`, { title: far ? t("review.far") : null }, one.ranks[k], far ? h("span.sr", {}, t("review.far")) : null),
    rating ? h("span.num.rating-mark", {}, `${rating.overall}/7`) : null,
    rating?.flags.length ? h("ul.flag-list", {}, rating.flags.map((flag) => h("li", {}, tOr(`flag.${flag}`, flag)))) : null,
    one.places ? h("span.muted.block", {}, t("review.place", { place: one.places[k] + 1 })) : null,
  ];
}

/** Demonstrations and written prompts: each with its author. */
function written(item) {
  if (!item.judgements.length) return h("p.muted", {}, t("review.none"));
  return h(
    "div.outputs",
    {},
    item.judgements.map((one) =>
      h(
        "article.card.output",
        {},
        h("header", {}, h("strong", {}, one.labeler), h("span.muted", {}, `${when(one.at)} · ${duration(one.seconds)}`)),
        textView(one.text ?? (one.reason ? tOr(`skip.${one.reason}`, one.reason) : "")),
        one.note ? h("p.note", { dir: "auto" }, one.note) : null,
        one.kind === "skip" ? null : judgementActions(one),
      ),
    ),
  );
}
