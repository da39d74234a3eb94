"""Demonstrations, prompts, blind comparisons and honeypots."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from preceptor.feedback.schema import Prompt
from preceptor.feedback.store import Store
from preceptor.feedback.store.errors import InvalidError, NotFoundError
from preceptor.feedback.store.judged import read_demonstrations, read_prompts, read_rankings
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
    correct,
    create_queue,
    next_task,
    queue,
    submit,
)

from .working import Make, add, got, ranked

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
