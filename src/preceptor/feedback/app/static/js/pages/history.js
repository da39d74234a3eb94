/** What I did, and a way back to it. */

import * as api from "../lib/api.js";
import { listInParts } from "../lib/controls.js";
import { h, refill, table } from "/common/dom.js";
import { duration, t, tOr, when } from "../lib/i18n.js";
import { titled } from "../shell.js";

const AT_ONCE = 50;

export async function historyPage(main) {
  titled(t("history.title"));
  const load = async (last) => (await api.history(last?.judgement, AT_ONCE)).tasks;
  refill(main, h("div.page", {}, h("h1", {}, t("history.title")), await listInParts(AT_ONCE, load, pastTable)));
}

/** Past tasks as a table. */
export function pastTable(tasks) {
  return table(
    t("history.title"),
    [t("history.what"), t("queue"), t("history.when"), t("history.time"), t("state")],
    tasks.map((task) => [
      h("a", { href: `#/task/${task.assignment}`, dir: "auto" }, task.excerpt || t(`kind.${task.kind}`)),
      task.queue,
      h("span.num", {}, when(task.at)),
      duration(task.seconds),
      [h(`span.state.${task.state}`, {}, tOr(`state.${task.state}`, task.state)), task.reason ? ` ${tOr(`skip.${task.reason}`, task.reason)}` : ""],
    ]),
    t("history.none"),
  );
}
