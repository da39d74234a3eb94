"""Ratings agree with another implementation, and their intervals cover the truth as often as they say."""

import choix
import numpy as np
import pytest

from preceptor.evaluation.bradley_terry import bradley_terry, rating_rows


def outcomes_of(truth, prompts, rng):
    """(P, M, M): on each prompt every two models meet once, as the ratings say."""
    models = len(truth)
    chance = 1 / (1 + np.exp(truth[None, :] - truth[:, None]))
    won = np.triu(rng.random((prompts, models, models)) < chance, k=1)
    lost = np.triu(~won, k=1)
    return won.astype(float) + np.swapaxes(lost, 1, 2)


@pytest.mark.parametrize("seed", range(5))
def test_ratings_agree_with_choix(seed):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=5)
    outcomes = outcomes_of(truth, 40, rng)
    pairs = [(int(a), int(b)) for _, a, b in np.argwhere(outcomes > 0)]
    theirs = choix.opt_pairwise(5, pairs, alpha=1e-3, tol=1e-10)
    assert bradley_terry(outcomes.sum(0)) == pytest.approx(theirs - theirs.mean(), abs=1e-5)


def test_ties_count_as_half_a_win_for_both():
    wins = np.array([[0, 7.5], [2.5, 0]])
    one, other = bradley_terry(wins)
    assert one - other == pytest.approx(np.log(3), abs=2e-3)  # the penalty takes a little


def test_who_always_wins_gets_a_high_rating_and_not_an_infinite_one():
    ratings = bradley_terry([[0, 50, 50], [0, 0, 30], [0, 20, 0]])
    assert np.isfinite(ratings).all() and ratings[0] > ratings[1] + 3 > ratings[2] + 3


def test_models_that_never_met_anyone_stand_in_the_middle():
    assert bradley_terry([[0, 9, 0], [3, 0, 0], [0, 0, 0]])[2] == pytest.approx(0, abs=1e-9)


def test_counts_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="counts of wins"):
        bradley_terry([[0, -1], [2, 0]])
    with pytest.raises(ValueError, match="counts of wins"):
        bradley_terry([[0, float("nan")], [2, 0]])


def test_the_95_percent_intervals_cover_the_truth():
    """100 studies of 150 prompts, enough to see one far too narrow; bench/intervals.py has thousands."""
    truth = np.array([-0.8, -0.2, 0.3, 0.7])
    rng = np.random.default_rng(7)
    covered = [
        row["low"] <= truth[int(row["model"])] <= row["high"]
        for study in range(100)
        for row in rating_rows(["0", "1", "2", "3"], outcomes_of(truth, 150, rng), study, 200)
    ]
    assert 0.89 <= np.mean(covered) <= 0.98  # of studies one standard error is .022, and four ratings share one
