/** Habits of labelers, what honeypots show, and the screening. */

import * as api from "../lib/api.js";
import { notice } from "../lib/announce.js";
import { field, h, refill, select, table } from "/common/dom.js";
import { number, percent, t } from "../lib/i18n.js";
import { actionForm, interval, passed, queueChoice } from "./parts.js";

const MEANS = new Set(["demonstrations", "groups"]); // these are no shares

export async function qualityTab(body, { queue, queues }) {
  const [habits, pots, screened, choices] = await Promise.all([
    api.bias(queue),
    api.honeypots(queue),
    api.screening(),
    api.getChoices(),
  ]);
  refill(
    body,
    queueChoice("quality", queues, queue),
    h("h2", {}, t("bias.title")),
    h("p.hint", {}, t("bias.text")),
    table(
      t("bias.title"),
      [t("labeler"), t("bias.first"), t("bias.longest"), t("bias.n")],
      habits.labelers.map((row) => [row.labeler, habit(row.first_shown), habit(row.longest), h("span.num", {}, number(row.first_shown.n))]),
      t("agree.none"),
    ),
    h("h2", {}, t("honeypots")),
    h("p.hint", {}, t("honeypots.text")),
    table(
      t("honeypots"),
      [t("labeler"), t("honeypots.right"), t("screen.cutoff"), t("honeypots.n"), t("state")],
      pots.labelers.map((row) => [
        row.labeler,
        h("span.num", {}, percent(row.value)),
        h("span.num", {}, percent(row.cutoff)),
        h("span.num", {}, number(row.n)),
        passed(row.passed),
      ]),
      t("honeypots.none"),
    ),
    h("h2", {}, t("screen.title")),
    h("p.hint", {}, t("screen.text")),
    table(
      t("screen.title"),
      [t("labeler"), ...Object.keys(choices.criteria).map((name) => `${t(`screen.${name}`)} (≥ ${shown(name, choices.criteria[name])})`), t("state")],
      screened.labelers.map((row) => [
        row.labeler,
        ...Object.keys(choices.criteria).map((name) => score(name, row.scores[name])),
        passed(row.passes),
      ]),
      t("progress.nobody"),
    ),
    screened.labelers.length ? entry(screened.labelers, choices.criteria, () => qualityTab(body, { queue, queues })) : null,
  );
}

function habit(found) {
  return found.n ? [interval(found), h("span.muted.block", {}, t("bias.chance", { share: percent(found.chance) }))] : "–";
}

function shown(name, value) {
  return MEANS.has(name) ? number(value, name === "groups" ? 0 : 1) : percent(value);
}

function score(name, found) {
  if (!found) return h("span.muted", {}, "–");
  return h(`span.num.${found.passed ? "pass" : "fail"}`, {}, shown(name, found.value), found.n ? h("span.muted", {}, ` (${found.n})`) : null);
}

function entry(labelers, criteria, done) {
  const who = select(labelers.map((row) => [row.person, row.labeler]), labelers[0].person);
  const what = select(Object.keys(criteria).map((name) => [name, t(`screen.${name}`)]), "demonstrations");
  const value = h("input", { type: "number", step: "any", min: 0, required: true });
  const groups = h("input", { type: "text" });
  return h(
    "details.card",
    {},
    h("summary", {}, t("screen.enter")),
    actionForm(
      h("div.row", {}, field(t("labeler"), who), field(t("screen.criterion"), what), field(t("agree.value"), value, t("screen.scale")), field(t("screen.names"), groups, t("screen.namesHint"))),
      t("save"),
      async () => {
        const listed = groups.value.split(",").map((name) => name.trim()).filter(Boolean);
        await api.recordScreening({ person: Number(who.value), criterion: what.value, value: Number(value.value), groups: listed });
        notice(t("saved"));
        await done();
      },
    ),
  );
}
