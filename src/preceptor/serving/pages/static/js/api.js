/** The OpenAI-compatible server of this origin. */

import { forget, recall, remember } from "/common/memory.js";
import { consent } from "./kept.js";
import { t } from "./words.js";

const KEY = "api-key";

export const apiKey = () => recall(KEY) ?? "";
export const keepKey = (key) => (key ? remember(KEY, key) : forget(KEY));

/** Why there is no reply, in words for the reader; the status that the server gave, if it did. */
export class Failed extends Error {
  constructor(words, status = 0) {
    super(words);
    this.status = status;
  }
}

/** The server wants a key, or another one. */
export class KeyWanted extends Failed {}

async function call(path, options = {}) {
  const headers = { ...options.headers };
  if (/[^\x21-\x7e]/.test(apiKey())) throw new KeyWanted(t("failed.key")); // no header can hold it
  if (apiKey()) headers.Authorization = `Bearer ${apiKey()}`;
  if (consent().token) headers["Preceptor-Consent"] = consent().token;
  let answer;
  try {
    answer = await fetch(path, { credentials: "omit", cache: "no-store", ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failed(t("failed.away"));
  }
  if (answer.ok) return answer;
  if (answer.status === 401) throw new KeyWanted(t("failed.key"));
  const said = await answer.json().catch(() => null);
  throw new Failed(String(said?.error?.message ?? said?.detail ?? `${answer.status} ${answer.statusText}`), answer.status);
}

/** Names of the models. @returns {Promise<string[]>} */
export async function models() {
  const said = await (await call("/v1/models")).json();
  return said.data.map((model) => model.id);
}

/** Whether the server keeps anything, the text it asks with, and what this browser agreed to. */
export const consentText = async (language) => (await call(`/v1/feedback/consent?language=${language}`)).json();
export const withdraw = () => call("/v1/feedback/consent", { method: "DELETE" });

/** Tell the server: consent, thumbs, comparisons or demonstrations. */
export const tell = (what, body) => post(`/v1/feedback/${what}`, body);

/**
 * A reply, in pieces as they come. Ends with the reason why the model ended, the reply's id, and whether it is kept.
 *
 * @param {object} body of POST /v1/chat/completions
 * @param {AbortSignal} signal
 * @param {(piece: string) => void} piece
 */
export async function reply(body, signal, piece) {
  const answer = await call("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
    body: JSON.stringify({ ...body, stream: true }),
    signal,
  });
  const kept = answer.headers.get("Preceptor-Kept") === "yes";
  let finish = null;
  let id = "";
  for await (const data of events(answer.body)) {
    if (data === "[DONE]") return { finish, id, kept };
    const said = parsed(data);
    id = said.id ?? id;
    if (said.error) throw new Failed(String(said.error.message ?? said.error));
    const choice = said.choices?.[0];
    if (choice?.delta?.content) piece(choice.delta.content);
    finish = choice?.finish_reason ?? finish;
  }
  if (finish === null) throw new Failed(t("failed.broken"));
  return { finish, id, kept };
}

/** What a request with a JSON body is answered. */
export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return (await call(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

function parsed(data) {
  try {
    return JSON.parse(data);
  } catch {
    throw new Failed(t("failed.broken"));
  }
}

/** The data of server-sent events. The decoder holds back the bytes of a character that is not whole yet. */
async function* events(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = done ? "" : lines.pop();
      for (const line of lines) {
        if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
        else if (line === "" && data.length) {
          yield data.join("\n");
          data = [];
        }
      }
      if (done) return;
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof Failed) throw error;
    throw new Failed(t("failed.broken"));
  } finally {
    reader.cancel().catch(() => {});
  }
}
