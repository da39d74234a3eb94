/** The start: who is here, and which page the address names. */

import * as api from "./lib/api.js";
import { announce, places, tried } from "./lib/announce.js";
import { sweep } from "./lib/drafts.js";
import { h, refill } from "/common/dom.js";
import { currentLanguage, t, useLanguage } from "./lib/i18n.js";
import { me, setSession } from "./lib/me.js";
import { recall } from "/common/memory.js";
import { page, shell } from "./shell.js";
import { admin } from "./admin/admin.js";
import { account } from "./pages/account.js";
import { consentPage } from "./pages/consent.js";
import { historyPage } from "./pages/history.js";
import { home } from "./pages/home.js";
import { join } from "./pages/join.js";
import { review } from "./pages/review.js";
import { reviewItem } from "./pages/reviewitem.js";
import { askAgain, signInPage } from "./pages/signin.js";
import { past, work } from "./tasks/work.js";

/**
 * A page fills `main` and may return what to do when it is left, a promise if that takes time. `parts` are those of the address behind the name.
 *
 * @type {Object<string, {show: (main: HTMLElement, parts: string[]) => any, role?: string}>}
 */
const PAGES = {
  "": { show: home },
  work: { show: work },
  task: { show: past },
  history: { show: historyPage },
  account: { show: account },
  review: { show: (main, parts) => (parts[0] === "item" ? reviewItem(main, parts[1]) : review(main, parts)), role: "reviewer" },
  admin: { show: admin, role: "admin" },
};
const RANK = { labeler: 0, reviewer: 1, admin: 2 };

let leave = null;
let turn = 0;

/** Show the page that the address names, or the one that must come before it. */
async function route() {
  const mine = ++turn;
  leave?.();
  leave = null;
  const main = page();
  const shown = pageFor();
  try {
    const left = await shown(main);
    if (mine === turn) leave = typeof left === "function" ? left : null;
    else if (typeof left === "function") left();
  } catch (error) {
    if (mine === turn) failed(main, error);
  }
}

function pageFor() {
  if (location.pathname === "/join" && !me()) return (main) => join(main, location.hash.slice(1), start);
  if (!me()) return (main) => signInPage(main, start);
  if (me().mustConsent) return (main) => consentPage(main, start);
  const [name, ...parts] = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  const found = PAGES[name];
  if (!found || RANK[me().role] < RANK[found.role ?? "labeler"]) return PAGES[""].show;
  return (main) => found.show(main, parts);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function failed(main, error) {
  if (error instanceof api.Refused && error.code === "consent") return start();
  if (!(error instanceof api.Unreachable || error instanceof api.Refused)) console.error(error);
  refill(
    main,
    h(
      "section.card.narrow",
      {},
      h("h1", {}, t("failed")),
      h("p", {}, error.message),
      h("div.buttons", {}, h("button.primary", { type: "button", onclick: route }, t("again"))),
    ),
  );
  announce(error.message, true);
  return null;
}

/** Ask the server who is here, and show what follows. */
async function start() {
  let session;
  try {
    session = await api.session();
  } catch (error) {
    shell({ route, signOut });
    return failed(page(), error);
  }
  setSession(session);
  if (session.person && session.person.language !== currentLanguage()) followLanguage(session.person.language);
  if (session.person && location.pathname === "/join") history.replaceState(null, "", "/");
  shell({ route, signOut });
  await route();
}

/** A choice made in this browser holds; without one, that of the account does. */
function followLanguage(language) {
  if (recall("language") === null) useLanguage(language);
}

async function signOut() {
  const left = leave?.();
  leave = null;
  await left; // the last words go out while there is a session
  if (!(await tried(api.signOut))) {
    await route();
    return;
  }
  sweep(true);
  setSession(null);
  history.replaceState(null, "", "#/"); // no event: `start` draws the page
  await start();
}

api.onSignedOut(async () => {
  const before = me();
  if (!before) return false;
  const session = await askAgain(before.name);
  if (!session) return false;
  if (session.person.id !== before.id) {
    location.reload();
    return false;
  }
  setSession(session);
  return true;
});

document.documentElement.lang = currentLanguage();
refill(document.body, h("div", { id: "app" }), places);
addEventListener("hashchange", route);
sweep();
start();
