"""Handing in: what is kept, what is refused, and that nothing is counted twice or changed."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import func, select, text

from preceptor.feedback.schema import FLAGS, Prompt
from preceptor.feedback.store import Store
from preceptor.feedback.store.errors import ForbiddenError, InvalidError, NotFoundError, StaleError
from preceptor.feedback.store.judged import read_rankings, read_ratings
from preceptor.feedback.store.people import create_person
from preceptor.feedback.store.published import publish
from preceptor.feedback.store.tables import Item, Judgement
from preceptor.feedback.tasks import (
    DemonstrationPayload,
    OutputRating,
    RankingPayload,
    add_prompts,
    add_samples,
    correct,
    create_queue,
    next_task,
    release,
    submit,
    withdraw,
)

from ..conftest import Clock
from .working import Make, add, got, ranked

# rankings ----------------------------------------------------------------------------------------


def test_a_judgement_is_kept_in_the_order_of_the_item_with_all_it_came_with(
    store: Store, labelers: list[int], sample: Make, clock: Clock
) -> None:
    publish(store, "ranking", {"en": "Rank honestly."})
    create_queue(store, "q", "ranking")
    add_samples(store, "q", [sample("p0", "a", "b", "c")])
    mine = got(store, labelers[0])
    assert mine.guideline_version == 1
    clock.move(7)
    quality = {"a": 2, "b": 1, "c": 2}
    ratings = [OutputRating(overall=7 - quality[one], flags=["violent"] if one == "c" else []) for one in mine.outputs]
    payload = RankingPayload(ranks=[quality[one] for one in mine.outputs], ratings=ratings, note="hm", all_bad=True)
    receipt = submit(store, labelers[0], mine.assignment, payload, seconds=6.5, key="k")
    (judged,) = read_rankings(store)
    assert [one.text for one in judged.ranking.responses] == ["a", "b", "c"]
    assert [one.model for one in judged.ranking.responses] == ["m0", "m1", "m2"]
    assert judged.ranking.ranks == [2, 1, 2]
    assert (judged.ranking.labeler, judged.ranking.source) == ("ann", "person")
    assert [mine.outputs[place] for place in judged.places] == ["a", "b", "c"]
    assert (judged.seconds, judged.note, judged.all_bad) == (6.5, "hm", True)
    assert (judged.id, judged.at) == (receipt.judgement, clock())
    rated = {rating.response: (rating.overall, rating.flags) for rating, _ in read_ratings(store)}
    assert {text: overall for text, (overall, _) in rated.items()} == {"a": 5, "b": 6, "c": 5}
    assert rated["c"][1] == dict.fromkeys(FLAGS, False) | {"violent": True}


def test_the_same_text_is_shown_once_and_judged_for_all_that_wrote_it(
    store: Store, labelers: list[int], sample: Make
) -> None:
    create_queue(store, "q", "ranking")
    add_samples(store, "q", [sample("p0", "a", "b", " a\n")])
    mine = got(store, labelers[0])
    assert sorted(one.strip() for one in mine.outputs) == ["a", "b"]
    payload = ranked(*(1 if one.strip() == "a" else 2 for one in mine.outputs))
    submit(store, labelers[0], mine.assignment, payload, seconds=1)
    (judged,) = read_rankings(store)
    assert [(one.model, one.text) for one in judged.ranking.responses] == [("m0", "a"), ("m1", "b"), ("m2", " a\n")]
    assert judged.ranking.ranks == [1, 2, 1]
    assert len(list(read_ratings(store))) == 3


def test_each_labeler_has_an_order_of_her_own(store: Store, sample: Make) -> None:
    create_queue(store, "q", "ranking", overlap=60)
    add_samples(store, "q", [sample("p0", "a", "b", "c")])
    orders = []
    for number in range(60):
        person = create_person(store, f"labeler {number}").id
        mine = got(store, person)
        assert got(store, person).outputs == mine.outputs
        orders.append("".join(mine.outputs))
    assert len(set(orders)) == 6
    assert 10 <= sum(order.startswith("a") for order in orders) <= 30


@pytest.mark.parametrize("ranks", [[], [0, 1], [2, 2], [1, 4], [1, -1], [1, True], [1, "2"], [1, 1.5], [1, None]])
def test_ranks_that_are_no_ranking(ranks: list[Any]) -> None:
    with pytest.raises(ValidationError):
        RankingPayload(ranks=ranks)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (ranked(1, 2, 3), "3 ranks for 2 outputs"),
        (RankingPayload(ranks=[1, 2]), "rate each output"),
        (DemonstrationPayload(text="hello"), "this task is a ranking, and the answer a demonstration"),
        (ranked(1, 2, note="x" * 10_001), "note: 10,001 characters"),
        (ranked(1, 2, note="\ud800"), "U[+]D800"),
    ],
)
def test_answers_to_something_else(store: Store, labelers: list[int], sample: Make, payload: Any, said: str) -> None:
    create_queue(store, "q", "ranking")
    add_samples(store, "q", [sample("p0", "a", "b")])
    mine = got(store, labelers[0])
    with pytest.raises(InvalidError, match=said):
        submit(store, labelers[0], mine.assignment, payload, seconds=1)
    with pytest.raises(InvalidError, match="seconds"):
        submit(store, labelers[0], mine.assignment, ranked(1, 2), seconds=float("nan"))
    submit(store, labelers[0], mine.assignment, ranked(1, 2), seconds=1)


def test_ranks_may_have_gaps_and_are_kept_without() -> None:
    assert RankingPayload(ranks=[1, 4, 1, 3]).ranks == [1, 3, 1, 2]


# again and anew ----------------------------------------------------------------------------------


def test_the_same_again_is_acknowledged_and_something_else_is_refused(
    store: Store, labelers: list[int], sample: Make
) -> None:
    create_queue(store, "q", "ranking", overlap=2)
    add_samples(store, "q", [sample("p0", "a", "b")])
    mine = got(store, labelers[0])
    first = submit(store, labelers[0], mine.assignment, ranked(1, 2), seconds=1, key="k")
    again = submit(store, labelers[0], mine.assignment, ranked(1, 2), seconds=3, key="k")
    assert (again.judgement, again.repeated, first.repeated) == (first.judgement, True, False)
    for payload, key in ((ranked(2, 1), "k"), (ranked(1, 2), "other")):
        with pytest.raises(StaleError, match="done already"):
            submit(store, labelers[0], mine.assignment, payload, seconds=1, key=key)
    with pytest.raises(StaleError):
        release(store, labelers[0], mine.assignment)
    with store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(Judgement)).scalar() == 1
        assert connection.execute(select(Item.taken, Item.done)).one() == (1, 1)


def test_a_correction_is_a_new_event_and_only_the_last_counts(store: Store, labelers: list[int], sample: Make) -> None:
    create_queue(store, "q", "ranking")
    add_samples(store, "q", [sample("p0", "a", "b")])
    mine = got(store, labelers[0])
    with pytest.raises(StaleError, match="locked, not done"):
        correct(store, labelers[0], mine.assignment, ranked(2, 1), seconds=1)
    submit(store, labelers[0], mine.assignment, ranked(1, 2), seconds=1, key="1")
    second = correct(store, labelers[0], mine.assignment, ranked(1, 1), seconds=1, key="2")
    third = correct(store, labelers[0], mine.assignment, ranked(2, 1), seconds=1, key="3")
    assert correct(store, labelers[0], mine.assignment, ranked(1, 1), seconds=1, key="2").judgement == second.judgement
    (judged,) = read_rankings(store)
    assert judged.id == third.judgement
    assert judged.ranking.ranks == ([2, 1] if mine.outputs == ["a", "b"] else [1, 2])
    with store.reading() as connection:
        chain = connection.execute(select(Judgement.supersedes).order_by(Judgement.id)).scalars().all()
    assert chain == [None, third.judgement - 2, second.judgement]


def test_a_withdrawn_judgement_counts_no_more_and_its_slot_is_free(
    store: Store, labelers: list[int], sample: Make
) -> None:
    create_queue(store, "q", "ranking")
    add_samples(store, "q", [sample("p0", "a", "b")])
    mine = got(store, labelers[0])
    receipt = submit(store, labelers[0], mine.assignment, ranked(1, 2), seconds=1)
    with pytest.raises(ForbiddenError):
        withdraw(store, labelers[1], receipt.judgement, "no")
    reviewer = create_person(store, "rita", role="reviewer").id
    withdraw(store, reviewer, receipt.judgement, "did not read")
    with pytest.raises(NotFoundError):
        withdraw(store, reviewer, receipt.judgement, "again")
    assert list(read_rankings(store)) == []
    assert next_task(store, labelers[0], "q") is None
    assert got(store, labelers[1]).messages == mine.messages
    with pytest.raises(StaleError):
        correct(store, labelers[0], mine.assignment, ranked(2, 1), seconds=1)


@pytest.mark.parametrize("table", ["judgements", "rankings", "ratings", "demonstrations", "audit", "screenings"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = 1", "DELETE FROM {}"])
def test_the_database_itself_refuses_to_change_what_was_said(
    store: Store, labelers: list[int], sample: Make, prompt: Callable[..., Prompt], table: str, statement: str
) -> None:
    from preceptor.feedback.tasks.screening import record_screening

    create_queue(store, "q", "ranking")
    add_samples(store, "q", [sample("p0", "a", "b")])
    submit(store, labelers[0], got(store, labelers[0]).assignment, ranked(1, 2), seconds=1)
    create_queue(store, "d", "demonstration")
    add(store, [prompt("p1")])
    add_prompts(store, "d", ["p1"])
    submit(store, labelers[0], got(store, labelers[0], "d").assignment, DemonstrationPayload(text="x"), seconds=1)
    record_screening(store, labelers[0], "flags", 0.8)
    column = "id" if table in ("judgements", "audit", "screenings") else "judgement_id"
    with pytest.raises(Exception, match="is only ever added to"), store.writing() as connection:
        connection.execute(text(statement.format(table, column)))
