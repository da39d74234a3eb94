/** What this browser keeps: conversations, settings, and the key to what the server keeps with consent. */

import { forget, recall, remember, remembered } from "/common/memory.js";

const START = "chat/";
const SETTINGS = "chat-settings";
const CONSENT = "chat-consent";

/** All conversations, newest first. What was being written when the page was closed has stopped. */
export function conversations() {
  const found = remembered(START).map(recall).filter((one) => Array.isArray(one?.nodes));
  for (const one of found) for (const node of one.nodes) if (node.state === "writing") node.state = "stopped";
  return found.sort((one, other) => other.at - one.at);
}

const dropped = new Set(); // ids; the last words of a reply may come after its conversation was deleted

export function keep(conversation) {
  if (!dropped.has(conversation.id)) remember(START + conversation.id, conversation);
}

export function drop(conversation) {
  dropped.add(conversation.id);
  forget(START + conversation.id);
}

/** @returns {{model?: string, other?: string, temperature?: number, top_p?: number, max_tokens?: number, seed?: number, researcher?: boolean}} */
export const settings = () => recall(SETTINGS) ?? {};
export const keepSettings = (values) => remember(SETTINGS, values);

/** The key to what the server keeps, or the version of the text that was declined. @returns {{token?: string, declined?: number}} */
export const consent = () => recall(CONSENT) ?? {};
export const keepConsent = (value) => remember(CONSENT, value);
