/** What I did, and a way back to it. */

import * as api from "../lib/api.js";
import { fill, h, refill, table } from "../lib/dom.js";
import { duration, t, tOr, when } from "../lib/i18n.js";
import { titled } from "../shell.js";

const AT_ONCE = 50;

export async function historyPage(main) {
  titled(t("history.title"));
  const list = h("div", {});
  const more = h("button", { type: "button", hidden: true, onclick: () => next() }, t("more"));
  const all = [];
  const next = async () => {
    const { tasks } = await api.history(all.at(-1)?.judgement ?? null, AT_ONCE);
    all.push(...tasks);
    refill(list, pastTable(all));
    more.hidden = tasks.length < AT_ONCE;
  };
  await next();
  fill(refill(main), h("div.page", {}, h("h1", {}, t("history.title")), list, more));
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
