/** The start: the parts of the page, and what its keys and buttons do. */

import { growing, h, refill, select } from "/common/dom.js";
import { themeButton } from "/common/theme.js";
import { Failed, KeyWanted, models } from "./api.js";
import { banner, consentSection, consentUser, learnConsent, stateLine } from "./consent.js";
import { conversations, drop, keep, keepSettings, settings } from "./kept.js";
import { live } from "./say.js";
import { askForKey, openSettings } from "./settings.js";
import { Talk } from "./talk.js";
import { begin, title } from "./tree.js";
import { currentLanguage, LANGUAGES, t, useLanguage } from "./words.js";

const messages = h("div.messages", {});
const talk = new Talk(messages, update);
let names = [];
let trouble = "";
let comparing = false;
let listOpen = false;
let parts = null;

/** Draw all but the messages. */
function shell() {
  const draft = parts?.box.value ?? "";
  const box = growing({ rows: 1, value: draft, "aria-label": t("message"), "aria-describedby": "keys", placeholder: t("message") });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  parts = {
    box,
    go: h("button.primary", { type: "submit" }),
    problem: h("p.problem", { role: "alert" }),
    list: h("ul", {}),
    side: h("aside", { id: "side", "aria-label": t("list") }),
    menu: h("button.icon.menu", { type: "button", "aria-label": t("list"), "aria-controls": "side", onclick: toggleList }, "☰"),
    picks: h("div.models", {}),
    asking: h("div", {}),
    state: h("div", {}),
  };
  const languages = select(Object.entries(LANGUAGES), currentLanguage(), {
    "aria-label": t("language"),
    onchange: () => {
      useLanguage(languages.value);
      shell();
      talk.draw();
      talk.toEnd(true);
      document.querySelector("header .tools select").focus();
    },
  });
  const fresh = h("button.new", { type: "button", onclick: () => show(begin(talk.conversation.system)) }, `+ ${t("new")}`);
  refill(parts.side, fresh, h("nav", { "aria-label": t("list") }, parts.list));
  const form = h(
    "form.composer",
    {
      onsubmit: (event) => {
        event.preventDefault();
        if (talk.writing) talk.stop();
        else send();
      },
    },
    parts.problem,
    h("div.line", {}, box, parts.go),
    h("div.below", {}, h("p.hint", { id: "keys" }, t("message.hint")), parts.state),
  );
  const settingsButton = h("button.icon", { type: "button", "aria-label": t("settings"), title: t("settings"), onclick: change }, "⚙");
  const skip = h("a.skip", { href: "#main", onclick: (event) => (event.preventDefault(), parts.box.focus()) }, t("skip"));
  refill(
    document.body,
    skip,
    h("header", {}, parts.menu, h("h1", {}, h("span.logo", { "aria-hidden": "true" }), h("span", {}, "Preceptor")), parts.picks,
      h("div.tools", {}, settingsButton, themeButton(t), languages)),
    h("div.body", {}, parts.side, h("main", { id: "main" }, h("div.scroller", { onscroll: () => talk.scrolled(), tabindex: 0, role: "region", "aria-label": t("talk") }, messages), parts.asking, form)),
    live,
  );
  update();
}

/** Draw what depends on the state: models, list, button. */
function update() {
  if (!parts) return;
  parts.go.textContent = talk.writing ? t("stop") : t("send");
  parts.go.disabled = !talk.writing && (Boolean(talk.undecided) || !names.length);
  parts.problem.textContent = trouble || (talk.undecided && !talk.writing ? t("compare.first") : "");
  parts.side.classList.toggle("open", listOpen);
  parts.menu.setAttribute("aria-expanded", String(listOpen));
  refill(parts.asking, banner(consentChanged));
  refill(parts.state, stateLine(consentChanged));
  drawModels();
  drawList();
}

/** What is shown of consent has changed: the messages have other buttons now. */
function consentChanged() {
  talk.draw();
  if (!document.activeElement || document.activeElement === document.body) parts.box.focus();
}

function drawModels() {
  const { model, other } = settings();
  const pick = (key, value, label) => {
    const box = select(names.map((name) => [name, name]), value, {
      "aria-label": label,
      onchange: () => keepSettings({ ...settings(), [key]: box.value }),
    });
    return box;
  };
  const compare = h(
    "button",
    { type: "button", "aria-pressed": String(comparing), title: t("compare.hint"), disabled: names.length < 2, onclick: () => ((comparing = !comparing), update(), parts.picks.querySelector("button").focus()) },
    t("compare"),
  );
  refill(parts.picks, pick("model", model, t("model")), compare, comparing ? pick("other", other, t("model.other")) : null);
}

function drawList() {
  const all = conversations();
  const entry = (one) => {
    const words = title(one) || t("untitled");
    const here = one.id === talk.conversation.id;
    return h(
      "li",
      {},
      h("button.entry", { type: "button", "aria-current": here ? "true" : null, onclick: () => show(here ? talk.conversation : one) }, words),
      h("button.icon", { type: "button", "aria-label": t("list.delete", { title: words }), onclick: () => remove(one, words) }, "×"),
    );
  };
  refill(parts.list, all.length ? all.map(entry) : h("li.hint", {}, t("list.empty")));
}

function toggleList() {
  listOpen = !listOpen;
  update();
  if (listOpen) parts.side.querySelector("button").focus();
}

function show(conversation) {
  listOpen = false;
  if (conversation === talk.conversation) update();
  else talk.open(conversation);
  parts.box.focus();
}

function remove(conversation, words) {
  if (!confirm(t(consentUser() ? "list.sure.kept" : "list.sure", { title: words }))) return;
  const here = conversation.id === talk.conversation.id;
  if (here) talk.open(begin(conversation.system));
  drop(conversation);
  update();
  parts.box.focus();
}

function send() {
  const text = parts.box.value.trim();
  if (!text || talk.writing || talk.undecided || !names.length) return;
  parts.box.value = "";
  parts.box.dispatchEvent(new Event("input"));
  const sent = talk.send(text, comparing ? settings().other : null);
  keep(talk.conversation);
  update();
  sent.then(() => parts.box.focus());
}

function change() {
  openSettings(talk.conversation.system, (system) => {
    talk.conversation.system = system;
    if (talk.conversation.nodes.length) keep(talk.conversation);
    talk.draw(); // with or without the researcher's view
    findModels();
  }, (close) => consentSection(close, consentChanged));
}

async function findModels() {
  let keyWanted = false;
  try {
    names = await models();
    trouble = names.length ? "" : t("models.none");
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    trouble = error.message;
    keyWanted = error instanceof KeyWanted;
    if (keyWanted) askForKey(findModels);
  }
  const now = settings();
  const model = names.includes(now.model) ? now.model : names[0];
  const other = names.includes(now.other) && now.other !== model ? now.other : names.find((name) => name !== model);
  if (names.length) keepSettings({ ...now, model, other });
  update();
  if (!keyWanted && (await learnConsent())) talk.draw();
}

addEventListener("keydown", (event) => {
  if (document.querySelector("dialog")) return;
  if (event.key === "Escape" && talk.writing) talk.stop();
  if (event.key === "/" && !event.target.closest("input, textarea, select")) {
    event.preventDefault();
    parts.box.focus();
  }
});
addEventListener("pagehide", () => talk.conversation.nodes.length && keep(talk.conversation));
document.documentElement.lang = currentLanguage();
shell();
talk.draw();
parts.box.focus();
findModels();
