"""GAE against its definition in plain Python; whitening over real tokens."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from preceptor.algorithms.advantages import gae, others_surplus, whiten

seeds = st.integers(0, 2**32 - 1)
factors = st.floats(0.0, 1.0)


def brute_force_gae(rewards, values, mask, gamma, lam):
    """A_i = sum over l of (gamma lam)^l delta_{i+l}, on each row's list of real tokens, 0 after the last."""
    advantages = [[0.0] * len(row) for row in mask]
    for b, row in enumerate(mask):
        steps = [t for t, real in enumerate(row) if real]
        v = [values[b][t] for t in steps] + [0.0]
        deltas = [rewards[b][t] + gamma * v[i + 1] - v[i] for i, t in enumerate(steps)]
        for i, t in enumerate(steps):
            advantages[b][t] = sum((gamma * lam) ** k * delta for k, delta in enumerate(deltas[i:]))
    return advantages


@given(seeds, factors, factors)
def test_gae_equals_brute_force(batch, seed, gamma, lam):
    draw, mask = batch(seed)
    rewards, values = draw(), draw()
    advantages, returns = gae(rewards, values, mask, gamma, lam)
    expected = torch.tensor(
        brute_force_gae(rewards.tolist(), values.tolist(), mask.tolist(), gamma, lam), dtype=torch.float64
    )
    torch.testing.assert_close(advantages, expected, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(returns, expected + values * mask, atol=1e-12, rtol=1e-10)


@given(seeds, factors)
def test_lambda_one_is_reward_to_go_minus_value(batch, seed, gamma):
    draw, mask = batch(seed)
    rewards, values = draw(), draw()
    advantages, returns = gae(rewards, values, mask, gamma, 1.0)
    for b in range(len(mask)):
        steps = [t for t in range(mask.shape[1]) if mask[b, t]]
        for i, t in enumerate(steps):
            to_go = sum(gamma**k * float(rewards[b, u]) for k, u in enumerate(steps[i:]))
            assert float(returns[b, t]) == pytest.approx(to_go, abs=1e-10)
            assert float(advantages[b, t]) == pytest.approx(to_go - float(values[b, t]), abs=1e-10)


@given(seeds)
def test_lambda_zero_is_the_temporal_difference(batch, seed):
    draw, _ = batch(seed)
    rewards, values = draw(), draw()
    advantages, _ = gae(rewards, values, torch.ones_like(values), 0.9, 0.0)
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    torch.testing.assert_close(advantages, rewards + 0.9 * following - values)


def test_nothing_is_bootstrapped_after_the_last_real_token():
    rewards = torch.tensor([[0.0, 2.0, 50.0]])
    values = torch.tensor([[0.5, 0.25, 100.0]])
    advantages, returns = gae(rewards, values, torch.tensor([[1, 1, 0]]), gamma=1.0, lam=0.5)
    assert advantages.tolist() == [[0.25 - 0.5 + 0.5 * 1.75, 2.0 - 0.25, 0.0]]
    assert returns.tolist() == [[1.125, 2.0, 0.0]]


def test_defaults_are_the_published_ones():
    rewards, values, mask = torch.randn(2, 5), torch.randn(2, 5), torch.ones(2, 5)
    for default, stated in zip(gae(rewards, values, mask), gae(rewards, values, mask, 1.0, 0.95), strict=True):
        assert torch.equal(default, stated)


@given(seeds, factors, factors)
def test_padding_changes_no_advantage(batch, pad, seed, gamma, lam):
    draw, mask = batch(seed)
    rewards, values = draw(), draw()
    plain = gae(rewards, values, mask, gamma, lam)
    wide_mask, wide_rewards, wide_values = pad(seed, mask, rewards, values)
    for before, after in zip(plain, gae(wide_rewards, wide_values, wide_mask, gamma, lam), strict=True):
        assert torch.equal(before[mask], after[wide_mask])
        assert torch.equal(after[~wide_mask], torch.zeros_like(after[~wide_mask]))


def test_no_gradient_leaves_through_advantages_or_returns():
    values = torch.randn(2, 3, requires_grad=True)
    advantages, returns = gae(torch.randn(2, 3), values, torch.ones(2, 3))
    assert not advantages.requires_grad
    assert not returns.requires_grad


def test_returns_come_from_raw_advantages():
    """Whitening afterwards leaves the returns at the scale of the rewards."""
    rewards = torch.tensor([[0.0, 0.0, 7.0], [0.0, 3.0, 0.0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    advantages, returns = gae(rewards, torch.zeros(2, 3), mask, 1.0, 1.0)
    whiten(advantages, mask)
    assert returns.tolist() == [[7.0, 7.0, 7.0], [3.0, 3.0, 0.0]]


def brute_force_whiten(x, mask):
    real = [v for xs, ms in zip(x, mask, strict=True) for v, m in zip(xs, ms, strict=True) if m]
    mean = sum(real) / len(real)
    variance = sum((v - mean) ** 2 for v in real) / len(real)
    return [
        [(v - mean) / math.sqrt(variance + 1e-8) if m else 0.0 for v, m in zip(xs, ms, strict=True)]
        for xs, ms in zip(x, mask, strict=True)
    ]


@given(seeds)
def test_whitening_equals_brute_force(batch, seed):
    draw, mask = batch(seed)
    x = draw(3.0) + 5.0
    expected = torch.tensor(brute_force_whiten(x.tolist(), mask.tolist()), dtype=torch.float64)
    torch.testing.assert_close(whiten(x, mask), expected, atol=1e-9, rtol=1e-9)


@given(seeds)
def test_whitened_advantages_have_mean_zero_and_variance_one_over_real_tokens(batch, seed):
    draw, mask = batch(seed)
    real = whiten(draw(2.0) - 3.0, mask)[mask]
    assert float(real.mean()) == pytest.approx(0.0, abs=1e-9)
    if len(real) > 1:
        assert float(real.var(correction=0)) == pytest.approx(1.0, abs=1e-3)


@given(seeds)
def test_padding_does_not_enter_the_whitening(batch, pad, seed):
    draw, mask = batch(seed)
    x = draw(2.0) + 1.0
    wide_mask, wide = pad(seed, mask, x)
    whitened = whiten(wide, wide_mask)
    torch.testing.assert_close(whitened[wide_mask], whiten(x, mask)[mask], atol=1e-12, rtol=1e-12)
    assert torch.equal(whitened[~wide_mask], torch.zeros_like(whitened[~wide_mask]))


@pytest.mark.parametrize("x", [[[1000.1, 1000.1, 1000.1]], [[0.3, 0.0, 0.0]]])
def test_equal_advantages_whiten_to_zero(x):
    mask = torch.tensor([[1, 1, 1]]) if x[0][1] else torch.tensor([[1, 0, 0]])
    torch.testing.assert_close(whiten(torch.tensor(x), mask), torch.zeros(1, 3))


def test_whitening_nothing_gives_nothing():
    assert whiten(torch.full((2, 2), math.nan), torch.zeros(2, 2)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_whitening_keeps_small_differences_on_a_large_common_part():
    x = torch.tensor([[4096.0, 4096.001953125, 4096.00390625]])
    expected = whiten((x - 4096.0) * 1024, torch.ones(1, 3))
    torch.testing.assert_close(whiten(x, torch.ones(1, 3)), expected, atol=2e-3, rtol=2e-3)


@given(seeds, st.integers(2, 4), factors)
def test_the_others_surplus_equals_brute_force(seed, responses, gamma):
    generator = torch.Generator().manual_seed(seed)
    rows, width = 2 * responses, 5
    rewards, values = (torch.randn(rows, width, generator=generator, dtype=torch.float64) for _ in range(2))
    mask = torch.rand(rows, width, generator=generator) < 0.5
    mask[:, 2] = True  # every response has a token
    mine = others_surplus(rewards, values, mask, responses, gamma)
    for row in range(rows):
        prompt = row // responses
        surplus = []
        for other in range(prompt * responses, (prompt + 1) * responses):
            steps = [t for t in range(width) if mask[other, t]]
            came = sum(gamma**k * float(rewards[other, t]) for k, t in enumerate(steps))
            if other != row:
                surplus.append(came - float(values[other, steps[0]]))
        assert float(mine[row, 0]) == pytest.approx(sum(surplus) / len(surplus), abs=1e-10)


@pytest.mark.parametrize("lam", [0.0, 0.9, 1.0])
def test_scores_that_depend_on_the_prompt_alone_leave_no_advantage(lam):
    """Whatever the lengths and lambda; plain GAE would like the short ones of a good prompt."""
    lengths = [2, 7, 4, 5, 5, 1]
    mask = torch.arange(7) < torch.tensor(lengths)[:, None]
    rewards = torch.zeros(6, 7)
    for row, length in enumerate(lengths):
        rewards[row, length - 1] = 2.0 if row < 3 else -5.0
    values = torch.full((6, 7), 0.25)
    values = values + others_surplus(rewards, values, mask, 3)
    torch.testing.assert_close(gae(rewards, values, mask, 1.0, lam)[0], torch.zeros(6, 7))


def test_one_response_has_no_others():
    assert (others_surplus(*torch.randn(2, 3, 4), torch.ones(3, 4, dtype=torch.bool), 1) == 0).all()
