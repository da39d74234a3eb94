/** Guidelines and terms: a new version is published, an old one never changed. */

import * as api from "../lib/api.js";
import { notice } from "../lib/announce.js";
import { field, growing, h, refill } from "/common/dom.js";
import { LANGUAGES, t, when } from "../lib/i18n.js";
import { actionForm } from "./parts.js";

export async function textsTab(body) {
  const [{ texts }, choices] = await Promise.all([api.texts(), api.getChoices()]);
  const again = () => textsTab(body);
  refill(
    body,
    h("p.hint", {}, t("texts.text")),
    ["terms", "chat", ...choices.kinds].map((name) => editor(name, texts.filter((text) => text.name === name), again)),
  );
}

function editor(name, texts, again) {
  const agreed = { terms: t("texts.terms"), chat: t("texts.chat") };
  const words = agreed[name] ?? t("texts.guidelines", { kind: t(`kind.${name}`) });
  const boxes = Object.keys(LANGUAGES).map((language) => [
    language,
    growing({ rows: 8, value: texts.find((text) => text.language === language)?.text ?? "", lang: language, required: language === "en" }),
  ]);
  const form = actionForm(
    h("div.row.texts", {}, boxes.map(([language, box]) => field(LANGUAGES[language], box))),
    t("texts.publish"),
    async () => {
      const given = Object.fromEntries(boxes.map(([language, box]) => [language, box.value]).filter(([, text]) => text.trim()));
      const { version } = await api.publish({ name, texts: given });
      notice(t("texts.published", { version }));
      await again();
    },
  );
  const latest = texts[0];
  const about = latest ? `${t("version", { version: latest.version })}${latest.created_at ? `, ${when(latest.created_at)}` : ""}` : t("texts.none");
  const details = h("details.card", {}, h("summary", {}, h("strong", {}, words), " ", h("span.muted", {}, about)), form);
  details.addEventListener("toggle", () => boxes.forEach(([, box]) => box.dispatchEvent(new Event("input"))));
  return details;
}
