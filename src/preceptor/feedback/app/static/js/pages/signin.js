/** Signing in, as a page and again in the middle of work. */

import * as api from "../lib/api.js";
import { openDialog } from "../lib/dialog.js";
import { field, h, refill } from "/common/dom.js";
import { t } from "../lib/i18n.js";
import { titled } from "../shell.js";

/** The page. */
export function signInPage(main, done) {
  titled(t("signIn"));
  refill(
    main,
    h("section.card.narrow", {}, h("h1", {}, t("signIn")), form("", () => done()), h("p.hint", {}, t("signIn.hint"))),
  );
  main.querySelector("input").focus();
}

/** The session was over in the middle of something: sign in again over the page, which stays as it is. */
let asking = null;
export function askAgain(name) {
  asking ??= new Promise((resolve) => {
    let session = null;
    const dialog = openDialog(
      t("signIn.again"),
      [
        h("p", {}, t("signIn.kept")),
        form(name, (said) => {
          session = said;
          dialog.close();
        }),
      ],
      { closed: () => resolve(session) },
    );
  }).finally(() => (asking = null));
  return asking;
}

function form(name, done) {
  const who = h("input", { type: "text", name: "name", autocomplete: "username", required: true, value: name, maxlength: 100 });
  const password = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
  const wrong = h("p.error", { role: "alert" });
  const button = h("button.primary.wide", { type: "submit" }, t("signIn"));
  const signIn = async (event) => {
    event.preventDefault();
    button.disabled = true;
    wrong.textContent = "";
    try {
      const session = await api.signIn(who.value, password.value);
      return await done(session);
    } catch (error) {
      wrong.textContent = said(error);
      password.select();
    } finally {
      button.disabled = false;
    }
    return null;
  };
  return h("form", { onsubmit: signIn }, field(t("name"), who), field(t("password"), password), wrong, button);
}

function said(error) {
  if (error.code === "wrong_password") return t("signIn.wrong");
  if (error.code === "too_many") return t("signIn.wait", { n: error.retryAfter ?? 60 });
  return error.message;
}
