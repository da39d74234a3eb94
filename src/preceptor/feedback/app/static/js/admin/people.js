/** Who takes part, and who is asked to. */

import * as api from "../lib/api.js";
import { notice, tried } from "../lib/announce.js";
import { copy } from "../lib/controls.js";
import { field, h, refill, select, table } from "/common/dom.js";
import { t, tOr, when } from "../lib/i18n.js";
import { me } from "../lib/me.js";
import { actionForm } from "./parts.js";

export async function peopleTab(body) {
  const [{ people }, { invitations }, { roles }] = await Promise.all([api.people(), api.invitations(), api.getChoices()]);
  const again = () => peopleTab(body);
  refill(
    body,
    h("section.card", {}, h("h2", {}, t("invite.title")), inviting(roles, again)),
    h("h2", {}, t("invite.open")),
    table(
      t("invite.open"),
      [t("invite.for"), t("role"), t("invite.until"), t("state"), ""],
      invitations.map((one) => invitationRow(one, again)),
      t("invite.none"),
    ),
    h("h2", {}, t("people.title")),
    table(
      t("people.title"),
      [t("name"), t("role"), t("state"), t("people.kind"), t("people.consent"), ""],
      people.map((person) => personRow(person, roles, again)),
      t("progress.nobody"),
    ),
  );
}

function personRow(person, roles, again) {
  const self = person.id === me().id;
  const role = select(roles.map((one) => [one, t(`role.${one}`)]), person.role, {
    "aria-label": t("people.roleOf", { name: person.name }),
    disabled: self || person.status === "forgotten",
    onchange: () => tried(async () => {
      await api.changePerson(person.id, { role: role.value });
      notice(t("saved"));
    }),
  });
  const active = person.status === "active";
  const turn = () => tried(async () => {
    await api.changePerson(person.id, { status: active ? "suspended" : "active" });
    await again();
  });
  return [
    person.name,
    role,
    h(`span.state.${active ? "done" : "withdrawn"}`, {}, t(`status.${person.status}`)),
    tOr(`people.${person.kind}`, person.kind),
    person.consent_at ? `${t("version", { version: person.consent_version })}, ${when(person.consent_at, { dateStyle: "medium" })}` : "–",
    self || person.status === "forgotten" ? "" : h("button.small", { type: "button", onclick: turn }, t(active ? "people.suspend" : "people.activate")),
  ];
}

function invitationRow(one, again) {
  const over = Date.parse(one.expires_at) < Date.now();
  const state = one.used_by ? t("invite.used", { name: one.used_by }) : t(over ? "invite.over" : "invite.waiting");
  const take = () => tried(async () => {
    await api.uninvite(one.id);
    await again();
  });
  return [
    one.note || "–",
    t(`role.${one.role}`),
    when(one.expires_at, { dateStyle: "medium" }),
    state,
    one.used_by ? "" : h("button.small", { type: "button", onclick: take }, t("invite.take")),
  ];
}

function inviting(roles, again) {
  const role = select(roles.map((one) => [one, t(`role.${one}`)]), "labeler");
  const note = h("input", { type: "text", maxlength: 1000 });
  const days = h("input", { type: "number", min: 1, max: 365, value: 14, required: true });
  const made = h("div.made", { role: "status" });
  const form = actionForm(
    h("div.row", {}, field(t("invite.for"), note), field(t("role"), role), field(t("invite.days"), days)),
    t("invite.go"),
    async () => {
      const said = await api.invite({ role: role.value, note: note.value, days: Number(days.value) });
      const link = new URL(said.path, location.origin).href;
      const box = h("input", { type: "text", readonly: true, value: link, "aria-label": t("invite.link"), onfocus: () => box.select() });
      refill(made, h("p", {}, t("invite.once")), h("div.row.tight", {}, box, h("button", { type: "button", onclick: () => copy(box) }, t("copy"))));
      note.value = "";
      await refreshed();
    },
  );
  /** The lists below anew; the link stays, for it is shown once. */
  async function refreshed() {
    const kept = [...made.childNodes];
    await again();
    document.querySelector(".made").replaceChildren(...kept);
  }
  return [form, made];
}
