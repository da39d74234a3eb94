"""Agreement between labelers, against counting by hand."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.feedback.agreement import agreement, compared, judged_twice
from preceptor.feedback.pairs import dense_ranks, pairs_from_ranks, ranks_from_pairs
from preceptor.feedback.schema import Ranking, Response
from preceptor.text.conversation import Message

ASK = [Message(role="user", content="Why?")]


def ranking(prompt: str, labeler: str, ranks: dict[str, int]) -> Ranking:
    return Ranking(
        prompt_id=prompt,
        messages=ASK,
        responses=[Response(text=text) for text in ranks],
        ranks=list(ranks.values()),
        labeler=labeler,
    )


def judged(one: list[int], other: list[int]) -> tuple[int, int]:
    """(pairs judged the same way, pairs) of two labelers."""
    ((_, _, found),) = compared(
        ranking("p", labeler, dict(zip("abc", ranks, strict=False))) for labeler, ranks in (("x", one), ("y", other))
    )
    return found.same, found.pairs


def test_a_tie_agrees_with_a_tie_only() -> None:
    assert judged([1, 1], [1, 1]) == (1, 1)
    assert judged([1, 1], [1, 2]) == (0, 1)
    assert judged([1, 2], [3, 9]) == (1, 1)
    assert judged([1, 2, 3], [3, 2, 1]) == (0, 3)
    assert judged([1, 2, 2], [1, 2, 3]) == (2, 3)


def test_responses_are_matched_by_their_text_not_by_their_place() -> None:
    found = agreement([ranking("p", "ann", {"a": 1, "b": 2, "c": 3}), ranking("p", "ben", {"c": 3, "a": 1, "b": 1})])
    assert found.share == pytest.approx(2 / 3)
    assert found.pairs == 3
    assert found.strict_share == 1.0
    assert found.strict_pairs == 2
    assert found.by_labeler == {"ann": pytest.approx(2 / 3), "ben": pytest.approx(2 / 3)}


def test_only_responses_that_both_have_ranked_count() -> None:
    found = agreement([ranking("p", "ann", {"a": 1, "b": 2, "c": 3}), ranking("p", "ben", {"a": 1, "b": 2, "d": 3})])
    assert (found.pairs, found.share) == (1, 1.0)


def test_the_same_text_twice_is_matched_in_turn() -> None:
    twice = [Response(text="a"), Response(text="a"), Response(text="b")]
    rows = [
        Ranking(prompt_id="p", messages=ASK, responses=twice, ranks=[1, 2, 3], labeler=labeler)
        for labeler in ("x", "y")
    ]
    assert agreement(rows).pairs == 3
    assert agreement(rows).share == 1.0


def test_nobody_is_compared_with_herself_but_nameless_ones_are_different_people() -> None:
    same = [ranking("p", "ann", {"a": 1, "b": 2}), ranking("p", "ann", {"a": 1, "b": 2})]
    assert agreement(same).share is None
    assert agreement(same).prompts == 0
    nameless = [ranking("p", "", {"a": 1, "b": 2}), ranking("p", "", {"a": 2, "b": 1})]
    assert agreement(nameless).share == 0.0
    assert agreement(nameless).by_labeler == {}


def test_nothing_to_count_is_none_and_no_error() -> None:
    found = agreement([])
    assert (found.share, found.standard_error, found.strict_share, found.pairs) == (None, None, None, 0)


def test_the_share_is_over_all_pairs_and_the_error_over_prompts() -> None:
    rows = []
    for number in range(400):  # on every other prompt the two say the opposite
        rows.append(ranking(f"p{number}", "ann", {"a": 1, "b": 2}))
        rows.append(ranking(f"p{number}", "ben", {"a": 1, "b": 2} if number % 2 else {"a": 2, "b": 1}))
    found = agreement(rows)
    assert found.share == 0.5
    assert found.prompts == 400
    assert found.standard_error == pytest.approx(0.5 / 400**0.5, rel=0.01)


RANKS = st.lists(st.integers(1, 4), min_size=2, max_size=7)


@given(RANKS)
def test_a_consistent_set_of_pairs_gives_its_ranking_back(ranks: list[int]) -> None:
    back = ranks_from_pairs(pairs_from_ranks(ranks), len(ranks))
    assert pairs_from_ranks(back) == pairs_from_ranks(ranks)
    assert sorted(set(back)) == list(range(1, len(set(back)) + 1))


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=6, max_size=6))
def test_any_preferences_give_ranks_and_no_strict_tournament_winner_loses(values: list[int]) -> None:
    pairs = dict(zip(combinations(range(4), 2), values, strict=True))
    ranks = ranks_from_pairs(pairs, 4)
    assert min(ranks) == 1
    assert len(ranks) == 4
    for one in range(4):
        wins = [pairs[min(one, k), max(one, k)] == (1 if one < k else 2) for k in range(4) if k != one]
        if all(wins):
            assert ranks[one] == 1
            assert ranks.count(1) == 1


def test_a_circle_is_a_tie_and_a_tie_that_does_not_carry_over_gives_way() -> None:
    assert ranks_from_pairs({(0, 1): 1, (1, 2): 1, (0, 2): 2}, 3) == [1, 1, 1]
    assert ranks_from_pairs({(0, 1): 0, (1, 2): 0, (0, 2): 1}, 3) == [1, 2, 3]


def test_dense_ranks() -> None:
    assert dense_ranks([0.5, 3, 0.5, 1]) == [3, 1, 3, 2]


def test_rankings_that_share_no_pair_with_another_are_left_out() -> None:
    rows = [
        ranking("p", "ann", {"a": 1, "b": 2}),
        ranking("p", "ben", {"a": 1, "b": 2}),
        ranking("p", "eve", {"c": 1, "d": 2}),
    ]
    rows += [ranking("q", "ann", {"a": 1, "b": 2})]
    assert judged_twice(rows) == rows[:2]
    many = [ranking("p", str(i), {"a": 1, "b": 2}) for i in range(300)]
    assert len(judged_twice(many)) == 200
