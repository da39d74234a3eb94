"""Rewards with the KL penalty, and the controllers of its coefficient."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from preceptor.algorithms.kl import AdaptiveKL, FixedKL, KLController, episode_kl, per_token_rewards
from preceptor.errors import InputError

seeds = st.integers(0, 2**32 - 1)
coefficients = st.floats(0.0, 1.0)
kls = st.floats(-50.0, 200.0)


def episodes(batch, seed):
    draw, mask = batch(seed)
    return draw()[:, 0].clone(), -draw().abs(), -draw().abs(), mask


@given(seeds, coefficients)
def test_rewards_equal_brute_force(batch, seed, kl_coef):
    scores, logprobs, ref_logprobs, mask = episodes(batch, seed)
    rewards = per_token_rewards(scores, logprobs, ref_logprobs, mask, kl_coef)
    for b, row in enumerate(mask.tolist()):
        last = max(t for t, real in enumerate(row) if real)
        for t, real in enumerate(row):
            expected = -kl_coef * (float(logprobs[b, t]) - float(ref_logprobs[b, t])) if real else 0.0
            expected += float(scores[b]) if t == last else 0.0
            assert float(rewards[b, t]) == pytest.approx(expected, abs=1e-12)


@given(seeds, coefficients)
def test_rewards_sum_to_score_minus_penalty(batch, seed, kl_coef):
    scores, logprobs, ref_logprobs, mask = episodes(batch, seed)
    rewards = per_token_rewards(scores, logprobs, ref_logprobs, mask, kl_coef)
    expected = scores - kl_coef * episode_kl(logprobs, ref_logprobs, mask)
    torch.testing.assert_close(rewards.sum(1), expected)


@given(seeds)
def test_the_score_lands_once_on_the_last_real_token(batch, seed):
    scores, logprobs, _, mask = episodes(batch, seed)
    rewards = per_token_rewards(scores, logprobs, logprobs, mask, 0.02)
    for b, row in enumerate(mask.tolist()):
        last = max(t for t, real in enumerate(row) if real)
        assert [t for t, r in enumerate(rewards[b].tolist()) if r != 0.0] == [last]
        assert rewards[b, last] == scores[b]


@given(seeds, coefficients)
def test_padding_adds_nothing_to_rewards_or_kl(batch, pad, seed, kl_coef):
    scores, logprobs, ref_logprobs, mask = episodes(batch, seed)
    wide_mask, wide_logprobs, wide_ref = pad(seed, mask, logprobs, ref_logprobs)
    extra = len(wide_mask) - len(mask)
    wide_scores = torch.cat([scores, torch.full((extra,), math.nan, dtype=scores.dtype)])
    rewards = per_token_rewards(scores, logprobs, ref_logprobs, mask, kl_coef)
    wide_rewards = per_token_rewards(wide_scores, wide_logprobs, wide_ref, wide_mask, kl_coef)
    assert torch.equal(wide_rewards[wide_mask], rewards[mask])
    assert not wide_rewards[~wide_mask].any()
    kl = episode_kl(logprobs, ref_logprobs, mask)
    wide_kl = episode_kl(wide_logprobs, wide_ref, wide_mask)
    torch.testing.assert_close(wide_kl, torch.cat([kl, torch.zeros(extra, dtype=kl.dtype)]))


def test_rewards_take_a_float_mask_and_carry_no_gradient():
    scores, logprobs = torch.randn(2, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    rewards = per_token_rewards(
        scores, logprobs, torch.zeros(2, 3), torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]), 0.1
    )
    assert not rewards.requires_grad
    assert rewards[0, 2] == rewards[1, 0] == 0.0


# --- controllers


@given(st.floats(1e-3, 1.0), st.floats(0.1, 20.0), st.integers(1000, 20000), st.lists(kls, max_size=20))
def test_the_adaptive_coefficient_follows_the_formula(start, target, horizon, observed):
    controller, expected = AdaptiveKL(start, target, horizon), start
    for kl in observed:
        controller.update(kl, 512)
        error = kl / target - 1
        error = 0.2 if error > 0.2 else -0.2 if error < -0.2 else error
        expected = expected * (1 + error * 512 / horizon)
        assert controller.kl_coef == pytest.approx(expected, rel=1e-12)
        assert controller.kl_coef > 0.0


def test_the_adaptive_coefficient_rises_above_target_and_falls_below_it():
    controller = AdaptiveKL(0.1, target=6.0, horizon=1000)
    controller.update(6.0, 100)
    assert controller.kl_coef == 0.1
    controller.update(600.0, 100)
    assert controller.kl_coef == pytest.approx(0.1 * 1.02)
    controller.update(-5.0, 100)
    assert controller.kl_coef == pytest.approx(0.1 * 1.02 * 0.98)


@given(st.lists(kls, min_size=1, max_size=10), st.lists(kls, max_size=10))
def test_a_resumed_controller_goes_on_exactly(before, after):
    undisturbed = AdaptiveKL(0.05, 6.0, 10_000)
    for kl in before:
        undisturbed.update(kl, 512)
    saved = json.loads(json.dumps(undisturbed.state_dict()))
    resumed = AdaptiveKL(0.05, 6.0, 10_000).load_state_dict(saved)
    for kl in after:
        undisturbed.update(kl, 512)
        resumed.update(kl, 512)
    assert resumed.kl_coef == undisturbed.kl_coef
    assert resumed.state_dict() == undisturbed.state_dict()


@given(kls)
def test_the_fixed_coefficient_stays(kl):
    controller = FixedKL()
    controller.update(kl, 512)
    assert controller.kl_coef == 0.02
    assert FixedKL(0.5).load_state_dict(json.loads(json.dumps(controller.state_dict()))).kl_coef == 0.02


@pytest.mark.parametrize(
    ("saved", "wanted"), [(FixedKL(), AdaptiveKL(0.1, 6.0, 100)), (AdaptiveKL(0.1, 6.0, 100), FixedKL())]
)
def test_the_state_of_the_other_kind_is_refused(saved: KLController, wanted: KLController):
    with pytest.raises(InputError, match="start another run"):
        wanted.load_state_dict(saved.state_dict())


@pytest.mark.parametrize(
    "make",
    [
        lambda: FixedKL(-0.1),
        lambda: FixedKL(math.nan),
        lambda: AdaptiveKL(0.0, 6.0, 100),
        lambda: AdaptiveKL(-1.0, 6.0, 100),
        lambda: AdaptiveKL(0.1, 0.0, 100),
        lambda: AdaptiveKL(0.1, math.inf, 100),
        lambda: AdaptiveKL(0.1, 6.0, 0),
    ],
)
def test_settings_that_cannot_work_are_refused(make):
    with pytest.raises(InputError, match="KL"):
        make()


def test_a_rollout_too_large_for_the_horizon_is_refused():
    controller = AdaptiveKL(0.1, 6.0, 100)
    controller.update(0.0, 499)
    assert controller.kl_coef > 0.0
    with pytest.raises(InputError, match="horizon"):
        controller.update(0.0, 500)


@pytest.mark.parametrize("kl", [math.nan, math.inf, -math.inf])
def test_a_kl_that_is_not_finite_stops_and_leaves_the_coefficient(kl):
    controller = AdaptiveKL(0.1, 6.0, 1000)
    with pytest.raises(FloatingPointError, match="not finite"):
        controller.update(kl, 10)
    assert controller.kl_coef == 0.1
