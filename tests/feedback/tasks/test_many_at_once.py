"""Fifty labelers at once: no slot twice, no judgement lost, no lock that stays, nobody starved."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import pytest
from sqlalchemy import func, select

from preceptor.feedback.schema import Sample
from preceptor.feedback.store import Store
from preceptor.feedback.store.people import create_person
from preceptor.feedback.store.tables import Assignment, Item, Judgement, Ranked
from preceptor.feedback.tasks import (
    OutputRating,
    RankingPayload,
    add_samples,
    create_queue,
    next_task,
    queue,
    release,
    submit,
)
from preceptor.feedback.tasks import next as handing_out

from .working import got, ranked

LABELERS, ITEMS, OVERLAP, OUTPUTS = 50, 60, 5, 4
T = TypeVar("T")


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Call each in a thread of its own, all of which start together. What they return; what one raises is raised."""
    start = threading.Barrier(len(calls))

    def work(call: Callable[[], T]) -> T:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(work, calls))


def test_fifty_labelers_share_the_slots(store: Store, sample: Callable[..., Sample]) -> None:
    create_queue(store, "q", "ranking", overlap=OVERLAP)
    texts = [f"output {k}" for k in range(OUTPUTS)]
    add_samples(store, "q", [sample(f"p{i}", *texts) for i in range(ITEMS)])
    people = [create_person(store, f"labeler {number}").id for number in range(LABELERS)]
    receipts: list[tuple[int, str, int]] = []
    waits: list[float] = []

    def work(person: int) -> None:
        while True:
            began = time.perf_counter()
            mine = next_task(store, person, "q")
            took = time.perf_counter()
            waits.append(took - began)
            if mine is None:
                return
            ranks = [1 + int(text.split()[1]) for text in mine.outputs]
            payload = RankingPayload(ranks=ranks, ratings=[OutputRating(overall=5)] * OUTPUTS)
            receipt = submit(store, person, mine.assignment, payload, seconds=1, key="k")
            waits.append(time.perf_counter() - took)
            receipts.append((person, mine.messages[0].content, receipt.judgement))

    at_once([partial(work, person) for person in people])
    assert len(receipts) == ITEMS * OVERLAP
    assert set(Counter(prompt for _, prompt, _ in receipts).values()) == {OVERLAP}
    assert max(Counter((person, prompt) for person, prompt, _ in receipts).values()) == 1
    assert len({judgement for _, _, judgement in receipts}) == ITEMS * OVERLAP
    info = queue(store, "q")
    assert (info.complete, info.done, info.locked) == (ITEMS, ITEMS * OVERLAP, 0)
    with store.reading() as connection:
        kept = set(connection.execute(select(Judgement.id)).scalars())
        marks = connection.execute(select(func.count()).select_from(Ranked)).scalar()
        states = set(connection.execute(select(Assignment.state)).scalars())
        taken = set(connection.execute(select(Item.taken, Item.done)).all())
    assert kept == {judgement for _, _, judgement in receipts}
    assert marks == ITEMS * OVERLAP * OUTPUTS
    assert states == {"done"}
    assert taken == {(OVERLAP, OVERLAP)}
    assert max(waits) < 25  # nobody came near a timeout; how long it really takes, bench/labeling.py measures


@pytest.mark.parametrize(("items", "given_back"), [(20, False), (1, True)])
def test_two_browsers_of_one_person_hold_one_task(
    store: Store, sample: Callable[..., Sample], items: int, given_back: bool
) -> None:
    create_queue(store, "q", "ranking", overlap=9)
    add_samples(store, "q", [sample(f"p{i}", "a", "b") for i in range(items)])
    person = create_person(store, "ann").id
    if given_back:  # then it is that one again, or nothing
        release(store, person, got(store, person).assignment)

    def open_page() -> str:
        return got(store, person).assignment

    held = at_once([open_page] * 8)
    assert len(set(held)) == 1
    with store.reading() as connection:
        assert connection.execute(select(func.sum(Item.taken))).scalar() == 1


def test_a_look_that_another_browser_overtook_takes_no_second_slot(
    store: Store, sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What PostgreSQL may do by itself, made sure of: the item was found before the other browser revived it."""
    create_queue(store, "q", "ranking", overlap=9)
    add_samples(store, "q", [sample("p0", "a", "b")])
    person = create_person(store, "ann").id
    release(store, person, got(store, person).assignment)
    places = handing_out._places(store, person, None)
    with store.writing() as connection:
        found = handing_out._find(connection, person, places[0].id, [handing_out._AGAIN])
    mine = got(store, person)
    looks = iter([places])
    look, find = handing_out._places, handing_out._find
    finds = iter([found])
    monkeypatch.setattr(handing_out, "_places", lambda *asked: next(looks, None) or look(*asked))
    monkeypatch.setattr(handing_out, "_find", lambda *asked: next(finds, None) or find(*asked))
    assert got(store, person).assignment == mine.assignment
    with store.reading() as connection:
        assert connection.execute(select(func.sum(Item.taken))).scalar() == 1


def test_one_answer_sent_from_many_connections_at_once_is_kept_once(
    store: Store, sample: Callable[..., Sample]
) -> None:
    create_queue(store, "q", "ranking")
    add_samples(store, "q", [sample("p0", "a", "b")])
    person = create_person(store, "ann").id
    mine = got(store, person)

    def send() -> int:
        return submit(store, person, mine.assignment, ranked(1, 2), seconds=1, key="k").judgement

    numbers = at_once([send] * 8)
    assert len(set(numbers)) == 1
