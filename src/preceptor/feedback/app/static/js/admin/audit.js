/** Who did what, newest first. */

import * as api from "../lib/api.js";
import { listInParts } from "../lib/controls.js";
import { h, refill, table } from "/common/dom.js";
import { t, when } from "../lib/i18n.js";

const AT_ONCE = 100;

export async function auditTab(body) {
  const load = async (last) => (await api.audit(last?.id, AT_ONCE)).events;
  refill(body, await listInParts(AT_ONCE, load, auditTable));
}

function auditTable(events) {
  return table(
    t("admin.audit"),
    [t("history.when"), t("audit.who"), t("audit.what"), t("audit.detail")],
    events.map((event) => [h("span.num", {}, when(event.at)), event.person ?? "–", event.action, h("code", {}, JSON.stringify(event.detail))]),
    t("audit.none"),
  );
}
