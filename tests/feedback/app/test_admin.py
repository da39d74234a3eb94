"""Admins: people, queues, files in and out, figures."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from preceptor.feedback.schema import Demonstration, Prompt, Ranking, Rating
from preceptor.feedback.store import Store
from preceptor.feedback.store.export import export
from preceptor.feedback.store.judged import count_judgements

from .conftest import Browser, Come, ranking, sample, take


def test_people_and_their_roles(come: Come, admin: Browser, store: Store) -> None:
    ann = come("ann")
    rows = {row["name"]: row for row in admin.ok("GET", "/api/admin/people")["people"]}
    assert rows["ann"]["role"] == "labeler" and "password" not in str(rows)
    changed = admin.ok("PATCH", f"/api/admin/people/{ann.id}", {"role": "reviewer"})
    assert changed["role"] == "reviewer" and ann.ok("GET", "/api/review/queues") == {"queues": []}
    admin.ok("PATCH", f"/api/admin/people/{ann.id}", {"status": "suspended"})
    ann.refused(401, "signed_out", "GET", "/api/queues")
    assert admin.ok("PATCH", f"/api/admin/people/{ann.id}", {"kind": "simulated"})["kind"] == "simulated"
    admin.refused(403, "forbidden", "PATCH", f"/api/admin/people/{admin.id}", {"role": "labeler"})
    admin.refused(404, "not_found", "PATCH", "/api/admin/people/99", {"role": "labeler"})
    admin.refused(422, "invalid", "PATCH", f"/api/admin/people/{ann.id}", {"role": "king"})
    actions = [event["action"] for event in admin.ok("GET", "/api/admin/audit")["events"]]
    assert actions[:3] == ["kind", "status", "role"]


def test_invitations_are_made_seen_and_taken_back(app: FastAPI, admin: Browser) -> None:
    made = admin.ok("POST", "/api/admin/invitations", {"role": "reviewer", "note": "Rita"})
    assert made["path"] == f"/join#{made['token']}"
    lost = admin.ok("POST", "/api/admin/invitations", {})
    rows = admin.ok("GET", "/api/admin/invitations")["invitations"]
    assert [(row["role"], row["note"], row["used_by"]) for row in rows] == [
        ("labeler", "", None),
        ("reviewer", "Rita", None),
        ("admin", "", "root"),
    ]
    assert made["token"] not in json.dumps(rows)
    Browser(app).join(made["token"], "rita")
    admin.refused(409, "stale", "DELETE", f"/api/admin/invitations/{rows[1]['id']}")
    admin.ok("DELETE", f"/api/admin/invitations/{rows[0]['id']}")
    Browser(app).refused(404, "not_found", "POST", "/api/invitation", {"token": lost["token"]})
    admin.refused(404, "not_found", "DELETE", f"/api/admin/invitations/{rows[0]['id']}")
    admin.refused(422, "invalid", "POST", "/api/admin/invitations", {"days": 0})


def test_queues_open_and_close(come: Come, admin: Browser, ranking_queue: str) -> None:
    ann = come("ann")
    admin.refused(409, "stale", "POST", "/api/admin/queues", {"name": "q", "kind": "ranking"})
    admin.refused(422, "invalid", "POST", "/api/admin/queues", {"name": "", "kind": "ranking"})
    admin.refused(422, "invalid", "POST", "/api/admin/queues", {"name": "r", "kind": "poem"})
    admin.refused(422, "invalid", "POST", "/api/admin/queues", {"name": "a\nb", "kind": "ranking"})
    made = admin.send("POST", "/api/admin/queues", {"name": "first", "kind": "ranking", "priority": 5})
    assert made.status_code == 201
    assert [one["name"] for one in ann.ok("GET", "/api/queues")["queues"]] == ["first", "q"]
    assert admin.ok("PATCH", "/api/admin/queues", {"name": "q", "open": False})["open"] is False
    assert ann.ok("POST", "/api/tasks/next", {})["task"] is None
    admin.ok("PATCH", "/api/admin/queues", {"name": "q", "open": True, "priority": 9})
    assert [one["name"] for one in ann.ok("GET", "/api/queues")["queues"]] == ["q", "first"]
    admin.refused(404, "not_found", "PATCH", "/api/admin/queues", {"name": "none", "open": True})


def test_a_bad_line_is_named_and_nothing_is_written(admin: Browser, ranking_queue: str) -> None:
    cases: list[tuple[str, str, list[dict[str, Any]], str]] = [
        ("samples", "q", [sample(10), {"prompt_id": "x"}], "rows.jsonl:2: messages"),
        ("samples", "q", [sample(10), sample(11, outputs=1)], "rows.jsonl:2: responses"),
        ("prompts", "", [{"id": "a", "user": "u", "messages": []}], "rows.jsonl:1: messages"),
        ("rankings", "", [sample(10) | {"ranks": [1, 2]}], "rows.jsonl:1: 2 ranks for 4 responses"),
        ("honeypots", "q", [sample(10) | {"ranks": [1, 2, 3, 4], "flags": 3}], "rows.jsonl:1: flags"),
        ("demonstrations", "", [{"prompt_id": "x", "messages": [{"role": "user", "content": "a"}]}], "rows.jsonl:1"),
        ("ratings", "", [{"prompt_id": "x", "response": "a", "overall": 9}], "rows.jsonl:1: overall"),
    ]
    for what, queue, rows, where in cases:
        answer = admin.upload(what, rows, queue)
        assert answer.status_code == 422 and answer.json()["error"]["message"].startswith(where), answer.text
    assert admin.ok("GET", "/api/review/queues")["queues"][0]["items"] == 5
    for content, where in ((b"{", "rows.jsonl:1"), (b"\xff\n", "rows.jsonl:1"), (b"\n" * 5 + b"[]", "rows.jsonl:6")):
        query = {"what": "samples", "queue": "q", "file": "rows.jsonl"}
        answer = admin.send("POST", "/api/admin/import", params=query, content=content)
        assert answer.status_code == 422 and answer.json()["error"]["message"].startswith(where), answer.text


def test_uploads_need_sense(admin: Browser, ranking_queue: str) -> None:
    assert admin.upload("poems", []).status_code == 422
    assert admin.upload("samples", [sample(10)]).status_code == 422
    assert admin.upload("samples", [sample(10)], "none").status_code == 404
    assert admin.upload("samples", [sample(5)], "q").json() == {"added": 1, "known": 0, "identical": 0, "forgotten": 0}
    assert admin.upload("samples", [sample(5)], "q").json()["known"] == 1
    alike = sample(6)
    for response in alike["responses"]:
        response["text"] = "the same"
    assert admin.upload("samples", [alike], "q").json()["identical"] == 1
    assert admin.upload("samples", [sample(7, outputs=10)], "q").status_code == 422


def test_honeypots_show_who_guesses(come: Come, admin: Browser) -> None:
    admin.ok("POST", "/api/admin/queues", {"name": "q", "kind": "ranking", "honeypot_rate": 0.9})
    known = [sample(number) | {"ranks": [1, 2, 3, 4], "flags": [["opinion"], [], [], []]} for number in range(4)]
    assert admin.upload("honeypots", known, "q").json()["added"] == 4
    admin.upload("samples", [sample(number) for number in range(10, 14)], "q")
    ann = come("ann")
    for _ in range(6):
        task = ann.ok("POST", "/api/tasks/next", {})["task"]
        assert not task.keys() & {"honeypot", "known"}
        order = sorted(task["outputs"])
        ranks = [order.index(text) + 1 for text in task["outputs"]]
        ann.ok("POST", f"/api/tasks/{task['assignment']}/submit", ranking(*ranks))
    (score,) = admin.ok("GET", "/api/admin/honeypots?queue=q")["labelers"]
    assert score["labeler"] == "ann" and score["value"] == 1.0 and score["passed"] and score["n"] >= 6
    (screened,) = admin.ok("GET", "/api/admin/screening")["labelers"]
    assert screened["passes"] is None and screened["scores"]["rankings"]["passed"]
    for criterion, value in (("demonstrations", 6.5), ("groups", 3)):
        admin.ok("POST", "/api/admin/screening", {"person": ann.id, "criterion": criterion, "value": value})
    (screened,) = admin.ok("GET", "/api/admin/screening")["labelers"]
    assert set(screened["scores"]) == {"flags", "rankings", "demonstrations", "groups"}
    bad = {"person": ann.id, "criterion": "flags", "value": 3}
    admin.refused(422, "invalid", "POST", "/api/admin/screening", bad)
    admin.refused(404, "not_found", "POST", "/api/admin/screening", bad | {"person": 99, "value": 1})


def test_figures_over_what_was_judged(come: Come, admin: Browser, ranking_queue: str) -> None:
    ann, ben = come("ann"), come("ben")
    for browser in (ann, ben):
        for _ in range(3):
            browser.ok("POST", f"/api/tasks/{take(browser)}/submit", ranking(1, 2, 3, 4))
    agreement = admin.ok("GET", "/api/admin/agreement?queue=q")
    assert agreement["overall"]["pairs"] == 18 and 0 <= agreement["overall"]["share"] <= 1
    assert set(agreement["by_labeler"]) == {"ann", "ben"}
    bias = {row["labeler"]: row for row in admin.ok("GET", "/api/admin/bias")["labelers"]}
    assert bias["ann"]["first_shown"]["share"] == 1.0 and bias["ann"]["first_shown"]["chance"] == 0.25
    rows = admin.ok("GET", "/api/admin/throughput")["labelers"]
    assert {(row["labeler"], row["kind"], row["done"], row["seconds_median"]) for row in rows} == {
        ("ann", "ranking", 3, 3.5),
        ("ben", "ranking", 3, 3.5),
    }
    for path in ("agreement", "bias", "honeypots", "win-rates", "export/rankings"):
        admin.refused(404, "not_found", "GET", f"/api/admin/{path}?queue=none")
    assert admin.ok("GET", "/api/admin/win-rates?queue=q") == {"pairs": []}


def test_win_rates_of_blind_comparisons(come: Come, admin: Browser) -> None:
    admin.ok("POST", "/api/admin/queues", {"name": "c", "kind": "comparison"})
    admin.upload("samples", [sample(number, outputs=2) for number in range(3)], "c")
    ann = come("ann")
    for _ in range(3):
        task = ann.ok("POST", "/api/tasks/next", {})["task"]
        better = "first" if task["outputs"][0].endswith(".1") else "second"
        payload = {"kind": "comparison", "preferred": better}
        ann.ok("POST", f"/api/tasks/{task['assignment']}/submit", {"payload": payload, "seconds": 1})
    (pair,) = admin.ok("GET", "/api/admin/win-rates?queue=c")["pairs"]
    assert pair == {"model": "m0", "other": "m1", "share": 0.0, "n": 3}


def test_exports_are_the_documented_formats_under_pseudonyms(
    come: Come, admin: Browser, ranking_queue: str, store: Store, tmp_path: Path
) -> None:
    ann = come("ann")
    ann.ok("POST", f"/api/tasks/{take(ann)}/submit", ranking(1, 2, 3, 4))
    admin.ok("POST", "/api/admin/queues", {"name": "d", "kind": "demonstration"})
    admin.upload("prompts", [{"id": "d1", "user": "u", "messages": [{"role": "user", "content": "Say hi"}]}], "d")
    shown = {"payload": {"kind": "demonstration", "text": "Hi, 你好"}, "seconds": 1}
    ann.ok("POST", f"/api/tasks/{take(ann, 'd')}/submit", shown)
    models = {"prompts": Prompt, "demonstrations": Demonstration, "rankings": Ranking, "ratings": Rating}
    counts = {"prompts": 6, "demonstrations": 1, "rankings": 1, "ratings": 4}
    export(store, tmp_path / "export")
    for what, model in models.items():
        answer = admin.send("GET", f"/api/admin/export/{what}")
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{what}.jsonl"'
        rows = [model.model_validate_json(line) for line in answer.text.splitlines()]
        assert len(rows) == counts[what]
        assert all("ann" not in str(getattr(row, "labeler", "")) for row in rows)
        file = (tmp_path / "export" / f"{what}.jsonl").read_text(encoding="utf-8")
        assert [json.loads(line) for line in answer.text.splitlines()] == [
            json.loads(line) for line in file.splitlines()
        ]
    admin.refused(422, "invalid", "GET", "/api/admin/export/passwords")


@pytest.mark.parametrize("what", ["rankings", "demonstrations"])
def test_what_is_exported_can_be_imported_again(come: Come, admin: Browser, store: Store, what: str) -> None:
    row: dict[str, Any] = sample(1) | {"ranks": [1, 2, 3, 3], "labeler": "x"}
    if what == "demonstrations":
        row = {"prompt_id": "p", "messages": [*row["messages"], {"role": "assistant", "content": "Hi"}], "labeler": "x"}
    assert admin.upload(what, [row]).json()["added"] == 1
    assert admin.upload(what, [row]).json() == {"added": 0, "known": 1, "identical": 0, "forgotten": 0}
    assert count_judgements(store) == {what.removesuffix("s"): 1}


def test_publishing_texts(come: Come, admin: Browser) -> None:
    ann = come("ann")
    admin.refused(422, "invalid", "POST", "/api/admin/texts", {"name": "terms", "texts": {"zh-Hans": "x"}})
    admin.refused(422, "invalid", "POST", "/api/admin/texts", {"name": "recipes", "texts": {"en": "x"}})
    assert admin.ok("POST", "/api/admin/texts", {"name": "ranking", "texts": {"en": "**Rank**"}})["version"] == 1
    assert admin.ok("POST", "/api/admin/texts", {"name": "ranking", "texts": {"en": "Rank!"}})["version"] == 2
    assert ann.ok("GET", "/api/guidelines/ranking?version=1")["html"] == "<p><strong>Rank</strong></p>\n"
    (shown,) = admin.ok("GET", "/api/admin/texts")["texts"]
    assert (shown["name"], shown["version"], shown["text"]) == ("ranking", 2, "Rank!")
