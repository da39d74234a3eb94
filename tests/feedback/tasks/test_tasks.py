"""Handing out: what a labeler gets, what she may not, and what becomes of locks."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from preceptor.feedback.store import Store
from preceptor.feedback.store.errors import ForbiddenError, InvalidError, NotFoundError, StaleError
from preceptor.feedback.store.judged import read_rankings
from preceptor.feedback.store.people import set_status
from preceptor.feedback.store.tables import Judgement
from preceptor.feedback.tasks import (
    add_prompts,
    add_samples,
    change_queue,
    correct,
    create_queue,
    extend,
    held,
    next_task,
    queue,
    queues,
    release,
    save_draft,
    skip,
    submit,
    task,
)

from ..conftest import Clock
from .working import Make, done, got, ranked

# queues ------------------------------------------------------------------------------------------


def test_each_item_goes_to_as_many_labelers_as_the_overlap_says(
    store: Store, labelers: list[int], sample: Make
) -> None:
    create_queue(store, "q", "ranking", overlap=2)
    add_samples(store, "q", [sample(f"p{i}", "a", "b") for i in range(3)])
    assert done(store, labelers[0]) == ["p0", "p1", "p2"]
    assert done(store, labelers[0]) == []
    assert done(store, labelers[1]) == ["p0", "p1", "p2"]
    assert done(store, labelers[2]) == []
    info = queue(store, "q")
    assert (info.items, info.complete, info.slots, info.done, info.finished) == (3, 3, 6, 6, True)


def test_a_slot_that_is_held_is_nobody_else_s(store: Store, labelers: list[int], sample: Make) -> None:
    create_queue(store, "q", "ranking")
    add_samples(store, "q", [sample("p0", "a", "b")])
    first = got(store, labelers[0])
    assert next_task(store, labelers[1], "q") is None
    assert got(store, labelers[0]) == first  # a reload, or a second browser
    assert [one[0] for one in held(store, labelers[0])] == [first.assignment]


def test_higher_priority_first_then_the_older(store: Store, labelers: list[int], sample: Make) -> None:
    create_queue(store, "q", "ranking")
    add_samples(store, "q", [sample("p0", "a", "b"), sample("p1", "a", "b")])
    add_samples(store, "q", [sample("p2", "a", "b")], priority=5)
    assert done(store, labelers[0]) == ["p2", "p0", "p1"]


def test_queues_are_offered_by_priority_and_not_when_closed(store: Store, labelers: list[int], sample: Make) -> None:
    for name, priority in (("low", 0), ("high", 3)):
        create_queue(store, name, "ranking", priority=priority)
        add_samples(store, name, [sample(name, "a", "b")])
    assert [one.name for one in queues(store)] == ["high", "low"]
    first = next_task(store, labelers[0])
    assert first is not None and first.queue == "high"
    change_queue(store, "high", open=False)
    assert next_task(store, labelers[0]) == first  # what is held is honoured
    second = next_task(store, labelers[1])
    assert second is not None and second.queue == "low"
    change_queue(store, "low", open=False)
    assert next_task(store, labelers[2]) is None


def test_adding_twice_adds_once(store: Store, sample: Make) -> None:
    create_queue(store, "q", "ranking")
    rows = [sample("p0", "a", "b"), sample("p1", "a", "a")]
    first, again = add_samples(store, "q", rows), add_samples(store, "q", rows)
    assert (first.added, first.identical, first.known) == (1, 1, 0)
    assert (again.added, again.identical, again.known) == (0, 0, 2)
    assert queue(store, "q").items == 1


@pytest.mark.parametrize(
    "wrong", [{"overlap": 0}, {"kind": "poem"}, {"lock_seconds": 0}, {"kind": "prompt", "honeypot_rate": 0.1}]
)
def test_queues_that_make_no_sense(store: Store, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidError, match="queue q"):
        create_queue(store, "q", **{"kind": "ranking"} | wrong)


def test_a_queue_s_name_is_taken_once_and_its_kind_holds(store: Store, sample: Make) -> None:
    create_queue(store, "q", "comparison")
    with pytest.raises(StaleError, match="there is a queue q already"):
        create_queue(store, "q", "ranking")
    with pytest.raises(InvalidError, match="3 responses in a queue of comparisons"):
        add_samples(store, "q", [sample("p0", "a", "b", "c")])
    with pytest.raises(InvalidError, match="is for comparison tasks"):
        add_prompts(store, "q", ["p0"])
    with pytest.raises(NotFoundError):
        add_samples(store, "none", [sample("p0", "a", "b")])


def test_who_is_suspended_gets_nothing(store: Store, labelers: list[int], sample: Make) -> None:
    create_queue(store, "q", "ranking")
    set_status(store, labelers[0], "suspended")
    with pytest.raises(ForbiddenError):
        next_task(store, labelers[0], "q")
    with pytest.raises(NotFoundError):
        next_task(store, 999, "q")


# locks -------------------------------------------------------------------------------------------


def test_a_lapsed_lock_goes_to_another_and_the_late_answer_is_refused(
    store: Store, labelers: list[int], sample: Make, clock: Clock
) -> None:
    create_queue(store, "q", "ranking", lock_seconds=60)
    add_samples(store, "q", [sample("p0", "a", "b")])
    late = got(store, labelers[0])
    save_draft(store, labelers[0], late.assignment, {"ranks": [1, 2]})
    clock.move(61)
    other = got(store, labelers[1])
    assert other.assignment != late.assignment
    with pytest.raises(StaleError, match="somebody else has it"):
        submit(store, labelers[0], late.assignment, ranked(1, 2), seconds=1)
    assert task(store, labelers[0], late.assignment).draft == {"ranks": [1, 2]}
    submit(store, labelers[1], other.assignment, ranked(1, 2), seconds=1)
    assert len(list(read_rankings(store))) == 1


def test_a_lapsed_lock_that_nobody_took_is_still_good(
    store: Store, labelers: list[int], sample: Make, clock: Clock
) -> None:
    create_queue(store, "q", "ranking", lock_seconds=60)
    add_samples(store, "q", [sample("p0", "a", "b"), sample("p1", "a", "b")])
    late = got(store, labelers[0])
    clock.move(61)
    got(store, labelers[1])  # frees the lapsed lock, and takes its item
    release(store, labelers[1], got(store, labelers[1]).assignment)
    submit(store, labelers[0], late.assignment, ranked(1, 2), seconds=1)
    assert queue(store, "q").done == 1


def test_extending_keeps_the_slot(store: Store, labelers: list[int], sample: Make, clock: Clock) -> None:
    create_queue(store, "q", "ranking", lock_seconds=60)
    add_samples(store, "q", [sample("p0", "a", "b")])
    mine = got(store, labelers[0])
    clock.move(50)
    assert (extend(store, labelers[0], mine.assignment) - clock()).total_seconds() == 60
    clock.move(50)
    assert next_task(store, labelers[1], "q") is None
    clock.move(11)
    got(store, labelers[1])
    with pytest.raises(StaleError):
        extend(store, labelers[0], mine.assignment)


def test_what_is_given_back_goes_to_others_and_comes_back_last(store: Store, labelers: list[int], sample: Make) -> None:
    create_queue(store, "q", "ranking")
    add_samples(store, "q", [sample("p0", "a", "b"), sample("p1", "a", "b")])
    first = got(store, labelers[0])
    release(store, labelers[0], first.assignment)
    release(store, labelers[0], first.assignment)
    second = got(store, labelers[0])
    assert second.messages[0].content == "What is p1?"
    submit(store, labelers[0], second.assignment, ranked(1, 2), seconds=1)
    again = got(store, labelers[0])
    assert (again.assignment, again.outputs) == (first.assignment, first.outputs)
    assert queue(store, "q").locked == 1


def test_what_is_skipped_never_comes_back_and_goes_to_others(store: Store, labelers: list[int], sample: Make) -> None:
    create_queue(store, "q", "ranking")
    add_samples(store, "q", [sample("p0", "a", "b")])
    mine = got(store, labelers[0])
    with pytest.raises(InvalidError, match="reason"):
        skip(store, labelers[0], mine.assignment, "bored")
    skip(store, labelers[0], mine.assignment, "unclear", seconds=4, note="what?")
    skip(store, labelers[0], mine.assignment, "unclear")
    assert next_task(store, labelers[0], "q") is None
    with pytest.raises(StaleError):
        submit(store, labelers[0], mine.assignment, ranked(1, 2), seconds=1)
    assert got(store, labelers[1]).messages == mine.messages
    with store.reading() as connection:
        rows = connection.execute(select(Judgement.kind, Judgement.note, Judgement.seconds, Judgement.detail)).all()
    assert rows == [("skip", "what?", 4.0, {"reason": "unclear"})]


def test_another_s_task_does_not_exist(store: Store, labelers: list[int], sample: Make) -> None:
    create_queue(store, "q", "ranking")
    add_samples(store, "q", [sample("p0", "a", "b")])
    mine = got(store, labelers[0])
    other = labelers[1]
    calls: list[Callable[[str], object]] = [
        lambda name: task(store, other, name),
        lambda name: submit(store, other, name, ranked(1, 2), seconds=1),
        lambda name: correct(store, other, name, ranked(1, 2), seconds=1),
        lambda name: skip(store, other, name, "unclear"),
        lambda name: release(store, other, name),
        lambda name: extend(store, other, name),
        lambda name: save_draft(store, other, name, {}),
    ]
    for call in calls:
        for name in (mine.assignment, "0" * 32, "' OR 1=1 --", "\x00"):
            with pytest.raises(NotFoundError, match="there is no such task"):
                call(name)
    assert got(store, labelers[0]) == mine


def test_drafts_are_kept_until_the_work_is_handed_in(store: Store, labelers: list[int], sample: Make) -> None:
    create_queue(store, "q", "ranking")
    add_samples(store, "q", [sample("p0", "a", "b")])
    mine = got(store, labelers[0])
    save_draft(store, labelers[0], mine.assignment, {"note": "first"})
    save_draft(store, labelers[0], mine.assignment, {"note": "second"})
    assert got(store, labelers[0]).draft == {"note": "second"}
    with pytest.raises(InvalidError, match="too long"):
        save_draft(store, labelers[0], mine.assignment, "x" * 1_000_001)
    submit(store, labelers[0], mine.assignment, ranked(1, 2), seconds=1)
    assert task(store, labelers[0], mine.assignment).draft is None
    with pytest.raises(StaleError):
        save_draft(store, labelers[0], mine.assignment, {})
