"""Reviewers: where labelers differ, side by side; accepting, returning."""

from preceptor.feedback.store import Store
from preceptor.feedback.store.judged import count_judgements

from .conftest import Browser, Come, ranking, take


def test_labelers_have_no_business_here(come: Come, ranking_queue: str) -> None:
    ann, rita = come("ann"), come("rita", "reviewer")
    for path in ("queues", "disagreements?queue=q", "items/1", "judgements"):
        ann.refused(403, "forbidden", "GET", f"/api/review/{path}")
        rita.ok("GET", f"/api/review/{path}")
    ann.refused(403, "forbidden", "POST", "/api/review/judgements/1/accept", {})
    ann.refused(403, "forbidden", "POST", "/api/review/judgements/1/return", {"reason": "x"})
    for path in ("people", "agreement", "export/rankings", "audit"):
        rita.refused(403, "forbidden", "GET", f"/api/admin/{path}")
    rita.refused(403, "forbidden", "POST", "/api/admin/import?what=prompts")


def by_text(browser: Browser, *, reverse: bool) -> int:
    """Rank the outputs by their texts; the number of the judgement."""
    task = browser.ok("POST", "/api/tasks/next", {})["task"]
    order = sorted(task["outputs"], reverse=reverse)
    ranks = [order.index(text) + 1 for text in task["outputs"]]
    number: int = browser.ok("POST", f"/api/tasks/{task['assignment']}/submit", ranking(*ranks))["judgement"]
    return number


def test_disagreement_side_by_side(come: Come, ranking_queue: str) -> None:
    ann, ben, rita = come("ann"), come("ben"), come("rita", "reviewer")
    first, second = by_text(ann, reverse=False), by_text(ben, reverse=True)
    by_text(ann, reverse=False)
    by_text(ben, reverse=False)
    items = rita.ok("GET", "/api/review/disagreements?queue=q")["items"]
    assert [(one["excerpt"], one["labelers"], one["agreement"]) for one in items] == [
        ("What is 0?", 2, 0.0),
        ("What is 1?", 2, 1.0),
    ]
    view = rita.ok("GET", f"/api/review/items/{items[0]['item']}")
    assert view["agreement"] == 0.0 and view["consensus"]["ranks"] == [1, 1, 1, 1]
    assert [one["text"] for one in view["responses"]] == [f"answer 0.{place}" for place in range(4)]
    said = {one["judgement"]: one for one in view["judgements"]}
    assert said[first]["labeler"] == "ann" and said[first]["ranks"] == [1, 2, 3, 4]
    assert said[second]["labeler"] == "ben" and said[second]["ranks"] == [4, 3, 2, 1]
    assert sorted(said[first]["places"]) == [0, 1, 2, 3]
    assert said[first]["ratings"][0] == {"overall": 5, "flags": ["opinion"]}
    rita.refused(404, "not_found", "GET", "/api/review/items/99")
    rita.refused(404, "not_found", "GET", "/api/review/disagreements?queue=none")


def test_accepting_is_written_down_once(come: Come, ranking_queue: str, store: Store) -> None:
    ann, rita = come("ann"), come("rita", "reviewer")
    number = by_text(ann, reverse=False)
    for _ in range(2):
        rita.ok("POST", f"/api/review/judgements/{number}/accept", {"note": "well seen"})
    (view,) = rita.ok("GET", "/api/review/judgements?queue=q&kind=ranking")["judgements"]
    assert view["accepted_by"] == ["rita"] and view["excerpt"] == "What is 0?"
    rita.refused(404, "not_found", "POST", "/api/review/judgements/99/accept", {})


def test_what_is_returned_does_not_count_and_its_labeler_reads_why(
    come: Come, ranking_queue: str, store: Store
) -> None:
    ann, rita = come("ann"), come("rita", "reviewer")
    assignment = take(ann)
    number = ann.ok("POST", f"/api/tasks/{assignment}/submit", ranking(1, 2, 3, 4))["judgement"]
    rita.refused(422, "invalid", "POST", f"/api/review/judgements/{number}/return", {"reason": ""})
    rita.ok("POST", f"/api/review/judgements/{number}/return", {"reason": "read them again"})
    rita.refused(404, "not_found", "POST", f"/api/review/judgements/{number}/return", {"reason": "twice"})
    assert count_judgements(store) == {}
    view = ann.ok("GET", f"/api/tasks/{assignment}")
    assert (view["state"], view["reason"], view["answer"]) == ("withdrawn", "read them again", None)
    (past,) = ann.ok("GET", "/api/tasks")["tasks"]
    assert (past["state"], past["reason"]) == ("withdrawn", "read them again")
    assert take(ann) != assignment


def test_judgements_by_whom_and_what(come: Come, ranking_queue: str) -> None:
    ann, ben, rita = come("ann"), come("ben"), come("rita", "reviewer")
    first = by_text(ann, reverse=False)
    ben.ok("POST", f"/api/tasks/{take(ben)}/skip", {"reason": "knowledge"})
    path = "/api/review/judgements"
    assert [one["judgement"] for one in rita.ok("GET", f"{path}?person={ann.id}")["judgements"]] == [first]
    (skipped,) = rita.ok("GET", f"{path}?kind=skip")["judgements"]
    assert (skipped["labeler"], skipped["reason"]) == ("ben", "knowledge")
    assert rita.ok("GET", f"{path}?before={first}")["judgements"] == []
    for query in ("kind=poem", "person=0", "limit=0", "before=x", "person=99999999999999999999"):
        rita.refused(422, "invalid", "GET", f"{path}?{query}")
