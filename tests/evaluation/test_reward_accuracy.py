"""Accuracy and agreement over pairs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.evaluation.reward_accuracy import accuracy_gain, gold_accuracy, labeler_agreement, ranking_accuracy
from preceptor.feedback.schema import Ranking, Response
from preceptor.text.conversation import Message

RANKS = [[1, 2, 3], [2, 1, 1], [1, 1, 1]]


def test_a_perfect_a_reversed_and_a_constant_scorer() -> None:
    perfect = [[-rank for rank in ranks] for ranks in RANKS]
    right = ranking_accuracy(perfect, RANKS, 0, 200)
    assert right is not None
    assert (right["value"], right["low"], right["high"]) == (1.0, 1.0, 1.0)
    assert (right["pairs"], right["n"]) == (5, 2)  # ties are no pairs, and the third prompt is all ties
    wrong = ranking_accuracy([[float(rank) for rank in ranks] for ranks in RANKS], RANKS, 0, 200)
    assert wrong is not None
    assert wrong["value"] == 0.0
    same = ranking_accuracy([[7.0] * 3] * 3, RANKS, 0, 200)
    assert same is not None
    assert same["value"] == 0.5


def test_gold_ties_are_left_out() -> None:
    found = gold_accuracy([[1.0, 0.0, 2.0]], [[0.5, 0.5, 0.1]], 0, 200)
    assert found is not None
    assert (found["value"], found["pairs"]) == (0.0, 2)


def judged(labeler: str, ranks: list[list[int]]) -> list[Ranking]:
    """A labeler's rankings of the prompts 0, 1, ..."""
    ask = [Message(role="user", content="?")]
    return [
        Ranking(
            prompt_id=str(i),
            messages=ask,
            responses=[Response(text=t) for t in "abcd"[: len(one)]],
            ranks=one,
            labeler=labeler,
        )
        for i, one in enumerate(ranks)
    ]


def test_a_tie_is_a_judgement_of_its_own_unless_ties_are_left_out() -> None:
    rows = judged("x", [[1, 2, 2]]) + judged("y", [[1, 2, 3]])
    found = labeler_agreement(rows, 0, 200)
    assert found is not None
    assert (found["value"], found["pairs"]) == (pytest.approx(2 / 3), 3)
    strict = labeler_agreement(rows, 0, 200, strict=True)
    assert strict is not None
    assert (strict["value"], strict["pairs"]) == (1.0, 2)


def test_a_lead_is_measured_on_the_same_pairs() -> None:
    good = [[-float(rank) for rank in ranks] for ranks in RANKS]
    bad = [[float(rank) for rank in ranks] for ranks in RANKS]
    lead = accuracy_gain(good, bad, RANKS, 0, 200)
    assert lead is not None
    assert (lead["value"], lead["low"], lead["high"], lead["pairs"]) == (1.0, 1.0, 1.0, 5)
    none = accuracy_gain(good, good, RANKS, 0, 200)
    assert none is not None
    assert (none["value"], none["low"], none["high"]) == (0.0, 0.0, 0.0)


def test_without_a_pair_nothing_is_known() -> None:
    assert ranking_accuracy([[1.0, 2.0]], [[1, 1]], 0, 200) is None
    assert labeler_agreement([], 0, 200) is None


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(1, 4), min_size=3, max_size=3), min_size=1, max_size=6))
def test_agreement_is_symmetric_and_whole_with_oneself(ranks: list[list[int]]) -> None:
    one, other = judged("x", ranks), judged("y", ranks[::-1])
    there, back = labeler_agreement(one + other, 0, 20), labeler_agreement(other + one, 0, 20)
    itself = labeler_agreement(one + judged("y", ranks), 0, 20)
    assert there is not None
    assert back is not None
    assert itself is not None
    assert there["value"] == back["value"]
    assert itself["value"] == 1.0


def test_the_interval_holds_the_value_and_follows_the_seed() -> None:
    scores = [[float((i * j) % 5) for j in range(4)] for i in range(30)]
    ranks = [[1, 2, 3, 4]] * 30
    one, again = ranking_accuracy(scores, ranks, 3, 300), ranking_accuracy(scores, ranks, 3, 300)
    assert one is not None
    assert one == again
    assert one["low"] < one["value"] < one["high"]


def test_two_labelers_of_a_prompt_are_one_unit_of_evidence() -> None:
    scores, ranks = [[1.0, 0.0], [0.0, 1.0]], [[1, 2], [1, 2]]
    apart = ranking_accuracy(scores * 2, ranks * 2, 0, 300)
    together = ranking_accuracy(scores * 2, ranks * 2, 0, 300, ["a", "b"] * 2)
    assert apart is not None
    assert together is not None
    assert (together["value"], together["pairs"], together["n"], apart["n"]) == (0.5, 4, 2, 4)
    assert together["high"] - together["low"] >= apart["high"] - apart["low"]
