"""Fifty labelers at once: no slot twice, no judgement lost, no lock that stays, nobody starved."""

import threading
import time
from collections import Counter
from collections.abc import Callable

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

LABELERS, ITEMS, OVERLAP, OUTPUTS = 50, 60, 5, 4


def test_fifty_labelers_share_the_slots(store: Store, sample: Callable[..., Sample]) -> None:
    create_queue(store, "q", "ranking", overlap=OVERLAP)
    texts = [f"output {k}" for k in range(OUTPUTS)]
    add_samples(store, "q", [sample(f"p{i}", *texts) for i in range(ITEMS)])
    people = [create_person(store, f"labeler {number}").id for number in range(LABELERS)]
    receipts: list[tuple[int, str, int]] = []
    waits: list[float] = []
    failures: list[BaseException] = []
    start = threading.Barrier(LABELERS)

    def work(person: int) -> None:
        start.wait()
        try:
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
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
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
        first = next_task(store, person, "q")
        assert first is not None
        release(store, person, first.assignment)
    held: list[str] = []
    start = threading.Barrier(8)

    def open_page() -> None:
        start.wait()
        mine = next_task(store, person, "q")
        assert mine is not None
        held.append(mine.assignment)

    threads = [threading.Thread(target=open_page) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 8
    assert len(set(held)) == 1
    with store.reading() as connection:
        assert connection.execute(select(func.sum(Item.taken))).scalar() == 1


def test_one_answer_sent_from_many_connections_at_once_is_kept_once(
    store: Store, sample: Callable[..., Sample]
) -> None:
    create_queue(store, "q", "ranking")
    add_samples(store, "q", [sample("p0", "a", "b")])
    person = create_person(store, "ann").id
    mine = next_task(store, person, "q")
    assert mine is not None
    payload = RankingPayload(ranks=[1, 2], ratings=[OutputRating(overall=5)] * 2)
    numbers: list[int] = []
    start = threading.Barrier(8)

    def send() -> None:
        start.wait()
        numbers.append(submit(store, person, mine.assignment, payload, seconds=1, key="k").judgement)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(numbers) == 8
    assert len(set(numbers)) == 1
