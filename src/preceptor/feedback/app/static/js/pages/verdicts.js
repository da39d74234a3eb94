/** What a reviewer says to a judgement: accepted, or returned with a reason. */

import * as api from "../lib/api.js";
import { notice, tried } from "../lib/announce.js";
import { askReason } from "../lib/dialog.js";
import { h, refill } from "/common/dom.js";
import { t } from "../lib/i18n.js";

/** Buttons to accept and to return a judgement, or what has become of it. */
export function judgementActions(judgement) {
  const element = h("div.verdicts", {});
  const told = { judgement: judgement.judgement, labeler: judgement.labeler };
  const draw = () => refill(
    element,
    judgement.accepted_by.length ? h("span.state.done", {}, t("review.acceptedBy", { names: judgement.accepted_by.join(", ") })) : null,
    judgement.accepted_by.length
      ? null
      : h("button.small", { type: "button", onclick: accept, "aria-label": t("review.acceptThis", told) }, t("review.accept")),
    h("button.small", { type: "button", onclick: giveBack, "aria-label": t("review.returnThis", told) }, t("review.return")),
  );

  async function accept() {
    await tried(async () => {
      await api.acceptJudgement(judgement.judgement, "");
      judgement.accepted_by.push(t("review.me"));
      draw();
      notice(t("review.accepted"));
    });
  }

  async function giveBack() {
    const given = await askReason({
      title: t("review.returnTitle", told),
      text: t("review.returnText"),
      noteLabel: t("review.reason"),
      noteNeeded: true,
      action: t("review.return"),
    });
    if (!given) return;
    await tried(async () => {
      await api.returnJudgement(judgement.judgement, given.note);
      refill(element, h("span.state.withdrawn", {}, t("state.withdrawn")));
      notice(t("review.returned"));
    });
  }

  draw();
  return element;
}
