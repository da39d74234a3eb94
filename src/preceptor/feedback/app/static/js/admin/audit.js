/** Who did what, newest first. */

import * as api from "../lib/api.js";
import { h, refill, table } from "../lib/dom.js";
import { t, when } from "../lib/i18n.js";

const AT_ONCE = 100;

export async function auditTab(body) {
  const all = [];
  const list = h("div", {});
  const more = h("button", { type: "button", hidden: true, onclick: () => next() }, t("more"));
  const next = async () => {
    const { events } = await api.audit(all.at(-1)?.id ?? null);
    all.push(...events);
    more.hidden = events.length < AT_ONCE;
    refill(
      list,
      table(
        t("admin.audit"),
        [t("history.when"), t("audit.who"), t("audit.what"), t("audit.detail")],
        all.map((event) => [h("span.num", {}, when(event.at)), event.person ?? "–", event.action, h("code", {}, JSON.stringify(event.detail))]),
        t("audit.none"),
      ),
    );
  };
  await next();
  refill(body, list, more);
}
