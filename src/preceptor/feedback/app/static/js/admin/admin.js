/** For admins: one page, a tab for each matter. */

import * as api from "../lib/api.js";
import { h, refill } from "/common/dom.js";
import { t } from "../lib/i18n.js";
import { titled } from "../shell.js";
import { agreementTab } from "./agreement.js";
import { auditTab } from "./audit.js";
import { dataTab } from "./data.js";
import { peopleTab } from "./people.js";
import { progressTab } from "./progress.js";
import { qualityTab } from "./quality.js";
import { queuesTab } from "./queues.js";
import { textsTab } from "./texts.js";

/** A tab fills `body`; `queue` is the one chosen, "" for all. */
const TABS = {
  progress: progressTab,
  agreement: agreementTab,
  quality: qualityTab,
  people: peopleTab,
  queues: queuesTab,
  texts: textsTab,
  data: dataTab,
  audit: auditTab,
};

/** Addresses: #/admin/TAB and #/admin/TAB/QUEUE. */
export async function admin(main, [name = "progress", queue = ""]) {
  const tab = name in TABS ? name : "progress";
  titled(`${t(`admin.${tab}`)} · ${t("nav.admin")}`);
  const body = h("div.admin", {}, h("p.muted", {}, t("loading")));
  const links = Object.keys(TABS).map((key) =>
    h("a", { href: `#/admin/${key}`, "aria-current": key === tab ? "page" : null }, t(`admin.${key}`)),
  );
  refill(main, h("div.page.wide", {}, h("h1", {}, t("nav.admin")), h("nav.tabs", { "aria-label": t("nav.admin") }, links), body));
  main.querySelector(".tabs [aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
  await TABS[tab](body, { queue, queues: (await api.reviewQueues()).queues });
}
