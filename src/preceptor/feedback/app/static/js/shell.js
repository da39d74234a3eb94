/** What is around every page: the head with its links, whether the server answers, language, theme, who I am. */

import * as api from "./lib/api.js";
import { announce } from "./lib/announce.js";
import { connected, onConnection } from "./lib/connection.js";
import { h, refill, select } from "/common/dom.js";
import { currentLanguage, LANGUAGES, t, useLanguage } from "./lib/i18n.js";
import { keysButton } from "./lib/keys.js";
import { me } from "./lib/me.js";
import { themeButton } from "/common/theme.js";

let stop = null;
let links = [];

/** An empty `main`. The one before is gone, and its listeners with it. */
export function page() {
  const fresh = h("main", { tabindex: -1, id: "main" });
  document.querySelector("main")?.replaceWith(fresh);
  const here = location.hash || "#/";
  for (const link of links) {
    const path = link.getAttribute("href");
    const current = path === "#/" ? /^#\/?($|work|task|history)/.test(here) : here.startsWith(path);
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  scrollTo(0, 0);
  return fresh;
}

/** The title of the page, for the window and for screen readers. */
export function titled(words) {
  document.title = words ? `${words} · Preceptor` : "Preceptor";
}

/** Draw the shell anew. `route` shows the current page again. */
export function shell({ route, signOut }) {
  const person = me();
  const ready = person && !person.mustConsent;
  const link = (path, words) => h("a", { href: path }, words);
  links = ready
    ? [
        link("#/", t("nav.tasks")),
        person.role !== "labeler" && link("#/review", t("nav.review")),
        person.role === "admin" && link("#/admin", t("nav.admin")),
      ].filter(Boolean)
    : [];
  const languages = select(Object.entries(LANGUAGES), currentLanguage(), {
    "aria-label": t("language"),
    onchange: () => {
      useLanguage(languages.value);
      if (me()) api.setLanguage(languages.value).catch(() => {}); // this browser remembers it as well
      shell({ route, signOut });
      route();
    },
  });
  const account = person
    ? h(
        "details.menu",
        {},
        h("summary", { "aria-label": t("nav.account", { name: person.name }) }, h("span.who", {}, person.name)),
        h(
          "div.menu-list",
          {},
          h("p.muted", {}, `${person.name} · ${t(`role.${person.role}`)}`),
          ready ? h("a", { href: "#/account" }, t("account.title")) : null,
          h("button", { type: "button", onclick: signOut }, t("signOut")),
        ),
      )
    : null;
  account?.addEventListener("focusout", (event) => {
    if (!account.contains(event.relatedTarget)) account.open = false;
  });
  const banner = h("div.banner", { role: "status", hidden: connected() }, t("lost.banner"));
  refill(
    document.getElementById("app"),
    h("a.skip", { href: "#main", onclick: skipToMain }, t("nav.skip")),
    h(
      "header.top",
      {},
      h("a.brand", { href: "#/", "aria-label": "Preceptor" }, h("span.logo", { "aria-hidden": "true" }), h("span", {}, "Preceptor")),
      h("nav", { "aria-label": t("nav.main") }, links),
      h("div.tools", {}, languages, themeButton(t), keysButton(), account),
    ),
    banner,
    h("main", { tabindex: -1, id: "main" }),
  );
  stop?.();
  stop = onConnection((now) => {
    banner.hidden = now;
    announce(now ? t("lost.back") : t("lost.banner"), !now);
  });
}

function skipToMain(event) {
  event.preventDefault();
  document.querySelector("main").focus();
}
