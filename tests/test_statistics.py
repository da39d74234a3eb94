"""Win rates, means and shares with intervals over prompts."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.statistics import mean_with_interval, share_with_interval, win_rate

seeds = st.integers(0, 2**32 - 1)
few = settings(deadline=None, max_examples=30)


def random_scores(seed):
    """Scores with many ties, of the same prompts, (prompts, samples) with unequal numbers of samples."""
    rng = np.random.default_rng(seed)
    prompts = int(rng.integers(1, 12))
    return tuple(rng.integers(0, 4, size=(prompts, int(rng.integers(1, 5)))).astype(float) for _ in range(2))


@few
@given(seeds)
def test_win_rate_equals_brute_force(seed):
    a, b = random_scores(seed)
    result = win_rate(a, b, seed=0, resamples=50)
    shares = []
    for row_a, row_b in zip(a.tolist(), b.tolist(), strict=True):
        meetings = [1.0 if x > y else 0.5 if x == y else 0.0 for x in row_a for y in row_b]
        shares.append(sum(meetings) / len(meetings))
    assert result["win_rate"] == pytest.approx(sum(shares) / len(shares))
    assert result["n"] == len(a)
    assert 0.0 <= result["low"] <= result["high"] <= 1.0


@few
@given(seeds)
def test_swapping_the_models_mirrors_the_result(seed):
    a, b = random_scores(seed)
    one, other = win_rate(a, b, seed, resamples=50), win_rate(b, a, seed, resamples=50)
    assert one["win_rate"] == pytest.approx(1 - other["win_rate"])
    assert one["low"] == pytest.approx(1 - other["high"])
    assert one["high"] == pytest.approx(1 - other["low"])


@few
@given(seeds)
def test_the_bootstrap_is_the_quantiles_of_resampled_means(seed):
    values = np.random.default_rng(seed).normal(size=7)
    result = mean_with_interval(values, seed=3, resamples=200)
    again = mean_with_interval(values[:, None], seed=3, resamples=200)
    assert result == again
    assert result["mean"] == pytest.approx(float(np.mean(values)))
    assert values.min() <= result["low"] <= result["mean"] <= result["high"] <= values.max()
    # Two seeds can meet in one quantile of so few values, hardly in both of several samples.
    assert any(mean_with_interval(values, seed=seed, resamples=200) != result for seed in range(4, 10))
    doubled = mean_with_interval(2 * values + 1, seed=3, resamples=200)
    assert doubled["low"] == pytest.approx(2 * result["low"] + 1)
    assert doubled["high"] == pytest.approx(2 * result["high"] + 1)


def test_a_model_against_itself_is_a_half():
    scores = np.array([1.0, 2.0, 3.0])
    assert win_rate(scores, scores, seed=1) == {"win_rate": 0.5, "low": 0.5, "high": 0.5, "n": 3}


def test_samples_of_one_prompt_are_not_independent_evidence():
    """A hundred copies of each prompt's sample leave the interval as wide as it was."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.3, size=40), rng.normal(size=40)
    once = win_rate(a, b, seed=5, resamples=500)
    copied = win_rate(np.repeat(a[:, None], 100, axis=1), np.repeat(b[:, None], 100, axis=1), seed=5, resamples=500)
    assert copied == pytest.approx(once)


def test_bootstrap_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(11)
    hits = 0
    for trial in range(200):
        a, b = rng.normal(0.5, size=80), rng.normal(size=80)
        result = win_rate(a, b, seed=trial, resamples=200)
        truth = 0.5 * (1 + math.erf(0.5 / math.sqrt(2) / math.sqrt(2)))  # P(N(0.5, 1) > N(0, 1))
        hits += result["low"] <= truth <= result["high"]
    assert 0.89 <= hits / 200 <= 0.99


def test_the_interval_has_the_width_of_the_normal_approximation():
    values = np.random.default_rng(2).normal(size=400)
    result = mean_with_interval(values, seed=0)
    expected = 2 * 1.96 * values.std() / math.sqrt(400)
    assert result["high"] - result["low"] == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("true", "n", "low", "high"),
    [(0, 20, 0.0, 0.16113), (10, 20, 0.29930, 0.70070), (20, 20, 0.83887, 1.0), (1, 100, 0.00177, 0.05449)],
)
def test_share_is_wilsons_interval(true, n, low, high):
    result = share_with_interval([True] * true + [False] * (n - true))
    assert result["share"] == true / n
    assert result["low"] == pytest.approx(low, abs=1e-5)
    assert result["high"] == pytest.approx(high, abs=1e-5)
    assert result["n"] == n


@few
@given(seeds)
def test_share_lies_in_its_interval_between_the_two_extremes_of_dependence(seed):
    """Never wider than one sample a prompt, never narrower than if all samples were independent."""
    rng = np.random.default_rng(seed)
    prompts, samples = int(rng.integers(2, 30)), int(rng.integers(1, 6))
    flags = rng.random((prompts, samples)) < rng.choice([0.0, 0.1, 0.5])
    result = share_with_interval(flags)
    assert result["share"] == pytest.approx(float(flags.mean()))
    assert 0.0 <= result["low"] <= result["share"] <= result["high"] <= 1.0
    narrow = share_with_interval(flags.reshape(-1))
    copied = share_with_interval(np.repeat(flags.reshape(-1)[:, None], 3, axis=1))
    assert result["high"] - result["low"] >= narrow["high"] - narrow["low"] - 1e-12
    assert copied["high"] - copied["low"] == pytest.approx(narrow["high"] - narrow["low"])


def test_prompts_that_all_show_the_same_share_count_every_sample():
    result = share_with_interval([[True, False]] * 50)
    assert result["low"] == pytest.approx(share_with_interval([True, False] * 50)["low"])


def test_results_are_plain_json():
    flags = np.array([True, False])
    for result in (win_rate([1, 2], [2, 1], 0, 10), mean_with_interval([1, 2], 0, 10), share_with_interval(flags)):
        assert json.loads(json.dumps(result)) == result


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: win_rate([1.0], [1.0, 2.0], 0), "row for row"),
        (lambda: win_rate([], [], 0), "not empty"),
        (lambda: mean_with_interval([[[1.0]]], 0), "prompts, samples"),
        (lambda: mean_with_interval([math.nan], 0), "not a number"),
        (lambda: share_with_interval([0.5]), "flags"),
    ],
)
def test_what_cannot_be_counted_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
