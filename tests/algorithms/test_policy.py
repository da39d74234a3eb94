"""Log-probabilities, entropy, the clipped losses and their statistics against plain Python."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from preceptor.algorithms import policy
from preceptor.algorithms.policy import (
    entropy,
    explained_variance,
    logprobs_of,
    merge_stats,
    policy_loss,
    value_loss,
)

seeds = st.integers(0, 2**32 - 1)
temperatures = st.floats(0.1, 5.0)
clips = st.floats(0.05, 0.5)


def softmax(logits, temperature):
    highest = max(logits)
    weights = [math.exp((z - highest) / temperature) for z in logits]
    return [w / sum(weights) for w in weights]


def random_logits(seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 3, 7, generator=generator, dtype=dtype)
    return logits, torch.randint(0, 7, (2, 3), generator=generator)


# --- log-probabilities and entropy


@given(seeds, temperatures)
def test_logprobs_and_entropy_equal_brute_force(seed, temperature):
    logits, targets = random_logits(seed)
    logprobs, entropies = logprobs_of(logits, targets, temperature), entropy(logits, temperature)
    assert logprobs.shape == entropies.shape == targets.shape
    for b in range(2):
        for t in range(3):
            p = softmax(logits[b, t].tolist(), temperature)
            assert float(logprobs[b, t]) == pytest.approx(math.log(p[int(targets[b, t])]), abs=1e-9)
            assert float(entropies[b, t]) == pytest.approx(-sum(x * math.log(x) for x in p if x), abs=1e-9)


@given(seeds, temperatures)
def test_temperature_divides_the_logits(seed, temperature):
    logits, targets = random_logits(seed)
    divided = logits / temperature
    assert torch.equal(logprobs_of(logits, targets, temperature), logprobs_of(divided, targets))
    assert torch.equal(entropy(logits, temperature), entropy(divided))


@given(seeds, temperatures)
def test_probabilities_of_all_tokens_sum_to_one(seed, temperature):
    logits, _ = random_logits(seed)
    every = torch.stack([logprobs_of(logits, torch.full((2, 3), v), temperature) for v in range(7)])
    torch.testing.assert_close(every.exp().sum(0), torch.ones(2, 3, dtype=torch.float64))


@given(seeds, temperatures)
def test_gradient_is_one_hot_minus_softmax_over_temperature(seed, temperature):
    logits, targets = random_logits(seed)
    logits.requires_grad_()
    logprobs_of(logits, targets, temperature).sum().backward()
    one_hot = torch.nn.functional.one_hot(targets, 7)
    expected = (one_hot - torch.softmax(logits.detach() / temperature, -1)) / temperature
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_pieces_change_nothing(monkeypatch, temperature, rows):
    logits, targets = random_logits(3, torch.float32)
    whole, whole_entropy = logprobs_of(logits, targets, temperature), entropy(logits, temperature)
    with_gradient = logprobs_of(logits.clone().requires_grad_(), targets, temperature)
    monkeypatch.setattr(policy, "CHUNK_NUMBERS", rows * 7)
    assert torch.equal(logprobs_of(logits, targets, temperature), whole)
    assert torch.equal(entropy(logits, temperature), whole_entropy)
    assert torch.equal(with_gradient.detach(), whole)


def test_any_leading_shape_will_do():
    logits, targets = random_logits(5)
    picked = torch.tensor([[True, False, True], [False, True, True]])
    assert torch.equal(logprobs_of(logits[picked], targets[picked]), logprobs_of(logits, targets)[picked])
    assert torch.equal(logprobs_of(logits[:, :-1], targets[:, :-1]), logprobs_of(logits, targets)[:, :-1])
    assert logprobs_of(logits[:0], targets[:0]).shape == (0, 3)


def test_half_precision_is_widened():
    logits, targets = random_logits(6, torch.bfloat16)
    for x in (logits, logits.clone().requires_grad_()):
        result = logprobs_of(x, targets, 0.7)
        assert result.dtype == torch.float32
        torch.testing.assert_close(result.detach(), logprobs_of(logits.float(), targets, 0.7))
    assert entropy(logits).dtype == torch.float32


def test_entropy_of_impossible_and_uniform_tokens():
    logits = torch.tensor([[0.0, 0.0, -math.inf, -math.inf], [5.0, 5.0, 5.0, 5.0], [0.0, -math.inf, -1e9, -math.inf]])
    torch.testing.assert_close(entropy(logits), torch.tensor([math.log(2), math.log(4), 0.0]))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_without_probabilities_is_refused(temperature):
    logits, targets = random_logits(0)
    with pytest.raises(ValueError, match="temperature"):
        logprobs_of(logits, targets, temperature)
    with pytest.raises(ValueError, match="temperature"):
        entropy(logits, temperature)


def test_targets_of_another_shape_are_refused():
    logits, targets = random_logits(0)
    with pytest.raises(ValueError, match="do not match"):
        logprobs_of(logits, targets.T)


# --- policy loss


def rollout(batch, seed):
    """New and old log-probabilities far enough apart for the clip to matter, advantages and the mask."""
    draw, mask = batch(seed)
    old = -draw().abs()
    return old + draw(0.3), old, draw(), mask


def brute_force_policy(new, old, advantages, mask, clip):
    loss, stats = 0.0, dict.fromkeys(("tokens", "clipped", "approx_kl", "approx_kl_k1", "ratio"), 0.0)
    ratios = []
    for b, row in enumerate(mask.tolist()):
        for t, real in enumerate(row):
            if not real:
                continue
            difference = float(new[b, t]) - float(old[b, t])
            r, a = math.exp(difference), float(advantages[b, t])
            plain, clipped = -a * r, -a * min(max(r, 1 - clip), 1 + clip)
            loss += max(plain, clipped)
            stats["tokens"] += 1
            stats["clipped"] += clipped > plain
            stats["approx_kl"] += (r - 1) - difference
            stats["approx_kl_k1"] -= difference
            stats["ratio"] += r
            ratios.append(r)
    stats["ratio_max"] = max(ratios)
    stats["log_ratio_max"] = max(abs(math.log(r)) for r in ratios)
    return loss, stats


@given(seeds, clips)
def test_policy_loss_equals_brute_force(batch, seed, clip):
    new, old, advantages, mask = rollout(batch, seed)
    loss, stats = policy_loss(new, old, advantages, mask, clip)
    expected_loss, expected = brute_force_policy(new, old, advantages, mask, clip)
    assert float(loss) == pytest.approx(expected_loss, abs=1e-10)
    assert {name: float(value) for name, value in stats.items()} == pytest.approx(expected, abs=1e-10)


@given(seeds, clips)
def test_padding_adds_nothing_to_policy_loss_stats_or_gradient(batch, pad, seed, clip):
    new, old, advantages, mask = rollout(batch, seed)
    wide_mask, wide_new, wide_old, wide_advantages = pad(seed, mask, new, old, advantages)
    new.requires_grad_()
    wide_new.requires_grad_()
    loss, stats = policy_loss(new, old, advantages, mask, clip)
    wide_loss, wide_stats = policy_loss(wide_new, wide_old, wide_advantages, wide_mask.float(), clip)
    torch.testing.assert_close(wide_loss, loss)
    assert stats.keys() == wide_stats.keys()
    for name in stats:
        torch.testing.assert_close(wide_stats[name], stats[name])
    loss.backward()
    wide_loss.backward()
    torch.testing.assert_close(wide_new.grad[wide_mask], new.grad[mask])
    assert not wide_new.grad[~wide_mask].any()


@given(seeds)
def test_unchanged_weights_give_ratio_one_and_the_policy_gradient(batch, seed):
    new, _, advantages, mask = rollout(batch, seed)
    old = new.clone()
    new.requires_grad_()
    loss, stats = policy_loss(new, old, advantages, mask)
    loss.backward()
    assert float(stats["ratio_max"]) == 1.0
    assert float(stats["log_ratio_max"]) == float(stats["clipped"]) == float(stats["approx_kl"]) == 0.0
    assert int(stats["tokens"]) == int(mask.sum())
    torch.testing.assert_close(new.grad, -advantages * mask)  # d(-A r)/d logp = -A where r = 1


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.5, 1.0, -1.2, 0.0),  # already more likely than the clip allows: no reason to go on
        (1.5, -1.0, 1.5, 1.5),  # went the wrong way: pulled back in full
        (0.5, 1.0, -0.5, -0.5),
        (0.5, -1.0, 0.8, 0.0),
        (1.1, 2.0, -2.2, -2.2),  # inside the clip: the plain surrogate
    ],
)
def test_the_clip_takes_the_pessimistic_side(ratio, advantage, loss, gradient):
    new = torch.tensor([[math.log(ratio)]], dtype=torch.float64, requires_grad=True)
    result, stats = policy_loss(new, torch.zeros(1, 1), torch.tensor([[advantage]]), torch.ones(1, 1), 0.2)
    result.backward()
    assert float(result.detach()) == pytest.approx(loss)
    assert float(new.grad) == pytest.approx(gradient)
    assert int(stats["clipped"]) == (gradient == 0.0)


@given(seeds)
def test_k3_is_never_negative_and_k1_is_its_mean_zero_part(batch, seed):
    new, old, advantages, mask = rollout(batch, seed)
    _, stats = policy_loss(new, old, advantages, mask)
    assert float(stats["approx_kl"]) >= 0.0
    # k3 = k1 + (r - 1)
    recovered = stats["approx_kl_k1"] + stats["ratio"] - stats["tokens"]
    assert float(stats["approx_kl"]) == pytest.approx(float(recovered), abs=1e-9)


def test_both_kl_estimators_are_unbiased():
    """Averaged under the old distribution they give KL(old || new) exactly."""
    old = torch.log_softmax(torch.tensor([0.3, -1.0, 0.8, 0.1], dtype=torch.float64), 0)
    new = torch.log_softmax(torch.tensor([0.0, -0.4, 1.1, 0.2], dtype=torch.float64), 0)
    kl = float((old.exp() * (old - new)).sum())
    for name in ("approx_kl", "approx_kl_k1"):
        each = [
            policy_loss(new[i].view(1, 1), old[i].view(1, 1), torch.zeros(1, 1), torch.ones(1, 1))[1][name]
            for i in range(4)
        ]
        assert float((old.exp() * torch.stack(each)).sum()) == pytest.approx(kl)


@given(seeds, clips)
def test_the_micro_batch_split_changes_neither_loss_nor_gradient_nor_stats(batch, seed, clip):
    new, old, advantages, mask = rollout(batch, seed)
    whole_new, split_new = new.clone().requires_grad_(), new.clone().requires_grad_()
    loss, stats = policy_loss(whole_new, old, advantages, mask, clip)
    (loss / stats["tokens"]).backward()
    parts = []
    for b in range(len(mask)):
        row = slice(b, b + 1)
        part_loss, part_stats = policy_loss(split_new[row], old[row], advantages[row], mask[row], clip)
        (part_loss / mask.sum()).backward()
        parts.append(part_stats)
    torch.testing.assert_close(split_new.grad, whole_new.grad)
    merged = merge_stats(parts)
    assert merged.keys() == stats.keys()
    for name in stats:
        torch.testing.assert_close(merged[name], stats[name])


def test_only_the_new_logprobs_learn_and_stats_are_detached():
    new, old, advantages = (torch.randn(2, 3, requires_grad=True) for _ in range(3))
    loss, stats = policy_loss(new, old, advantages, torch.ones(2, 3))
    loss.backward()
    assert new.grad is not None
    assert old.grad is advantages.grad is None
    assert not any(value.requires_grad for value in stats.values())


def test_a_batch_of_nothing_but_padding_is_zero():
    rubbish, mask = torch.full((2, 3), math.nan), torch.zeros(2, 3)
    for loss, stats in (policy_loss(rubbish, rubbish, rubbish, mask), value_loss(rubbish, rubbish, rubbish, mask)):
        assert float(loss) == 0.0
        assert all(float(value) == 0.0 for value in stats.values())


def test_an_overflowing_ratio_is_not_hidden():
    loss, _ = policy_loss(torch.tensor([[200.0]]), torch.zeros(1, 1), torch.tensor([[-1.0]]), torch.ones(1, 1))
    assert math.isinf(float(loss))


# --- value loss


def brute_force_value(values, old, returns, mask, clip):
    loss, clipped_tokens, error = 0.0, 0, 0.0
    for b, row in enumerate(mask.tolist()):
        for t, real in enumerate(row):
            if real:
                v, o, r = float(values[b, t]), float(old[b, t]), float(returns[b, t])
                plain, clipped = (v - r) ** 2, (min(max(v, o - clip), o + clip) - r) ** 2
                loss += 0.5 * max(plain, clipped)
                clipped_tokens += clipped > plain
                error += plain
    return loss, clipped_tokens, error


@given(seeds, clips)
def test_value_loss_equals_brute_force(batch, seed, clip):
    draw, mask = batch(seed)
    old, returns = draw(), draw()
    values = old + draw(0.4)
    loss, stats = value_loss(values, old, returns, mask, clip)
    expected_loss, expected_clipped, expected_error = brute_force_value(values, old, returns, mask, clip)
    assert float(loss) == pytest.approx(expected_loss, abs=1e-10)
    assert int(stats["value_clipped"]) == expected_clipped
    assert float(stats["value_error"]) == pytest.approx(expected_error, abs=1e-10)
    assert int(stats["tokens"]) == int(mask.sum())


@given(seeds, clips)
def test_padding_adds_nothing_to_value_loss_stats_or_gradient(batch, pad, seed, clip):
    draw, mask = batch(seed)
    old, returns = draw(), draw()
    values = old + draw(0.4)
    wide_mask, wide_values, wide_old, wide_returns = pad(seed, mask, values, old, returns)
    values.requires_grad_()
    wide_values.requires_grad_()
    loss, stats = value_loss(values, old, returns, mask, clip)
    wide_loss, wide_stats = value_loss(wide_values, wide_old, wide_returns, wide_mask, clip)
    torch.testing.assert_close(wide_loss, loss)
    for name in stats:
        torch.testing.assert_close(wide_stats[name], stats[name])
    loss.backward()
    wide_loss.backward()
    torch.testing.assert_close(wide_values.grad[wide_mask], values.grad[mask])
    assert not wide_values.grad[~wide_mask].any()


@given(seeds)
def test_an_infinite_clip_is_half_the_squared_error(batch, seed):
    draw, mask = batch(seed)
    values, old, returns = draw(), draw(), draw()
    loss, stats = value_loss(values, old, returns, mask, math.inf)
    torch.testing.assert_close(loss, 0.5 * (values - returns)[mask].square().sum())
    assert int(stats["value_clipped"]) == 0


@given(seeds)
def test_unchanged_values_learn_the_plain_error(batch, seed):
    draw, mask = batch(seed)
    values, returns = draw().requires_grad_(), draw()
    value_loss(values, values, returns, mask)[0].backward()
    torch.testing.assert_close(values.grad, (values.detach() - returns) * mask)


def test_only_the_new_values_learn():
    values, old, returns = (torch.randn(2, 3, requires_grad=True) for _ in range(3))
    value_loss(values, old, returns, torch.ones(2, 3))[0].backward()
    assert values.grad is not None
    assert old.grad is returns.grad is None


# --- explained variance


def brute_force_explained_variance(values, returns, mask):
    pairs = [(float(v), float(r)) for v, r in zip(values[mask], returns[mask], strict=True)]

    def variance(xs):
        mean = sum(xs) / len(xs)
        return sum((x - mean) ** 2 for x in xs) / len(xs)

    total = variance([r for _, r in pairs])
    return 1 - variance([r - v for v, r in pairs]) / total if total > 0 else 0.0


@given(seeds)
def test_explained_variance_equals_brute_force_whatever_the_padding(batch, pad, seed):
    draw, mask = batch(seed)
    values, returns = draw(), draw()
    expected = brute_force_explained_variance(values, returns, mask)
    assert float(explained_variance(values, returns, mask)) == pytest.approx(expected, abs=1e-9, rel=1e-9)
    wide_mask, wide_values, wide_returns = pad(seed, mask, values, returns)
    assert float(explained_variance(wide_values, wide_returns, wide_mask)) == pytest.approx(
        expected, abs=1e-9, rel=1e-9
    )


def test_explained_variance_at_its_landmarks():
    returns, mask = torch.tensor([[1.0, 2.0, 4.0]]), torch.ones(1, 3)
    assert float(explained_variance(returns, returns, mask)) == 1.0
    assert float(explained_variance(returns + 10, returns, mask)) == pytest.approx(1.0)
    assert float(explained_variance(torch.full((1, 3), 0.5), returns, mask)) == pytest.approx(0.0)
    assert float(explained_variance(-returns, returns, mask)) == pytest.approx(-3.0)
    assert float(explained_variance(returns, torch.full((1, 3), 0.1), mask)) == 0.0
    assert float(explained_variance(returns, returns, torch.zeros(1, 3))) == 0.0
