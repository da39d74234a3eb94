"""Stated probabilities against what people said."""

import math

import numpy as np
import pytest

from preceptor.evaluation.calibration import BINS, calibration


def margin(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_shares_and_error_by_hand() -> None:
    scores = [[margin(0.95), 0.0]] * 4 + [[margin(0.65), 0.0]] * 2
    ranks = [[1, 2], [1, 2], [1, 2], [2, 1], [1, 2], [2, 1]]
    found = calibration(scores, ranks, 0, 200, [str(i) for i in range(6)])
    assert found is not None
    low, high = found["bins"]
    assert (low["stated"], low["share"], low["pairs"]) == (pytest.approx(0.65), 0.5, 2)
    assert (high["stated"], high["share"], high["pairs"]) == (pytest.approx(0.95), 0.75, 4)
    assert found["error"] == pytest.approx((4 * 0.20 + 2 * 0.15) / 6)
    assert (found["pairs"], found["n"]) == (6, 6)


def test_the_order_of_the_responses_and_their_number_change_nothing() -> None:
    scores, ranks = [[2.0, 1.0, 0.0]], [[1, 2, 2]]
    turned = calibration([[0.0, 2.0, 1.0]], [[2, 1, 2]], 0, 100, ["p"])
    plain = calibration(scores, ranks, 0, 100, ["p"])
    assert plain is not None
    assert turned is not None
    assert (turned["bins"], turned["error"]) == (plain["bins"], plain["error"])
    assert turned["pairs"] == 2, "ties are no pairs"


def test_equal_scores_state_one_half_and_are_half_right() -> None:
    found = calibration([[1.0, 1.0]], [[2, 1]], 0, 100, ["p"])
    assert found is not None
    (only,) = found["bins"]
    assert (only["stated"], only["share"], found["error"]) == (0.5, 0.5, 0.0)


def test_a_model_that_means_what_it_says_errs_by_chance_alone() -> None:
    rng = np.random.default_rng(0)
    stated = rng.uniform(0.5, 1, size=2000)
    right = rng.random(2000) < stated
    scores = [[margin(p), 0.0] for p in stated]
    honest = calibration(scores, [[1, 2] if one else [2, 1] for one in right], 0, 100, [str(i) for i in range(2000)])
    boastful = calibration(
        [[5 * a, b] for a, b in scores],
        [[1, 2] if one else [2, 1] for one in right],
        0,
        100,
        [str(i) for i in range(2000)],
    )
    assert honest is not None
    assert boastful is not None
    assert len(honest["bins"]) == BINS
    assert honest["error"] < 2.5 * honest["error_by_chance"] < boastful["error"]
    assert all(one["low"] <= one["stated"] <= one["high"] for one in honest["bins"])


def test_pairs_of_one_prompt_are_one_unit_of_evidence() -> None:
    scores, ranks = [[1.0, 0.0]] * 40, [[1, 2], [2, 1]] * 20
    apart = calibration(scores, ranks, 0, 300, [str(i) for i in range(40)])
    together = calibration(scores, ranks, 0, 300, ["a", "b"] * 20)
    assert apart is not None
    assert together is not None
    assert together["bins"][0]["high"] - together["bins"][0]["low"] > apart["bins"][0]["high"] - apart["bins"][0]["low"]


def test_without_a_pair_nothing_is_known() -> None:
    assert calibration([[1.0, 2.0]], [[1, 1]], 0, 100, ["p"]) is None
