/** Making queues, opening and closing them, and wishing for prompts. */

import * as api from "../lib/api.js";
import { notice, tried } from "../lib/announce.js";
import { field, h, refill, select, table } from "/common/dom.js";
import { duration, number, percent, t } from "../lib/i18n.js";
import { actionForm } from "./parts.js";

export async function queuesTab(body) {
  const [{ queues }, choices] = await Promise.all([api.reviewQueues(), api.getChoices()]);
  const again = () => queuesTab(body);
  const wishing = queues.filter((queue) => queue.kind === "prompt");
  refill(
    body,
    table(
      t("admin.queues"),
      [t("queue"), t("kind"), t("progress.overlap"), t("queue.lock"), t("queue.honeypots"), t("queue.priority"), t("state"), ""],
      queues.map((queue) => row(queue, again)),
      t("home.none"),
    ),
    h("section.card", {}, h("h2", {}, t("queue.new")), creation(choices, again)),
    wishing.length ? h("section.card", {}, h("h2", {}, t("wish.title")), h("p.hint", {}, t("wish.text")), wishes(wishing, choices)) : null,
  );
}

function row(queue, again) {
  const change = (what) => tried(async () => {
    await api.changeQueue({ name: queue.name, ...what });
    notice(t("saved"));
    await again();
  });
  const priority = h("input.short", {
    type: "number",
    value: queue.priority,
    "aria-label": t("queue.priorityOf", { queue: queue.name }),
    onchange: () => change({ priority: Math.round(Number(priority.value)) || 0 }),
  });
  return [
    queue.name,
    t(`kind.${queue.kind}`),
    h("span.num", {}, queue.overlap),
    h("span.num", {}, duration(queue.lock_seconds)),
    h("span.num", {}, queue.honeypots ? `${percent(queue.honeypot_rate)} (${number(queue.honeypots)})` : "–"),
    priority,
    t(queue.open ? "queue.open" : "queue.closed"),
    h("button.small", { type: "button", onclick: () => change({ open: !queue.open }) }, t(queue.open ? "queue.close" : "queue.reopen")),
  ];
}

function creation(choices, again) {
  const name = h("input", { type: "text", required: true, maxlength: 200 });
  const kind = select(choices.kinds.map((one) => [one, t(`kind.${one}`)]), "ranking");
  const overlap = h("input", { type: "number", min: 1, max: 1000, value: 2, required: true });
  const rate = h("input", { type: "number", min: 0, max: 90, value: 0, step: "any" });
  const minutes = h("input", { type: "number", min: 1, max: 10080, step: "any" });
  const priority = h("input", { type: "number", value: 0, step: 1 });
  return actionForm(
    h(
      "div.row",
      {},
      field(t("queue.name"), name),
      field(t("kind"), kind),
      field(t("progress.overlap"), overlap, t("queue.overlapHint")),
      field(t("queue.honeypotRate"), rate, t("queue.honeypotHint")),
      field(t("queue.lockMinutes"), minutes, t("queue.lockHint")),
      field(t("queue.priority"), priority, t("queue.priorityHint")),
    ),
    t("queue.create"),
    async () => {
      const body = { name: name.value, kind: kind.value, overlap: Number(overlap.value), priority: Math.round(Number(priority.value)) };
      if (Number(rate.value)) body.honeypot_rate = Number(rate.value) / 100;
      if (minutes.value) body.lock_seconds = Math.round(Number(minutes.value) * 60);
      await api.createQueue(body);
      notice(t("saved"));
      await again();
    },
  );
}

function wishes(queues, choices) {
  const any = (list, words) => [["", t("wish.any")], ...list.map((one) => [one, words(one)])];
  const queue = select(queues.map((one) => [one.name, one.name]), queues[0].name);
  const form = select(any(choices.forms, (one) => t(`form.${one}`)), "");
  const way = select(any(choices.ways, (one) => t(`way.${one}`)), "");
  const useCase = select(any(choices.use_cases, (one) => t(`case.${one}`)), "");
  const hint = h("input", { type: "text", maxlength: 1000, dir: "auto" });
  const copies = h("input", { type: "number", min: 1, max: 10000, value: 1, required: true });
  return actionForm(
    h(
      "div.row",
      {},
      field(t("queue"), queue),
      field(t("prompt.form"), form),
      field(t("prompt.way"), way),
      field(t("prompt.case"), useCase),
      field(t("wish.hint"), hint, t("wish.hintHint")),
      field(t("wish.copies"), copies),
    ),
    t("wish.add"),
    async () => {
      const wish = { form: form.value, way: way.value, use_case: useCase.value, hint: hint.value };
      const given = Object.fromEntries(Object.entries(wish).filter(([, value]) => value));
      const { added, known } = await api.addWishes({ queue: queue.value, wish: given, copies: Number(copies.value) });
      notice(t("added", { added: number(added), known: number(known) }));
    },
  );
}
