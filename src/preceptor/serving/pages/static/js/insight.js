/** The researcher's view of a reply: its tokens by probability or KL, what else was likely, where the model looked. */

import { h, newId, refill, select, table } from "/common/dom.js";
import { Failed, post } from "./api.js";
import { say } from "./say.js";
import { t } from "./words.js";

const opened = new WeakMap(); // node -> what is shown of it, as long as its panel is open
const MOST = 8; // tokens that are listed as most looked at
const FULL = { p: 7, kl: 2 }; // nats at which the colour is full: a probability of 0.1 %; a KL of 2

/**
 * A button for a reply and the panel that it opens.
 *
 * @param {import("./tree.js").Node} node the reply
 * @param {object[]} before the messages that it answers
 */
export function insight(node, before) {
  const panel = h("section.insight", { "aria-label": t("insight.title"), id: newId("insight") });
  const button = h("button.quiet", { type: "button", "aria-controls": panel.id, onclick: toggle }, t("insight"));
  const body = { model: node.model, messages: [...before, { role: "assistant", content: node.content }] };

  function toggle() {
    if (opened.delete(node)) return draw();
    const state = { by: "p", at: 0 };
    opened.set(node, state);
    draw();
    return fetched(state, "found", "/v1/inspect", body).then(() => {
      if (opened.get(node) !== state) return;
      state.draw();
      say(state.trouble ?? summary(state.found));
    });
  }

  function draw() {
    const state = opened.get(node);
    if (state) state.draw = draw; // the page may be drawn anew while the server computes
    panel.hidden = !state;
    button.setAttribute("aria-expanded", String(Boolean(state)));
    if (!state) refill(panel);
    else if (state.trouble) refill(panel, h("p.note.bad", {}, state.trouble));
    else if (!state.found) refill(panel, h("p.hint", {}, t("insight.wait")));
    else refill(panel, parts(state, body));
  }

  draw();
  return { button, panel };
}

/** Ask the server, and put its answer or what went wrong into the state. One at a time: it refuses a second. */
async function fetched(state, key, path, body) {
  const answer = (state.turn ?? Promise.resolve()).then(() => post(path, body));
  state.turn = answer.catch(() => {});
  try {
    state[key] = await answer;
    state.trouble = null;
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    state.trouble = t("insight.failed", { why: error.message });
  }
}

function parts(state, body) {
  const { found } = state;
  const compared = found.tokens.some((token) => "kl" in token);
  const box = h("div.tokens", { role: "listbox", "aria-label": t("insight.reply"), "aria-orientation": "horizontal", onkeydown: move });
  const scale = h("p.tokens.scale", { role: "img", "aria-label": t("insight.scale") });
  const detail = h("div.detail", {});
  const by = select([["p", t("insight.by.p")], ["kl", t("insight.by.kl")]], state.by, { "aria-label": t("insight.colour"), onchange: () => ((state.by = by.value), paint()) });
  const tokens = found.tokens.map((token, at) => {
    const words = [percent(token.logprob), ...compare(token)].join(", ");
    const attributes = { role: "option", "aria-label": `${seen(token.text)}: ${words}`, title: words, onfocus: () => choose(at), onclick: () => tokens[at].focus() };
    return tokenView(token, attributes);
  });

  function paint() {
    const heat = (token) => (state.by === "kl" ? token.kl : -token.logprob) / FULL[state.by];
    found.tokens.forEach((token, at) => tint(tokens[at], heat(token)));
    const steps = state.by === "kl" ? [0, 0.5, 1, 2] : [0, Math.LN2, Math.log(10), Math.log(100), Math.log(1000)];
    refill(scale, steps.map((nats) => tint(h("span.token", {}, state.by === "kl" ? String(nats) : percent(-nats)), nats / FULL[state.by])));
  }

  function choose(at) {
    if (at !== state.at) state.attention = null;
    state.at = at;
    tokens.forEach((one, k) => {
      one.tabIndex = k === at ? 0 : -1;
      one.setAttribute("aria-selected", String(k === at));
    });
    refill(detail, details(state, body));
  }

  function move(event) {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -tokens.length, End: tokens.length };
    if (!(event.key in steps)) return;
    event.preventDefault();
    tokens[Math.min(tokens.length - 1, Math.max(0, state.at + steps[event.key]))].focus();
  }

  paint();
  choose(state.at);
  const colours = compared && h("div.by", {}, h("span.hint", { "aria-hidden": "true" }, t("insight.colour")), by);
  refill(box, tokens);
  return [h("p", {}, summary(found)), h("div.by", {}, colours, scale), box, detail];
}

/** All there is to say of the chosen token. */
function details(state, body) {
  const token = state.found.tokens[state.at];
  const said = [`“${token.text}”`, percent(token.logprob), ...compare(token)].join(" · ");
  const rows = token.top.map((one) => [seen(one.text), percent(one.logprob)]);
  const looked = h("div.looked", {});
  const look = h("button", { type: "button", onclick: () => fetchAttention({}) }, t("insight.look"));

  async function fetchAttention(choice) {
    state.choice = choice;
    const { at } = state;
    await fetched(state, "attention", "/v1/inspect/attention", { ...body, token: at, ...choice });
    if (state.at !== at) state.attention = null;
    else if (looked.isConnected) show();
    else state.draw();
  }

  function show() {
    if (state.trouble) refill(looked, h("p.note.bad", {}, state.trouble));
    else if (state.attention) refill(looked, attention(state, token, fetchAttention));
    look.hidden = Boolean(state.attention);
  }

  show();
  return [h("p.num", {}, said), table(t("insight.top"), [t("insight.top"), t("insight.p")], rows, ""), look, looked];
}

function attention(state, token, again) {
  const { attention: found, choice } = state;
  const most = Math.max(...found.seen.map((one) => one.weight));
  const share = (one) => `${shortly(100 * one.weight)} %`;
  const pick = (key, words, count) => {
    const options = [["", t("insight.mean")], ...Array.from({ length: count }, (_, k) => [String(k), String(k + 1)])];
    const box = select(options, String(choice[key] ?? ""), { "aria-label": words, onchange: async () => {
      await again({ ...choice, [key]: box.value === "" ? null : Number(box.value) });
      document.querySelector(`[data-pick="${key}"]`)?.focus(); // it was drawn anew
    }, "data-pick": key });
    return h("div.by", {}, h("span.hint", { "aria-hidden": "true" }, words), box);
  };
  const words = t("insight.seen", { token: token.text });
  const all = h("div.tokens.seen", { role: "region", "aria-label": words, tabindex: 0 }, found.seen.map((one) => tint(tokenView(one, { title: share(one) }), one.weight / most)));
  const list = [...found.seen].sort((one, other) => other.weight - one.weight).slice(0, MOST);
  return [
    h("div.by", {}, pick("layer", t("insight.layer"), found.layers), pick("head", t("insight.head"), found.heads)),
    h("p.hint", {}, words),
    all,
    table(t("insight.most"), [t("insight.most"), t("insight.share")], list.map((one) => [seen(one.text), share(one)]), ""),
  ];
}

function summary({ tokens, score }) {
  const sum = (key) => tokens.reduce((total, token) => total + token[key], 0);
  return [
    t("insight.tokens", { n: tokens.length }),
    t("insight.perplexity", { x: shortly(Math.exp(-sum("logprob") / tokens.length)) }),
    score !== undefined && t("insight.score", { x: signed(score) }),
    "kl" in tokens[0] && t("insight.sums", { ratio: signed(sum("log_ratio")), kl: shortly(sum("kl")) }),
  ].filter(Boolean).join(" · ");
}

const compare = (token) => ("kl" in token ? [t("insight.ratio", { x: signed(token.log_ratio) }), t("insight.kl", { x: shortly(token.kl) })] : []);

function tokenView(token, attributes) {
  return h(token.bytes ? "span.token" : "span.token.special", attributes, seen(token.text));
}

/** A token's text with its white space at the ends, and what has no shape, made visible. */
function seen(text) {
  const shaped = text.replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/^ | $/g, "␣");
  return shaped.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (one) => `\\u{${one.codePointAt(0).toString(16)}}`);
}

function tint(view, heat) {
  view.style.setProperty("--heat", `${Math.round(100 * Math.min(1, Math.max(0, heat)))}%`);
  return view;
}

const percent = (logprob) => (logprob < Math.log(1e-5) ? "< 0.001 %" : `${shortly(100 * Math.exp(logprob))} %`);
const shortly = (x) => String(Number(x.toPrecision(x < 100 ? 2 : 3)));
const signed = (x) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(2)}`;
