"""Handing out and handing in: what a labeler gets, what she may not, and that nothing is lost or counted twice."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import func, select, text

from preceptor.feedback.schema import FLAGS, Prompt, Sample
from preceptor.feedback.store import Store
from preceptor.feedback.store.errors import ForbiddenError, InvalidError, NotFoundError, StaleError
from preceptor.feedback.store.judged import read_demonstrations, read_prompts, read_rankings, read_ratings
from preceptor.feedback.store.people import create_person, set_status
from preceptor.feedback.store.prompts import add_prompt_rows
from preceptor.feedback.store.published import publish
from preceptor.feedback.store.tables import Item, Judgement
from preceptor.feedback.tasks import (
    ComparisonPayload,
    DemonstrationPayload,
    Example,
    OutputRating,
    PromptPayload,
    PromptWish,
    RankingPayload,
    Task,
    add_honeypot,
    add_prompts,
    add_samples,
    add_wishes,
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
    withdraw,
)

from ..conftest import Clock

Make = Callable[..., Sample]


def ranked(*ranks: int, **more: Any) -> RankingPayload:
    return RankingPayload(ranks=list(ranks), ratings=[OutputRating(overall=8 - rank) for rank in ranks], **more)


def got(store: Store, person: int, name: str = "q") -> Task:
    found = next_task(store, person, name)
    assert found is not None
    return found


def done(store: Store, person: int, name: str = "q") -> list[str]:
    """Rank everything there is for a person; the prompts, in order."""
    seen = []
    while (found := next_task(store, person, name)) is not None:
        seen.append(found.messages[0].content.removeprefix("What is ").removesuffix("?"))
        submit(store, person, found.assignment, ranked(*range(1, len(found.outputs) + 1)), seconds=1)
    return seen


def add(store: Store, prompts: list[Prompt]) -> None:
    with store.writing() as connection:
        add_prompt_rows(connection, store.now(), prompts, where="test")


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


# demonstrations, prompts, comparisons ------------------------------------------------------------


def test_demonstrations(store: Store, labelers: list[int], prompt: Callable[..., Prompt]) -> None:
    create_queue(store, "d", "demonstration")
    add(store, [prompt("p0")])
    add_prompts(store, "d", ["p0"])
    with pytest.raises(NotFoundError, match="no prompt 'p9'"):
        add_prompts(store, "d", ["p9"])
    mine = got(store, labelers[0], "d")
    assert (mine.kind, mine.outputs, mine.messages[0].content) == ("demonstration", [], "What is p0?")
    with pytest.raises(InvalidError, match="100,001 characters"):
        submit(store, labelers[0], mine.assignment, DemonstrationPayload(text="x" * 100_001), seconds=1)
    submit(store, labelers[0], mine.assignment, DemonstrationPayload(text="It is p."), seconds=60)
    correct(store, labelers[0], mine.assignment, DemonstrationPayload(text="It is p0."), seconds=5)
    ((found, source),) = read_demonstrations(store)
    assert [(one.role, one.content) for one in found.messages] == [("user", "What is p0?"), ("assistant", "It is p0.")]
    assert (found.labeler, source) == ("ann", "person")
    with pytest.raises(ValidationError, match="empty"):
        DemonstrationPayload(text=" \n")


def test_nobody_judges_her_own_demonstration(
    store: Store, labelers: list[int], sample: Make, prompt: Callable[..., Prompt]
) -> None:
    create_queue(store, "d", "demonstration")
    add(store, [prompt("p0")])
    add_prompts(store, "d", ["p0"])
    submit(store, labelers[0], got(store, labelers[0], "d").assignment, DemonstrationPayload(text="mine"), seconds=1)
    create_queue(store, "q", "ranking", overlap=4)
    add_samples(store, "q", [sample("p0", "a", "b")], demonstrations=True)
    assert next_task(store, labelers[0], "q") is None
    mine = got(store, labelers[1])
    assert sorted(mine.outputs) == ["a", "b", "mine"]
    submit(store, labelers[1], mine.assignment, ranked(1, 2, 3), seconds=1)
    (judged,) = read_rankings(store)
    assert [one.model for one in judged.ranking.responses] == ["m0", "m1", "demonstration"]


def test_written_prompts(store: Store, labelers: list[int]) -> None:
    create_queue(store, "w", "prompt")
    add_wishes(store, "w", [PromptWish(form="few-shot", way="examples", use_case="classification")])
    add_wishes(store, "w", [PromptWish(hint="write recipes")], copies=2)
    mine = got(store, labelers[0], "w")
    assert mine.wish is not None and mine.wish.form == "few-shot"
    examples = [Example(query="Good film.", response="positive"), Example(query="Bad.", response="negative")]
    shots: dict[str, Any] = {"use_case": "classification", "form": "few-shot", "way": "examples", "query": "So so."}
    with pytest.raises(InvalidError, match="form: a few-shot prompt is wanted here, not plain"):
        submit(store, labelers[0], mine.assignment, PromptPayload(use_case="chat", text="Hi"), seconds=1)
    payload = PromptPayload(**shots, text="Which mood?", examples=examples)
    submit(store, labelers[0], mine.assignment, payload, seconds=1)
    (found,) = read_prompts(store)
    assert found.messages[0].content == "Which mood?\n\nGood film.\npositive\n\nBad.\nnegative\n\nSo so."
    assert (found.kind, found.source) == ("classification", "labeler/few-shot/examples")
    correct(store, labelers[0], mine.assignment, PromptPayload(**shots, examples=examples), seconds=1)
    (found,) = read_prompts(store)
    assert found.messages[0].content.startswith("Good film.")
    assert queue(store, "w").items == 3


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": " "}, "empty"),
        ({"way": "examples", "query": "q", "examples": [Example(query="a", response="b")]}, "at least 2"),
        ({"form": "few-shot", "text": "x"}, 'way = "examples"'),
        ({"text": "x", "query": "y"}, "belong to"),
        ({"way": "examples", "examples": [Example(query="a", response="b")] * 2}, "ends with a query"),
        ({"way": "examples", "examples": [Example(query="a", response=" ")] * 2, "query": "q"}, "an example needs"),
        ({"text": "x", "use_case": "poetry"}, "use_case"),
        ({"text": "x", "admin": True}, "admin"),
    ],
)
def test_prompts_that_are_none(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PromptPayload(**{"use_case": "chat"} | fields)


def test_blind_comparisons_and_who_wins_them(store: Store, labelers: list[int], sample: Make) -> None:
    from preceptor.feedback.tasks.quality import win_rates

    create_queue(store, "c", "comparison")
    add_samples(store, "c", [sample(f"p{i}", f"good {i}", f"bad {i}") for i in range(4)] + [sample("p4", "x", "x")])
    while (mine := next_task(store, labelers[0], "c")) is not None:
        better = "first" if mine.outputs[0].startswith("good") else "second"
        preferred = "tie" if mine.outputs[0].endswith("3") else better
        submit(
            store, labelers[0], mine.assignment, ComparisonPayload.model_validate({"preferred": preferred}), seconds=1
        )
    # three wins, a tie, and the pair of one text, which nobody was shown
    assert win_rates(store, "c") == {("m0", "m1"): (pytest.approx((3 + 0.5 + 0.5) / 5), 5)}


# honeypots ---------------------------------------------------------------------------------------


def test_honeypots_come_at_the_stated_rate_look_like_any_task_and_do_not_count(
    store: Store, labelers: list[int], sample: Make
) -> None:
    from preceptor.feedback.tasks.quality import honeypots
    from preceptor.feedback.tasks.screening import screening

    create_queue(store, "q", "ranking", honeypot_rate=0.3)
    add_samples(store, "q", [sample(f"p{i}", f"a{i}", f"b{i}") for i in range(70)])
    for i in range(60):
        flags = [[], ["violent"]]
        assert add_honeypot(store, "q", sample(f"h{i}", f"a{i}", f"b{i}"), [1, 2], flags).added == 1
    with pytest.raises(InvalidError, match="not all the same"):
        add_honeypot(store, "q", sample("h", "a", "b"), [1, 1])
    met = 0
    for turn in range(60):
        mine = got(store, labelers[0])
        assert set(mine.model_dump()) == set(Task.model_fields)
        is_honeypot = mine.messages[0].content.startswith("What is h")
        met += is_honeypot
        right = turn % 4 > 0
        ranks = [1 if one.startswith("a") == right else 2 for one in mine.outputs]
        ratings = [OutputRating(overall=4, flags=["sexual"] if one.startswith("b") else []) for one in mine.outputs]
        submit(store, labelers[0], mine.assignment, RankingPayload(ranks=ranks, ratings=ratings), seconds=1)
    assert 8 <= met <= 28  # of 60 at 0.3; the chance to be outside is below one in a thousand
    assert len(list(read_rankings(store))) == 60 - met == queue(store, "q").done
    score = honeypots(store)["ann"]
    assert score.n == met
    assert 0.5 < score.value < 1
    found = screening(store, labelers[0])
    assert found["rankings"] == score
    assert (found["flags"].value, found["flags"].n) == (1.0, 2 * met)
