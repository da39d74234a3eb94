/** A conversation: what it shows, and replies as they are written. */

import { fill, h, refill } from "/common/dom.js";
import { Failed, reply } from "./api.js";
import { insight } from "./insight.js";
import { keep, settings } from "./kept.js";
import { consentUser, learnConsent } from "./consent.js";
import { judging, sendChoice } from "./judging.js";
import { editor, messageView, versions } from "./message.js";
import { say } from "./say.js";
import { add, begin, context, find, path, siblings } from "./tree.js";
import { t } from "./words.js";

export class Talk {
  /**
   * @param {HTMLElement} place where the messages are shown
   * @param {() => void} changed called when the list of conversations or the state of the composer has to be drawn anew
   */
  constructor(place, changed) {
    this.place = place;
    this.changed = changed;
    this.conversation = begin();
    this.stopper = null;
    this.views = new Map();
    this.following = true; // the end of the page, as it grows
  }

  /** The reader has scrolled. */
  scrolled() {
    const place = this.place.parentElement;
    this.following = place.scrollHeight - place.scrollTop - place.clientHeight < 60;
  }

  /** Show another conversation; what is being written stops. */
  open(conversation) {
    this.stop();
    this.conversation = conversation;
    this.draw();
    this.toEnd(true);
  }

  get writing() {
    return this.stopper !== null;
  }

  /** The message whose two replies wait for a pick; null if there is none. */
  get undecided() {
    return path(this.conversation).find((node) => node.pair && !node.pair.picked) ?? null;
  }

  stop() {
    this.stopper?.abort();
  }

  /** Say something, at the end or below another message. With `other`, two models answer it, in a random order. */
  send(content, other = null, parent = path(this.conversation).at(-1)?.id ?? 0) {
    return this.answer(add(this.conversation, parent, { role: "user", content }), other);
  }

  /** Have a message answered, once more if it was before. */
  async answer(message, other = null) {
    const models = [settings().model, other].filter(Boolean);
    if (!models.length) return;
    if (other && Math.random() < 0.5) models.reverse();
    const replies = models.map((model) =>
      add(this.conversation, message.id, { role: "assistant", content: "", model, state: "writing" }),
    );
    if (other) message.pair = { a: replies[0].id, b: replies[1].id, picked: null };
    const conversation = this.conversation;
    const stopper = new AbortController();
    this.stopper = stopper;
    this.draw();
    this.toEnd(true);
    say(t("writing"));
    await Promise.all(replies.map((node) => this.write(conversation, message, node, stopper.signal)));
    if (this.stopper === stopper) this.stopper = null;
    keep(conversation);
    this.changed();
    if (conversation !== this.conversation) return;
    const heard = (node) => [node.content, node.state === "failed" && t("failed", { why: node.why })].filter(Boolean).join(" ");
    say(other ? t("compare.best") : heard(replies[0]));
    this.draw();
    this.toEnd();
  }

  async write(conversation, message, node, signal) {
    const { temperature, top_p, max_tokens, seed } = settings();
    const body = { model: node.model, messages: context(conversation, message), temperature, top_p, max_tokens, seed };
    let waiting = 0;
    const paint = () => {
      waiting = 0;
      this.views.get(node)?.paint();
      this.toEnd();
    };
    try {
      const { finish, id, kept } = await reply(body, signal, (piece) => {
        node.content += piece;
        waiting ||= requestAnimationFrame(paint);
      });
      node.state = finish === "length" ? "cut" : "done";
      if (kept !== Boolean(consentUser())) await learnConsent(); // it began or ended in another tab, or by a new text
      if (kept) node.reply = { id, user: consentUser() };
    } catch (error) {
      if (!(error instanceof Failed) && error.name !== "AbortError") throw error;
      node.state = error instanceof Failed ? "failed" : "stopped";
      if (node.state === "failed") node.why = error.message;
    } finally {
      cancelAnimationFrame(waiting);
      this.views.get(node)?.paint();
    }
  }

  /** Pick the better of two replies; the conversation goes on with it. */
  pick(message, picked) {
    message.pair.picked = picked;
    this.choose(find(this.conversation, picked === "B" ? message.pair.b : message.pair.a));
    say(this.revealed(message));
    const both = [message.pair.a, message.pair.b].map((id) => find(this.conversation, id));
    const conversation = this.conversation;
    sendChoice(message.pair, both, () => {
      keep(conversation);
      if (conversation === this.conversation) this.draw();
    });
  }

  /** Put a reply in the reader's words beside another, and go on with it. */
  rewrite(node, text) {
    const mine = { role: "assistant", content: text, model: node.model, state: "done", reply: node.reply, rewritten: true };
    this.choose(add(this.conversation, node.parent, mine));
  }

  /** Show another version. */
  choose(node, step = 0) {
    this.conversation.chosen[node.parent] = node.id;
    keep(this.conversation);
    this.draw();
    const all = siblings(this.conversation, node);
    if (!step) return;
    say(t("version", { at: all.indexOf(node) + 1, n: all.length }));
    const buttons = [...this.views.get(node).querySelectorAll("[data-step]")];
    (buttons.find((button) => Number(button.dataset.step) === step && !button.disabled) ?? buttons.find((one) => !one.disabled))?.focus();
  }

  /** Stay at the end of the page while a reply grows, unless the reader has gone up. */
  toEnd(surely = false) {
    const place = this.place.parentElement;
    if (surely || this.following) place.scrollTop = place.scrollHeight;
  }

  draw() {
    const scroller = this.place.parentElement;
    const before = scroller?.scrollTop;
    const following = this.following;
    this.drawAll();
    if (scroller) scroller.scrollTop = before;
    this.following = following; // the scrolling above was ours, not the reader's
  }

  drawAll() {
    this.views = new Map();
    refill(this.place);
    const shown = path(this.conversation);
    if (!shown.length) fill(this.place, h("p.welcome", {}, t("welcome")));
    for (const node of shown) {
      const asked = find(this.conversation, node.parent);
      if (asked?.pair && !asked.pair.picked) fill(this.place, this.pairView(asked));
      else fill(this.place, this.view(node));
      if (asked?.pair?.picked && [asked.pair.a, asked.pair.b].includes(node.id)) fill(this.place, h("p.revealed", {}, this.revealed(asked)));
    }
    this.changed();
  }

  view(node) {
    const mine = node.role === "user";
    const all = siblings(this.conversation, node);
    const buttons = versions(all, node, (one, step) => !this.writing && this.choose(one, step));
    const act = (words, go) => h("button.quiet", { type: "button", onclick: () => !this.writing && !this.undecided && go() }, t(words));
    buttons.push(
      mine
        ? act("edit", () => editor(view, node, (text) => this.send(text, null, node.parent), () => this.draw()))
        : act("regenerate", () => this.answer(find(this.conversation, node.parent))),
    );
    const edit = (save) => !this.writing && !this.undecided && editor(view, node, save, () => this.draw(), { box: t("rewrite.box"), go: t("rewrite.send") });
    const conversation = this.conversation;
    if (!mine) buttons.push(...judging(node, { edit, kept: () => keep(conversation), rewritten: (text) => this.rewrite(node, text) }));
    const looked = settings().researcher && !mine && insight(node, context(this.conversation, find(this.conversation, node.parent)));
    if (looked) buttons.push(looked.button);
    const view = messageView(node, { name: mine ? t("you") : node.rewritten ? t("rewritten") : node.model, buttons });
    if (looked) view.append(looked.panel);
    this.views.set(node, view);
    return view;
  }

  /** Two replies side by side, without names. */
  pairView(message) {
    const both = ["a", "b"].map((letter) => {
      const node = find(this.conversation, message.pair[letter]);
      const view = messageView(node, { name: t("compare.reply", { letter: letter.toUpperCase() }) });
      this.views.set(node, view);
      return view;
    });
    const choice = (words, picked) => h("button", { type: "button", onclick: () => this.pick(message, picked) }, t(words));
    const choices = h(
      "div.picks",
      { role: "group", "aria-label": t("compare.best") },
      h("span", {}, t("compare.best")),
      choice("compare.a", "A"),
      choice("compare.tie", "tie"),
      choice("compare.b", "B"),
    );
    choices.hidden = this.writing;
    return h("div.pair", {}, h("div.two", {}, both), choices);
  }

  revealed(message) {
    const name = (id) => find(this.conversation, id).model;
    const letter = message.pair.picked === "B" ? "B" : "A";
    const said = t("compare.revealed", { a: name(message.pair.a), b: name(message.pair.b), letter });
    return [said, message.pair.told].filter(Boolean).join(" ");
  }
}
