/** The terms, before anything else. */

import * as api from "../lib/api.js";
import { h, refill } from "/common/dom.js";
import { currentLanguage, t } from "../lib/i18n.js";
import { build } from "../lib/markdown.js";
import { pieces } from "../lib/text.js";
import { titled } from "../shell.js";

export async function consentPage(main, done) {
  titled(t("consent.title"));
  const terms = await api.terms(currentLanguage());
  const wrong = h("p.error", { role: "alert" });
  const agree = h("input", { type: "checkbox", required: true, id: "agree" });
  const give = async (event) => {
    event.preventDefault();
    try {
      await api.consent(terms.version);
    } catch (error) {
      if (error.status !== 409) {
        wrong.textContent = error.message;
        return;
      }
    }
    await done(); // after a 409 there is a newer version, which is shown then
  };
  refill(
    main,
    h(
      "section.card.reading",
      {},
      h("h1", {}, t("consent.title")),
      h("p.muted", {}, t("consent.text", { version: terms.version })),
      h("div.terms.text.markdown", { tabindex: 0, role: "region", "aria-label": t("consent.title"), lang: terms.language }, build(terms.html, pieces)),
      h(
        "form",
        { onsubmit: give },
        h("label.line", {}, agree, t("consent.agree")),
        wrong,
        h("button.primary", { type: "submit" }, t("consent.go")),
      ),
    ),
  );
}
