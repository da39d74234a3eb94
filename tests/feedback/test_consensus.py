"""Consensus, against sums by hand and a search of the likelihood by brute force."""

from itertools import combinations, product
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.feedback.consensus import bradley_terry, consensus, mean_ranks, shared_places, wins

RANKINGS = st.integers(2, 5).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(
            st.lists(st.integers(1, count), min_size=count, max_size=count).map(lambda ranks: dict(enumerate(ranks))),
            min_size=1,
            max_size=6,
        ),
    )
)


def test_tied_responses_share_the_mean_of_their_places() -> None:
    assert shared_places([1, 1, 5]) == [1.5, 1.5, 3.0]
    assert shared_places([2, 2, 2, 1]) == [3.0, 3.0, 3.0, 1.0]
    assert shared_places([3]) == [1.0]


def test_the_consensus_is_the_order_of_the_mean_ranks_and_may_have_ties() -> None:
    found = consensus([{0: 1, 1: 2, 2: 3}, {0: 2, 1: 1, 2: 3}], 3)
    assert found.mean_ranks == [1.5, 1.5, 3.0]
    assert found.ranks == [1, 1, 2]
    assert found.strengths[0] == pytest.approx(found.strengths[1])
    assert found.strengths[0] > found.strengths[2]
    assert found.judgements == 2


def test_what_nobody_ranked_comes_last() -> None:
    found = consensus([{0: 2, 2: 1}], 4)
    assert found.mean_ranks == [2.0, None, 1.0, None]
    assert found.ranks == [2, 3, 1, 3]


def test_partial_rankings_join_in_bradley_terry() -> None:
    """A over B and B over C by two labelers: A over C, though nobody saw both."""
    strengths = bradley_terry(wins([{0: 1, 1: 2}, {1: 1, 2: 2}], 3))
    assert strengths[0] > strengths[1] > strengths[2]


@given(RANKINGS)
def test_every_ranking_gives_out_the_same_sum_of_places(drawn: tuple[int, list[dict[int, int]]]) -> None:
    count, rankings = drawn
    means = mean_ranks(rankings, count)
    assert sum(mean for mean in means if mean is not None) == pytest.approx(count * (count + 1) / 2)


@given(RANKINGS)
def test_the_consensus_does_not_depend_on_the_order_of_the_labelers(drawn: tuple[int, list[dict[int, int]]]) -> None:
    count, rankings = drawn
    one, other = consensus(rankings, count), consensus(rankings[::-1], count)
    assert one.ranks == other.ranks
    assert one.strengths == pytest.approx(other.strengths, abs=1e-6)


@given(RANKINGS)
def test_a_single_ranking_is_its_own_consensus(drawn: tuple[int, list[dict[int, int]]]) -> None:
    count, rankings = drawn
    ranks = [rankings[0][k] for k in range(count)]
    found = consensus(rankings[:1], count)
    for a, b in combinations(range(count), 2):
        order = (ranks[a] > ranks[b]) - (ranks[a] < ranks[b])
        assert (found.ranks[a] > found.ranks[b]) - (found.ranks[a] < found.ranks[b]) == order
        assert np.sign(round(found.strengths[b] - found.strengths[a], 6)) == order


@given(RANKINGS)
def test_bradley_terry_expects_as_many_wins_as_there_were(drawn: tuple[int, list[dict[int, int]]]) -> None:
    """The derivative of the log likelihood, prior games counted, is 0."""
    count, rankings = drawn
    won = wins(rankings, count)
    strength = np.exp(bradley_terry(won, prior=0.3))
    played = won + 0.15 * (1 - np.eye(count))
    expected = (played + played.T) * strength[:, None] / (strength[:, None] + strength[None, :])
    assert expected.sum(axis=1) == pytest.approx(played.sum(axis=1), abs=1e-6)


def test_bradley_terry_is_the_best_of_all_strengths_on_a_grid() -> None:
    won = wins([{0: 1, 1: 2, 2: 3}, {0: 2, 1: 1, 2: 2}, {0: 1, 1: 1, 2: 2}], 3) + 0.05 * (1 - np.eye(3))

    def likelihood(logs: tuple[float, ...]) -> float:
        return sum(won[a, b] * -log(1 + np.exp(logs[b] - logs[a])) for a in range(3) for b in range(3) if a != b)

    found = bradley_terry(won, prior=0.0)
    grid = np.linspace(-2, 2, 41)
    best = max(product(grid, grid), key=lambda pair: likelihood((*pair, -sum(pair))))
    assert found[:2] == pytest.approx(best, abs=0.1)
    assert likelihood(tuple(found)) >= likelihood((*best, -sum(best)))


def test_one_response_has_no_order() -> None:
    assert bradley_terry(np.zeros((1, 1))).tolist() == [0.0]
