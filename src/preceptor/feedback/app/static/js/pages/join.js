/** Coming in by an invitation: choose a name and a password. */

import * as api from "../lib/api.js";
import { field, h, refill } from "/common/dom.js";
import { currentLanguage, t } from "../lib/i18n.js";
import { titled } from "../shell.js";

/** The page. `token` is what stands behind the # of the link. */
export async function join(main, token, done) {
  titled(t("join.title"));
  const choices = await api.getChoices();
  let role;
  try {
    ({ role } = await api.invitation(token));
  } catch (error) {
    if (!(error instanceof api.Refused)) throw error;
    refill(
      main,
      h(
        "section.card.narrow",
        {},
        h("h1", {}, t("join.title")),
        h("p", {}, t("join.over")),
        h("a.button", { href: "/" }, t("signIn")),
      ),
    );
    return;
  }
  const name = h("input", { type: "text", autocomplete: "username", required: true, maxlength: 100 });
  const password = secret(choices.min_password);
  const repeated = secret(choices.min_password);
  const wrong = h("p.error", { role: "alert" });
  const button = h("button.primary.wide", { type: "submit" }, t("join.go"));
  const accept = async (event) => {
    event.preventDefault();
    wrong.textContent = "";
    if (password.value !== repeated.value) {
      wrong.textContent = t("password.differ");
      repeated.focus();
      return;
    }
    button.disabled = true;
    try {
      await api.accept({ token, name: name.value, password: password.value, language: currentLanguage() });
      history.replaceState(null, "", "/");
      await done();
    } catch (error) {
      wrong.textContent = error.code === "stale" ? t("join.taken") : error.message;
      name.focus();
    } finally {
      button.disabled = false;
    }
  };
  refill(
    main,
    h(
      "section.card.narrow",
      {},
      h("h1", {}, t("join.title")),
      h("p", {}, t("join.text", { role: t(`role.${role}`) })),
      h(
        "form",
        { onsubmit: accept },
        field(t("name"), name, t("join.name")),
        field(t("password"), password, t("password.rule", { n: choices.min_password })),
        field(t("password.repeat"), repeated),
        wrong,
        button,
      ),
    ),
  );
  name.focus();
}

function secret(shortest) {
  return h("input", { type: "password", autocomplete: "new-password", required: true, minlength: shortest, maxlength: 200 });
}
