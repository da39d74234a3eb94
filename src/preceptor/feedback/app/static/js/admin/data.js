/** Bringing data in, and taking it out. */

import * as api from "../lib/api.js";
import { notice } from "../lib/announce.js";
import { field, h, refill, select } from "/common/dom.js";
import { number, t } from "../lib/i18n.js";
import { actionForm, JUDGING } from "./parts.js";

const IMPORTS = ["samples", "prompts", "honeypots", "demonstrations", "rankings", "comparisons", "ratings"];
const EXPORTS = ["rankings", "ratings", "demonstrations", "comparisons", "prompts"];
const QUEUE_KINDS = { samples: JUDGING, honeypots: JUDGING, prompts: ["demonstration"] };

export async function dataTab(body, { queues }) {
  refill(
    body,
    h("section.card", {}, h("h2", {}, t("import.title")), h("p.hint", {}, t("import.text")), importing(queues)),
    h("section.card", {}, h("h2", {}, t("export.title")), h("p.hint", {}, t("export.text")), exporting(queues)),
  );
}

function importing(queues) {
  const file = h("input", { type: "file", accept: ".jsonl,.json,.ndjson,.txt", required: true });
  const what = select(IMPORTS.map((one) => [one, t(`data.${one}`)]), "samples", { onchange: () => draw() });
  const place = h("div.field", {});
  const along = h("input", { type: "checkbox" });
  const alongLine = h("label.line", {}, along, t("import.demonstrations"));
  const told = h("p", { role: "status" });
  let queue = null;
  const draw = () => {
    const kinds = QUEUE_KINDS[what.value];
    const fit = queues.filter((one) => kinds?.includes(one.kind));
    const none = what.value === "prompts" ? [["", t("import.noQueue")]] : [];
    queue = kinds ? select([...none, ...fit.map((one) => [one.name, one.name])], none.length ? "" : (fit[0]?.name ?? ""), { required: what.value !== "prompts" }) : null;
    refill(place, queue ? field(t("queue"), queue) : null);
    place.hidden = !queue;
    alongLine.hidden = what.value !== "samples";
  };
  draw();
  return [
    actionForm(
      [h("div.row", {}, field(t("import.file"), file), field(t("import.what"), what), place), alongLine],
      t("import.go"),
      async () => {
        told.textContent = t("import.running");
        try {
          const said = await api.importFile(file.files[0], {
            what: what.value,
            queue: queue?.value ?? "",
            demonstrations: !alongLine.hidden && along.checked ? "true" : "",
          });
          told.textContent = t("import.done", Object.fromEntries(Object.entries(said).map(([key, value]) => [key, number(value)])));
          notice(t("saved"));
        } catch (error) {
          told.textContent = "";
          throw error;
        }
      },
    ),
    told,
  ];
}

function exporting(queues) {
  const queue = select([["", t("review.all")], ...queues.map((one) => [one.name, one.name])], "", { onchange: () => draw() });
  const links = h("div.buttons.left", {});
  const draw = () => refill(links, EXPORTS.map((one) => h("a.button", { href: api.exportLink(one, queue.value), download: `${one}.jsonl` }, t(`data.${one}`))));
  draw();
  return [h("div.row", {}, field(t("queue"), queue)), links];
}
