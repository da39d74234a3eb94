/**
 * Consent: whether the server may keep what is done here. It is asked for once for each version of the text, its state
 * is always shown, and it can be withdrawn. Where the server keeps nothing anyway, none of this is seen.
 */

import { h, newId } from "/common/dom.js";
import { consentText, Failed, tell, withdraw } from "./api.js";
import { consent, keepConsent } from "./kept.js";
import { markdown } from "./markdown.js";
import { say } from "./say.js";
import { currentLanguage, t } from "./words.js";

let now = { collecting: false }; // what the server said last

/** The name that this browser's user is kept under; empty while nothing is kept. */
export const consentUser = () => (now.given?.holds ? now.given.user : "");

/** Ask the server how things are. @returns {Promise<boolean>} whether it keeps anything at all */
export async function learnConsent() {
  try {
    now = await consentText(currentLanguage());
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    now = { collecting: false }; // then nothing is sent either
  }
  return now.collecting;
}

/** The question, as long as it has no answer; null when there is none. */
export function banner(changed) {
  if (!now.collecting || consentUser() || consent().declined === now.version) return null;
  return h(
    "section.asking",
    { "aria-label": t("consent.title") },
    h("p", {}, t(now.given ? "consent.anew" : "consent.ask")),
    h(
      "div.buttons",
      {},
      h("button", { type: "button", onclick: () => decline(changed) }, t("consent.decline")),
      h("button.primary", { type: "button", onclick: () => openConsent(changed) }, t("consent.read")),
    ),
  );
}

/** One line that says how things are, with a button to change it. */
export function stateLine(changed) {
  if (!now.collecting) return null;
  const on = Boolean(consentUser());
  const button = h("button.quiet", { type: "button", "aria-label": `${t("consent.change")}: ${t("consent.title")}`, onclick: () => openConsent(changed) }, t("consent.change"));
  return h("p.state", { "data-on": String(on) }, h("span.dot", { "aria-hidden": "true" }), h("span", {}, t(on ? "consent.on" : "consent.off")), button);
}

/** The same among the settings. `close` closes those. */
export function consentSection(close, changed) {
  if (!now.collecting) return null;
  const on = Boolean(consentUser());
  const act = (words, go) => h("button", { type: "button", onclick: () => (close(), go(changed)) }, t(words));
  return h(
    "section.yours",
    { "aria-label": t("consent.title") },
    h("p", {}, t(on ? "consent.on" : "consent.off"), " ", on ? t("consent.yours", { user: now.given.user }) : null),
    h("div.buttons", {}, act(on ? "consent.text" : "consent.read", openConsent), now.given ? act("consent.withdraw", takeBack) : null),
  );
}

/** The text, in full and as it is now, and the decision below it. */
async function openConsent(changed, problem = "") {
  if (!(await learnConsent())) return changed();
  const head = h("h2", { id: newId("title") }, t("consent.title"));
  const close = h("button.icon", { type: "button", "aria-label": t("close"), onclick: () => dialog.close() }, "×");
  const act = (words, go, kind = "button") => h(kind, { type: "button", onclick: () => (dialog.close(), go()) }, t(words));
  const choices = consentUser()
    ? [act("consent.withdraw", () => takeBack(changed)), act("consent.go_on", () => {}, "button.primary")]
    : [now.given ? act("consent.withdraw", () => takeBack(changed)) : null, act("consent.decline", () => decline(changed)), act("consent.agree", () => agree(now.version, changed), "button.primary")];
  const text = h("div.text", { lang: now.language, tabindex: 0, role: "region", "aria-labelledby": head.id }, markdown(now.text, () => null));
  const dialog = h(
    "dialog.consent",
    { "aria-labelledby": head.id, onclose: () => dialog.remove() },
    h("div.dialog-head", {}, head, close),
    text,
    h("p.hint", {}, t("consent.version", { version: now.version })),
    h("p.problem", { role: "alert" }, problem),
    h("div.buttons", {}, choices),
  );
  document.body.append(dialog);
  dialog.showModal();
  text.focus(); // so that it is read from its beginning
}

async function agree(version, changed) {
  try {
    const { token } = await tell("consent", { version });
    keepConsent({ token });
    await learnConsent();
    say(t("consent.on"));
    changed();
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    openConsent(changed, error.message); // with the text as it is by now
  }
}

function decline(changed) {
  keepConsent({ ...consent(), declined: now.version });
  say(t("consent.off"));
  changed();
}

async function takeBack(changed) {
  if (!confirm(t("consent.sure"))) return;
  try {
    const { deleted } = await (await withdraw()).json();
    say(t("consent.deleted", deleted));
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    const before = error.status === 404 || !consent().token; // withdrawn before, or in another tab
    if (!before) return openConsent(changed, error.message);
  }
  keepConsent({ declined: now.version });
  await learnConsent();
  changed();
}
