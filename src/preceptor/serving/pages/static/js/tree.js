/**
 * A conversation is a tree: to edit a message or to ask again makes a sibling, and nothing is lost. This is its
 * arithmetic, without a page.
 *
 * @typedef {object} Node
 * @property {number} id
 * @property {number} parent 0 at the top
 * @property {"user" | "assistant"} role
 * @property {string} content
 * @property {string} [model]
 * @property {"writing" | "done" | "cut" | "stopped" | "failed"} [state] of a reply
 * @property {string} [why] it failed
 * @property {{id: string, user: string}} [reply] the server keeps it: how it is called there, and for whom
 * @property {"up" | "down"} [thumb] of a reply
 * @property {boolean} [rewritten] a reply in the reader's words
 * @property {{a: number, b: number, picked: "A" | "B" | "tie" | null, told?: string}} [pair] of a message: two replies
 *   compared blind, and what became of the choice
 *
 * @typedef {object} Conversation
 * @property {string} id
 * @property {number} at milliseconds since 1970, of the last message
 * @property {string} system
 * @property {Node[]} nodes a node's id is its place in the list, counted from 1
 * @property {Object<number, number>} chosen the child that is shown, by parent
 */

/** @returns {Conversation} */
export function begin(system = "") {
  return { id: crypto.getRandomValues(new Uint32Array(3)).join("-"), at: Date.now(), system, nodes: [], chosen: {} };
}

/** Add a message below another, and show it. @returns {Node} */
export function add(conversation, parent, message) {
  const node = { ...message, id: conversation.nodes.length + 1, parent };
  conversation.nodes.push(node);
  conversation.chosen[parent] = node.id;
  conversation.at = Date.now();
  return node;
}

export const find = (conversation, id) => conversation.nodes[id - 1];

/** The children of a node's parent, oldest first. */
export const siblings = (conversation, node) => conversation.nodes.filter((one) => one.parent === node.parent);

/** The messages from the top to the last that is shown. */
export function path(conversation) {
  const shown = [];
  let at = 0;
  while (conversation.chosen[at]) {
    at = conversation.chosen[at];
    shown.push(find(conversation, at));
  }
  return shown;
}

/** What the model reads before it answers a message: the system prompt, and all from the top to that message. */
export function context(conversation, node) {
  const messages = [];
  for (let at = node; at; at = find(conversation, at.parent)) messages.unshift({ role: at.role, content: at.content });
  if (conversation.system) messages.unshift({ role: "system", content: conversation.system });
  return messages;
}

/** The first words, for the list. */
export function title(conversation) {
  const first = conversation.nodes[0]?.content.trim().replace(/\s+/g, " ") ?? "";
  const letters = [...first];
  return letters.length > 60 ? `${letters.slice(0, 59).join("")}…` : first;
}
