/** The one door to the server (docs/labeling-api.md). Pages know these functions and no address. */

import { answered, lost } from "./connection.js";
import { t, tOr } from "./i18n.js";

const PATIENCE = 30000; // milliseconds until a request counts as lost
const UPLOAD_PATIENCE = 600000; // a large file on a slow line

/** The server said no. `code` is for the program, `message` for the reader, in the language of the page. */
export class Refused extends Error {
  constructor(status, error, retryAfter) {
    super(tOr(`refused.${error.code}`, error.message, { message: error.message }));
    Object.assign(this, { status, code: error.code, retryAfter });
  }
}

/** The server could not be reached. Sending the same again is safe. */
export class Unreachable extends Error {
  constructor() {
    super(t("lost.page"));
  }
}

let csrf = null;
let signInAgain = null;

/** What to do when a session is over: a function that resolves to whether somebody signed in again. */
export function onSignedOut(ask) {
  signInAgain = ask;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {any} [body] JSON, or a Blob to upload as it is
 * @param {boolean} [again] the second try: once is enough
 */
async function call(method, path, body = undefined, again = false) {
  const answer = await send(method, path, body);
  if (answer.status === 204) return null;
  const said = await read(answer);
  if (answer.ok) return said;
  const error = said?.error ?? { code: "unknown", message: `${answer.status} ${answer.statusText}` };
  if (!again && error.code === "csrf") {
    await session();
    return call(method, path, body, true);
  }
  if (!again && error.code === "signed_out" && signInAgain && (await signInAgain())) {
    return call(method, path, body, true);
  }
  throw new Refused(answer.status, error, Number(answer.headers.get("Retry-After")) || null);
}

async function send(method, path, body) {
  const headers = { Accept: "application/json" };
  if (method !== "GET" && csrf) headers["X-CSRF-Token"] = csrf;
  const upload = body instanceof Blob;
  if (body !== undefined && !upload) headers["Content-Type"] = "application/json";
  if (upload) headers["Content-Type"] = "application/octet-stream";
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), upload ? UPLOAD_PATIENCE : PATIENCE);
  try {
    const answer = await fetch(path, {
      method,
      headers,
      body: body === undefined || upload ? body : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      signal: stop.signal,
    });
    answered();
    return answer;
  } catch {
    lost();
    throw new Unreachable();
  } finally {
    clearTimeout(timer);
  }
}

async function read(answer) {
  try {
    return await answer.json();
  } catch {
    return null;
  }
}

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

const part = encodeURIComponent;

async function keepToken(answer) {
  const said = await answer;
  csrf = said.csrf;
  return said;
}

// who I am
export const session = () => keepToken(call("GET", "/api/session"));
export const signIn = (name, password) => keepToken(call("POST", "/api/session", { name, password }, true));
export const signOut = () => call("DELETE", "/api/session");
export const invitation = (token) => call("POST", "/api/invitation", { token });
export const accept = (body) => keepToken(call("POST", "/api/invitation/accept", body));
export const changePassword = (current, next) => keepToken(call("POST", "/api/password", { current, new: next }, true));
export const setLanguage = (language) => call("PATCH", "/api/me", { language });
export const terms = (language) => call("GET", `/api/terms${query({ language })}`);
export const consent = (version) => call("POST", "/api/consent", { version });
export const guidelines = (kind, version, language) =>
  call("GET", `/api/guidelines/${part(kind)}${query({ version, language })}`);
export const markdown = (texts) => call("POST", "/api/markdown", { texts });

let choices = null;
/** The fixed lists of the server; they do not change while a page is open. */
export const getChoices = async () => (choices ??= await call("GET", "/api/choices"));

// tasks
const task = (assignment, verb) => `/api/tasks/${part(assignment)}${verb}`;
export const queues = () => call("GET", "/api/queues");
export const nextTask = (queue) => call("POST", "/api/tasks/next", queue ? { queue } : {});
export const history = (before, limit) => call("GET", `/api/tasks${query({ before, limit })}`);
export const getTask = (assignment) => call("GET", task(assignment, ""));
export const submit = (assignment, answer) => call("POST", task(assignment, "/submit"), answer);
export const correct = (assignment, answer) => call("POST", task(assignment, "/correct"), answer);
export const skip = (assignment, body) => call("POST", task(assignment, "/skip"), body);
export const release = (assignment) => call("POST", task(assignment, "/release"), {});
export const extend = (assignment) => call("POST", task(assignment, "/extend"), {});
export const saveDraft = (assignment, draft) => call("PUT", task(assignment, "/draft"), { draft });

// reviewers
export const reviewQueues = () => call("GET", "/api/review/queues");
export const disagreements = (queue) => call("GET", `/api/review/disagreements${query({ queue })}`);
export const reviewItem = (item) => call("GET", `/api/review/items/${part(item)}`);
export const judgements = (filter) => call("GET", `/api/review/judgements${query(filter)}`);
export const acceptJudgement = (judgement, note) =>
  call("POST", `/api/review/judgements/${part(judgement)}/accept`, { note });
export const returnJudgement = (judgement, reason) =>
  call("POST", `/api/review/judgements/${part(judgement)}/return`, { reason });

// admins
export const people = () => call("GET", "/api/admin/people");
export const changePerson = (id, body) => call("PATCH", `/api/admin/people/${part(id)}`, body);
export const invitations = () => call("GET", "/api/admin/invitations");
export const invite = (body) => call("POST", "/api/admin/invitations", body);
export const uninvite = (id) => call("DELETE", `/api/admin/invitations/${part(id)}`);
export const createQueue = (body) => call("POST", "/api/admin/queues", body);
export const changeQueue = (body) => call("PATCH", "/api/admin/queues", body);
export const addWishes = (body) => call("POST", "/api/admin/wishes", body);
export const importFile = (file, options) =>
  call("POST", `/api/admin/import${query({ ...options, file: file.name })}`, file);
export const exportLink = (what, queue) => `/api/admin/export/${part(what)}${query({ queue })}`;
export const agreement = (queue) => call("GET", `/api/admin/agreement${query({ queue })}`);
export const bias = (queue) => call("GET", `/api/admin/bias${query({ queue })}`);
export const honeypots = (queue) => call("GET", `/api/admin/honeypots${query({ queue })}`);
export const throughput = (days) => call("GET", `/api/admin/throughput${query({ days })}`);
export const winRates = (queue) => call("GET", `/api/admin/win-rates${query({ queue })}`);
export const screening = () => call("GET", "/api/admin/screening");
export const recordScreening = (body) => call("POST", "/api/admin/screening", body);
export const texts = () => call("GET", "/api/admin/texts");
export const publish = (body) => call("POST", "/api/admin/texts", body);
export const audit = (before, limit) => call("GET", `/api/admin/audit${query({ before, limit })}`);
