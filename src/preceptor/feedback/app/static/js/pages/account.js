/** My account: a new password. */

import * as api from "../lib/api.js";
import { notice } from "../lib/announce.js";
import { field, h, refill } from "/common/dom.js";
import { t } from "../lib/i18n.js";
import { me } from "../lib/me.js";
import { titled } from "../shell.js";

export async function account(main) {
  titled(t("account.title"));
  const { min_password: shortest } = await api.getChoices();
  const input = (kind) =>
    h("input", { type: "password", autocomplete: kind, required: true, maxlength: 200, minlength: kind === "new-password" ? shortest : 1 });
  const [current, next, repeated] = [input("current-password"), input("new-password"), input("new-password")];
  const wrong = h("p.error", { role: "alert" });
  const change = async (event) => {
    event.preventDefault();
    wrong.textContent = "";
    if (next.value !== repeated.value) {
      wrong.textContent = t("password.differ");
      return;
    }
    try {
      await api.changePassword(current.value, next.value);
      event.target.reset();
      notice(t("password.changed"));
    } catch (error) {
      wrong.textContent = error.code === "wrong_password" ? t("password.wrong") : error.message;
    }
  };
  refill(
    main,
    h(
      "section.card.narrow",
      {},
      h("h1", {}, t("account.title")),
      h("p.muted", {}, `${me().name} · ${t(`role.${me().role}`)}`),
      h(
        "form",
        { onsubmit: change },
        field(t("password.current"), current),
        field(t("password.new"), next, t("password.rule", { n: shortest })),
        field(t("password.repeat"), repeated),
        wrong,
        h("button.primary", { type: "submit" }, t("password.change")),
      ),
    ),
  );
}
