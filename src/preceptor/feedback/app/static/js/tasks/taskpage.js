/**
 * The page of one task, whatever its kind: the prompt, the editor of the kind, the guidelines, and at the foot what
 * is missing, the time, and the way on. Nothing typed is lost, neither by a reload nor by a refusal.
 */

import * as api from "../lib/api.js";
import { announce, notice, tried } from "../lib/announce.js";
import { Clock } from "../lib/clock.js";
import { connected, onConnection } from "../lib/connection.js";
import { askReason } from "../lib/dialog.js";
import { h, refill } from "/common/dom.js";
import { Draft } from "../lib/drafts.js";
import { duration, t, tOr } from "../lib/i18n.js";
import { bindKeys } from "../lib/keys.js";
import { conversation, markdownButton } from "../lib/text.js";
import { ranking } from "../ranking/editor.js";
import { titled } from "../shell.js";
import { comparison } from "./comparison.js";
import { conflict } from "./conflict.js";
import { demonstration } from "./demonstration.js";
import { guidelines } from "./guidelines.js";
import { keepLock } from "./lock.js";
import { prompt } from "./prompt.js";

/**
 * An editor of one kind of task.
 *
 * @typedef {object} Editor
 * @property {HTMLElement} element
 * @property {HTMLElement} [side] what stands beside it on wide screens
 * @property {() => any} content for the draft
 * @property {() => {payload: any} | {problem: string, focus: HTMLElement}} answer
 * @property {() => string[]} missing in words
 * @property {() => string} readable the work as text, to be kept when it is refused
 * @property {import("../lib/keys.js").Key[]} keys
 */

const SOON = 1500;
const EDITORS = { demonstration, prompt, ranking, comparison };

/**
 * @param {HTMLElement} main
 * @param {object} view TaskView
 * @param {object} choices the fixed lists of the server
 * @param {{next: () => void, correcting?: boolean}} way
 * @returns {() => Promise<void> | null} what to do when the page is left; the draft may be on its way to the server
 */
export function taskPage(main, view, choices, { next, correcting = false }) {
  const { task } = view;
  const draft = new Draft(task.assignment, correcting ? null : task.draft, () => clock.seconds(), !correcting);
  const clock = new Clock(draft.kept?.seconds ?? 0);
  const changed = () => {
    draft.set(editor.content());
    sending.cancel();
    showMissing();
  };
  const editor = EDITORS[task.kind](task, draft.kept?.content ?? null, view.answer, changed, choices);
  const help = guidelines(task.kind, task.guideline_version);
  const markdown = markdownButton();
  const foot = taskbar({ correcting, submit: () => sending.go(), skip: askSkip, release: giveBack });
  const sending = sender({ task, editor, clock, draft, foot, correcting, next });
  const stopLock = correcting ? () => {} : keepLock(task, view.now, (words) => foot.say(words));
  const stopKeys = bindKeys([
    ...editor.keys,
    { key: "enter", ctrl: true, does: "submit", run: () => sending.go() },
    ...(correcting ? [] : [{ key: "x", does: "skip.title", run: askSkip }]),
    { key: "g", does: "keys.guidelines", run: () => help.toggle() },
    { key: "r", does: "keys.markdown", run: () => markdown.click() },
  ]);

  function showMissing() {
    foot.missing(editor.missing());
  }

  async function askSkip() {
    const given = await askReason({
      title: t("skip.title"),
      text: t("skip.text"),
      options: choices.skip_reasons.map((reason) => [reason, tOr(`skip.${reason}`, reason)]),
      noteLabel: t("note"),
      action: t("skip"),
    });
    if (!given) return;
    await leaving(() => api.skip(task.assignment, { reason: given.choice, note: given.note, seconds: clock.seconds() }));
  }

  async function giveBack() {
    await draft.toServer();
    await leaving(() => api.release(task.assignment), () => (location.hash = "#/"));
  }

  async function leaving(act, then = next) {
    if (!(await tried(act))) return;
    draft.discard();
    then();
  }

  const heading = h("h1", { tabindex: -1 }, correcting ? t("correct.title", { kind: t(`kind.${task.kind}`) }) : t(`kind.${task.kind}`));
  titled(`${t(`kind.${task.kind}`)} · ${task.queue}`);
  const progress = h("span.muted.progress", {}, task.queue);
  showProgress(task.queue, progress);
  const layout = h(
    editor.side ? "div.work.with-side" : "div.work",
    {},
    help.panel,
    h(
      "div.work-main",
      {},
      h("div.work-head", {}, heading, progress, h("div.tools", {}, markdown, help.button)),
      view.reason ? h("p.card.notice-card", {}, view.reason) : null,
      task.messages.length ? h("section.card.asked", { "aria-label": t("prompt"), tabindex: 0 }, conversation(task.messages)) : null,
      editor.element,
    ),
    editor.side ?? null,
  );
  refill(main, layout, foot.element);
  heading.focus({ preventScroll: true });
  scrollTo(0, 0);
  showMissing();
  foot.time(clock.seconds());
  clock.listener = (seconds) => foot.time(seconds);
  draft.onState = (state) => foot.say(t(`draft.${state}`));
  foot.say(draft.kept ? t("draft.restored") : "");
  return () => {
    stopKeys();
    stopLock();
    sending.cancel();
    clock.stop();
    if (draft.over) return null;
    const told = draft.toServer();
    draft.close();
    return told;
  };
}

/** Hands the answer in, once; and again with the same key when the connection comes back. */
function sender({ task, editor, clock, draft, foot, correcting, next }) {
  let last = { json: "", key: "" };
  let stopWaiting = null;
  let busy = false;
  const cancel = () => {
    if (!stopWaiting) return;
    stopWaiting();
    stopWaiting = null;
    draft.release();
    foot.busy(false);
  };
  const go = async () => {
    if (busy) return;
    cancel();
    const given = editor.answer();
    if (given.problem) {
      foot.say(given.problem, "bad");
      announce(given.problem, true);
      given.focus?.focus();
      return;
    }
    const json = JSON.stringify(given.payload);
    if (json !== last.json) last = { json, key: newKey() };
    await send({ payload: given.payload, seconds: clock.seconds(), key: last.key });
  };
  const send = async (answer) => {
    busy = true;
    foot.busy(true);
    foot.say(t("submit.sending"));
    await draft.hold();
    try {
      await (correcting ? api.correct : api.submit)(task.assignment, answer);
    } catch (error) {
      refused(error, answer);
      return;
    } finally {
      busy = false;
    }
    draft.discard();
    notice(t("submit.done"));
    next();
  };
  const refused = (error, answer) => {
    if (error instanceof api.Unreachable) {
      foot.say(t("submit.waiting"), "bad");
      stopWaiting = whenConnected(() => {
        stopWaiting = null;
        send(answer);
      });
      return;
    }
    draft.release();
    foot.busy(false);
    foot.say(error.message, "bad");
    announce(error.message, true);
    if (error.status !== 409) return;
    conflict(error.message, editor.readable(), task, () => {
      draft.discard();
      next();
    });
  };
  return { go, cancel };
}

/** Do it once when the server answers again, or soon if another request has already heard of it. */
function whenConnected(act) {
  let done = false;
  const once = (now) => {
    if (!now || done) return;
    stop();
    act();
  };
  const stopListening = onConnection(once);
  const timer = setTimeout(() => once(connected()), SOON);
  const stop = () => {
    done = true;
    stopListening();
    clearTimeout(timer);
  };
  return stop;
}

function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The bar at the foot. */
function taskbar({ correcting, submit, skip, release }) {
  const missing = h("span.missing", {});
  const said = h("span.said", { role: "status" });
  const time = h("span.num.time", { title: t("time.title") });
  const button = h("button.primary.submit", { type: "button", onclick: submit }, correcting ? t("correct.go") : t("submit"));
  const element = h(
    "div.taskbar",
    { role: "region", "aria-label": t("taskbar") },
    h("div.taskbar-words", {}, missing, said),
    time,
    correcting
      ? null
      : [
          h("button.quiet", { type: "button", onclick: release, title: t("release.title") }, t("release")),
          h("button", { type: "button", onclick: skip }, t("skip")),
        ],
    button,
  );
  return {
    element,
    missing: (list) => {
      missing.textContent = list.length ? list.join(" · ") : t("ready");
      missing.classList.toggle("ready", !list.length);
    },
    say: (words, kind = "") => {
      said.textContent = words;
      said.className = `said ${kind}`;
    },
    time: (seconds) => {
      time.textContent = duration(seconds);
    },
    busy: (now) => {
      button.disabled = now;
    },
  };
}

async function showProgress(name, place) {
  try {
    const { queues } = await api.queues();
    const queue = queues.find((one) => one.name === name);
    if (queue) place.textContent = `${name} · ${t("home.mine", { n: queue.mine })} · ${t("home.left", { n: queue.available })}`;
  } catch {
    // the name alone will do
  }
}
