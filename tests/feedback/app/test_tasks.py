"""A labeler's day over HTTP."""

from datetime import timedelta

import pytest
from fastapi import FastAPI

from preceptor.feedback.store import Store
from preceptor.feedback.store.judged import count_judgements, read_prompts

from .conftest import Browser, Come, ranking, sample, sign_in, take


def test_a_ranking_from_taking_to_correcting(come: Come, ranking_queue: str, store: Store) -> None:
    ann = come("ann")
    assert ann.ok("GET", "/api/queues")["queues"] == [
        {
            "name": "q",
            "kind": "ranking",
            "open": True,
            "priority": 0,
            "items": 5,
            "complete": 0,
            "available": 5,
            "mine": 0,
            "held": None,
        }
    ]
    view = ann.ok("POST", "/api/tasks/next", {})
    task = view["task"]
    assert view["state"] == "locked" and task["kind"] == "ranking" and len(task["outputs"]) == 4
    assert "model" not in str(task) and "m0" not in str(task["outputs"])
    assert ann.ok("GET", "/api/queues")["queues"][0]["held"] == task["assignment"]
    path = f"/api/tasks/{task['assignment']}"
    assert ann.ok("POST", f"{path}/submit", ranking(2, 1, 1, 4))["repeated"] is False
    done = ann.ok("GET", path)
    assert done["state"] == "done" and done["answer"]["ranks"] == [2, 1, 1, 3]  # without gaps
    assert done["answer"]["ratings"][0] == {"overall": 5, "flags": ["opinion"]}
    ann.ok("POST", f"{path}/correct", ranking(1, 2, 3, 4, overall=2, key="again"))
    assert ann.ok("GET", path)["answer"]["ratings"][3]["overall"] == 2
    past = ann.ok("GET", "/api/tasks")["tasks"]
    assert [(one["assignment"], one["state"], one["excerpt"]) for one in past] == [
        (task["assignment"], "done", "What is 0?")
    ]
    assert ann.ok("GET", "/api/queues")["queues"][0] | {"held": 0} == ann.ok("GET", "/api/queues")["queues"][0] | {
        "available": 4,
        "mine": 1,
        "held": 0,
    }
    assert count_judgements(store) == {"ranking": 1}


def test_sending_twice_is_once_and_differently_is_409(come: Come, ranking_queue: str, store: Store) -> None:
    ann = come("ann")
    path = f"/api/tasks/{take(ann)}/submit"
    first = ann.ok("POST", path, ranking(1, 2, 3, 4))
    again = ann.ok("POST", path, ranking(1, 2, 3, 4))
    assert again == first | {"repeated": True}
    for other in (ranking(1, 2, 3, 4, key="other"), ranking(4, 3, 2, 1)):
        kept = ann.refused(409, "stale", "POST", path, other)["kept"]
        assert kept["payload"]["ranks"] == other["payload"]["ranks"] and kept["key"] == other["key"]
    assert count_judgements(store) == {"ranking": 1}


def test_two_browsers_of_one_person_hold_one_task(app: FastAPI, come: Come, ranking_queue: str) -> None:
    ann = come("ann")
    other = sign_in(app, "ann")
    assert take(ann) == take(other)
    path = f"/api/tasks/{take(ann)}/submit"
    ann.ok("POST", path, ranking(1, 2, 3, 4, key="first browser"))
    kept = other.refused(409, "stale", "POST", path, ranking(4, 3, 2, 1, key="second browser"))["kept"]
    assert kept["payload"]["ranks"] == [4, 3, 2, 1]


def test_anothers_task_is_not_there(come: Come, ranking_queue: str) -> None:
    ann, ben = come("ann"), come("ben")
    assignment = take(ann)
    path = f"/api/tasks/{assignment}"
    ben.refused(404, "not_found", "GET", path)
    ben.refused(404, "not_found", "POST", f"{path}/submit", ranking(1, 2, 3, 4))
    ben.refused(404, "not_found", "POST", f"{path}/correct", ranking(1, 2, 3, 4))
    ben.refused(404, "not_found", "POST", f"{path}/skip", {"reason": "other"})
    ben.refused(404, "not_found", "POST", f"{path}/release")
    ben.refused(404, "not_found", "POST", f"{path}/extend")
    ben.refused(404, "not_found", "PUT", f"{path}/draft", {"draft": 1})
    for forged in ("0", assignment[:-1], assignment[:-1] + "%27", "' OR 1=1 --", "../session"):
        ann.refused(404, "not_found", "POST", f"/api/tasks/{forged}/release")


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"kind": "ranking", "ranks": [1, 2, 3], "ratings": []}, "rank"),
        ({"kind": "ranking", "ranks": [2, 3, 4, 4], "ratings": [{"overall": 1}] * 4}, "ranks"),
        ({"kind": "ranking", "ranks": [0, 1, 2, 3], "ratings": [{"overall": 1}] * 4}, "ranks"),
        ({"kind": "ranking", "ranks": [1, 2, 3, 9], "ratings": [{"overall": 1}] * 4}, "ranks"),
        ({"kind": "ranking", "ranks": ["1", 2, 3, 4], "ratings": [{"overall": 1}] * 4}, "ranks"),
        ({"kind": "ranking", "ranks": [1.5, 2, 3, 4], "ratings": [{"overall": 1}] * 4}, "ranks"),
        ({"kind": "ranking", "ranks": [1, 2, 3, 4]}, "rate"),
        ({"kind": "ranking", "ranks": [1, 2, 3, 4], "ratings": [{"overall": 8}] * 4}, "overall"),
        ({"kind": "ranking", "ranks": [1, 2, 3, 4], "ratings": [{"overall": 1, "flags": ["x"]}] * 4}, "flag"),
        ({"kind": "ranking", "ranks": [1, 2, 3, 4], "extra": 1}, "extra"),
        ({"kind": "comparison", "preferred": "first"}, "ranking"),
        ({"kind": "poem"}, "payload"),
        ({}, "payload"),
    ],
)
def test_what_is_no_answer_is_422_in_one_line(
    come: Come, ranking_queue: str, payload: dict[str, object], field: str
) -> None:
    ann = come("ann")
    path = f"/api/tasks/{take(ann)}"
    said = ann.refused(422, "invalid", "POST", f"{path}/submit", {"payload": payload, "seconds": 1})
    assert field in said["error"]["message"]
    assert ann.ok("GET", path)["state"] == "locked"


def test_seconds_are_a_number_from_0(come: Come, ranking_queue: str) -> None:
    ann = come("ann")
    path = f"/api/tasks/{take(ann)}/submit"
    for seconds in (-1, 1e12, "x", None):
        ann.refused(422, "invalid", "POST", path, ranking(1, 2, 3, 4) | {"seconds": seconds})


def test_a_lapsed_lock_is_taken_if_nobody_else_has_it(come: Come, ranking_queue: str, store: Store) -> None:
    ann, ben, cat, dan = (come(name) for name in ("ann", "ben", "cat", "dan"))
    task, other = take(ann), take(ben)  # the two slots of the first item
    now = store.now
    store.now = lambda: now() + timedelta(hours=1)
    assert cat.ok("POST", "/api/tasks/next", {})["task"]["messages"] == [{"role": "user", "content": "What is 0?"}]
    ben.ok("POST", f"/api/tasks/{other}/submit", ranking(1, 2, 3, 4))  # late, and one of two slots is free still
    assert dan.ok("POST", "/api/tasks/next", {})["task"]["messages"] == [{"role": "user", "content": "What is 1?"}]
    kept = ann.refused(409, "stale", "POST", f"/api/tasks/{task}/submit", ranking(1, 2, 3, 4))["kept"]
    assert kept["payload"]["ranks"] == [1, 2, 3, 4]
    ann.refused(409, "stale", "POST", f"/api/tasks/{task}/extend")
    draft = {"draft": {"ranks": [1, 2]}}
    ann.ok("PUT", f"/api/tasks/{task}/draft", draft)  # no word is lost
    assert ann.ok("GET", f"/api/tasks/{task}")["state"] == "expired"


def test_extending_moves_the_end(come: Come, ranking_queue: str, store: Store) -> None:
    ann = come("ann")
    view = ann.ok("POST", "/api/tasks/next", {})
    now = store.now
    store.now = lambda: now() + timedelta(minutes=10)
    extended = ann.ok("POST", f"/api/tasks/{view['task']['assignment']}/extend")
    assert extended["expires_at"] > view["task"]["expires_at"] and extended["now"] > view["now"]


def test_drafts_come_back(come: Come, ranking_queue: str) -> None:
    ann = come("ann")
    path = f"/api/tasks/{take(ann)}"
    ann.refused(422, "invalid", "PUT", f"{path}/draft", {"draft": None})
    for draft in ({"note": "half a wo\x00rd", "ranks": [None, 1]}, [], "text", 0, {"ü": "好"}):
        ann.ok("PUT", f"{path}/draft", {"draft": draft})
        assert ann.ok("POST", "/api/tasks/next", {})["task"]["draft"] == draft
    ann.refused(422, "invalid", "PUT", f"{path}/draft", {"draft": "x" * 1_000_001})
    ann.ok("POST", f"{path}/submit", ranking(1, 2, 3, 4))
    assert ann.refused(409, "stale", "PUT", f"{path}/draft", {"draft": "late"})["kept"] == {"draft": "late"}


def test_skipping_and_giving_back(come: Come, ranking_queue: str) -> None:
    ann = come("ann")
    first = take(ann)
    ann.refused(422, "invalid", "POST", f"/api/tasks/{first}/skip", {"reason": "bored"})
    ann.ok("POST", f"/api/tasks/{first}/skip", {"reason": "language", "note": "Klingon", "seconds": 2})
    ann.ok("POST", f"/api/tasks/{first}/skip", {"reason": "language"})
    second = take(ann)
    assert second != first
    ann.ok("POST", f"/api/tasks/{second}/release")
    assert take(ann) not in (first, second)
    past = ann.ok("GET", "/api/tasks")["tasks"]
    assert [(one["kind"], one["state"], one["reason"]) for one in past] == [("skip", "skipped", "language")]


def test_there_is_no_such_queue(come: Come, ranking_queue: str) -> None:
    ann = come("ann")
    ann.refused(404, "not_found", "POST", "/api/tasks/next", {"queue": "'; DROP TABLE items; --"})
    ann.refused(422, "invalid", "POST", "/api/tasks/next", {"queue": "a\r\nSet-Cookie: x=1"})
    assert take(ann, "q")


def test_demonstrations_prompts_and_comparisons(come: Come, admin: Browser, store: Store) -> None:
    ann = come("ann")
    for kind in ("demonstration", "prompt", "comparison"):
        admin.ok("POST", "/api/admin/queues", {"name": kind, "kind": kind})
    prompt = {"id": "d1", "user": "u", "messages": [{"role": "user", "content": "Say hi"}]}
    assert admin.upload("prompts", [prompt], "demonstration").json()["added"] == 1
    wish = {"use_case": "brainstorming", "form": "few-shot", "hint": "ideas"}
    assert admin.ok("POST", "/api/admin/wishes", {"queue": "prompt", "wish": wish})["added"] == 1
    admin.upload("samples", [sample(1, outputs=2)], "comparison")

    path = f"/api/tasks/{take(ann, 'demonstration')}"
    empty = {"payload": {"kind": "demonstration", "text": " \n"}, "seconds": 1}
    ann.refused(422, "invalid", "POST", f"{path}/submit", empty)
    hidden = {"payload": {"kind": "demonstration", "text": "Hi \u202e there"}, "seconds": 1}
    ann.refused(422, "invalid", "POST", f"{path}/submit", hidden)
    shown = {"payload": {"kind": "demonstration", "text": "Hi <script>alert(1)</script>", "note": "n"}, "seconds": 9}
    ann.ok("POST", f"{path}/submit", shown)
    assert ann.ok("GET", path)["answer"] == {"note": "n", **shown["payload"]}  # type: ignore[dict-item]

    view = ann.ok("POST", "/api/tasks/next", {"queue": "prompt"})
    assert view["task"]["wish"] == {"form": "few-shot", "way": None, "use_case": "brainstorming", "hint": "ideas"}
    path = f"/api/tasks/{view['task']['assignment']}"
    examples = [{"query": "a", "response": "b"}, {"query": "c", "response": "d"}]
    payload = {"kind": "prompt", "use_case": "brainstorming", "form": "few-shot", "way": "examples", "text": "Go on"}
    payload |= {"examples": examples, "query": "e"}  # type: ignore[dict-item]
    ann.refused(422, "invalid", "POST", f"{path}/submit", {"payload": payload | {"use_case": "chat"}, "seconds": 1})
    ann.ok("POST", f"{path}/submit", {"payload": payload, "seconds": 1})
    assert ann.ok("GET", path)["answer"]["examples"] == examples
    assert any(one.source == "labeler/few-shot/examples" for one in read_prompts(store))

    view = ann.ok("POST", "/api/tasks/next", {"queue": "comparison"})
    path = f"/api/tasks/{view['task']['assignment']}"
    ann.ok("POST", f"{path}/submit", {"payload": {"kind": "comparison", "preferred": "second"}, "seconds": 1})
    assert ann.ok("GET", path)["answer"]["preferred"] == "second"
    assert len(ann.ok("GET", "/api/tasks?limit=2")["tasks"]) == 2
    last = ann.ok("GET", "/api/tasks?limit=2")["tasks"][-1]["judgement"]
    assert len(ann.ok("GET", f"/api/tasks?before={last}")["tasks"]) == 1
