"""The K-wise loss and its accuracy against an explicit loop over pairs."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from preceptor.algorithms.ranking import (
    kwise_accuracy,
    kwise_accuracy_per_prompt,
    kwise_loss,
    kwise_loss_per_prompt,
)

seeds = st.integers(0, 2**32 - 1)
finite = st.floats(-20.0, 20.0)


def random_rankings(seed):
    """scores, ranks, mask (B, K), with ties in both and prompts with fewer than K responses."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 5)), int(rng.integers(2, 10)))
    scores = rng.normal(size=shape) if rng.random() < 0.7 else rng.integers(-1, 2, size=shape).astype(float)
    ranks = rng.integers(1, shape[1] + 1, size=shape)
    mask = rng.random(shape) < rng.choice([0.6, 1.0])
    return torch.from_numpy(scores), torch.from_numpy(ranks), torch.from_numpy(mask)


def pairs_of(ranks, mask):
    """(better, worse) places of one prompt, ties left out."""
    places = [k for k, real in enumerate(mask.tolist()) if real]
    for i, j in itertools.combinations(places, 2):
        if ranks[i] < ranks[j]:
            yield i, j
        elif ranks[j] < ranks[i]:
            yield j, i


def brute_force(scores, ranks, mask):
    """Per prompt: (mean loss, correct, strict pairs)."""
    for s, r, m in zip(scores, ranks, mask, strict=True):
        margins = [float(s[i]) - float(s[j]) for i, j in pairs_of(r, m)]
        losses = [math.log1p(math.exp(-x)) for x in margins]
        correct = sum(1.0 if x > 0 else 0.5 if x == 0 else 0.0 for x in margins)
        yield (sum(losses) / len(losses) if losses else 0.0), correct, len(margins)


@given(seeds)
def test_loss_and_accuracy_equal_the_explicit_mean_over_pairs(seed):
    scores, ranks, mask = random_rankings(seed)
    expected = list(brute_force(scores, ranks, mask))
    losses, pairs = kwise_loss_per_prompt(scores, ranks, mask)
    assert losses.tolist() == pytest.approx([loss for loss, _, _ in expected], abs=1e-10)
    assert pairs.tolist() == [n for _, _, n in expected]
    correct, pairs = kwise_accuracy_per_prompt(scores, ranks, mask)
    assert correct.tolist() == [c for _, c, _ in expected]
    assert pairs.tolist() == [n for _, _, n in expected]
    total, prompts = kwise_loss(scores, ranks, mask)
    assert float(total) == pytest.approx(sum(loss for loss, _, _ in expected), abs=1e-10)
    assert int(prompts) == sum(n > 0 for _, _, n in expected)
    right, strict = kwise_accuracy(scores, ranks, mask)
    assert float(right) == sum(c for _, c, _ in expected)
    assert int(strict) == sum(n for _, _, n in expected)


@given(finite, finite)
def test_two_responses_are_bradley_terry(better, worse):
    loss, prompts = kwise_loss(torch.tensor([[better, worse]], dtype=torch.float64), torch.tensor([[1, 2]]))
    p = 1 / (1 + math.exp(-(better - worse)))
    assert float(loss) == pytest.approx(-math.log(p), rel=1e-9, abs=1e-12)
    assert int(prompts) == 1


@given(st.integers(2, 9), finite, seeds)
def test_equal_scores_give_ln_2_and_half_the_pairs(k, score, seed):
    ranks = torch.from_numpy(np.random.default_rng(seed).permutation(k) + 1)
    loss, pairs = kwise_loss_per_prompt(torch.full((k,), score), ranks)
    assert float(loss) == pytest.approx(math.log(2), rel=1e-6)
    assert int(pairs) == k * (k - 1) // 2
    correct, _ = kwise_accuracy_per_prompt(torch.full((k,), score), ranks)
    assert float(correct) == int(pairs) / 2


@given(seeds)
def test_ties_drop_out(seed):
    """Tied places are compared with everyone but each other, whatever their scores."""
    scores, _, _ = random_rankings(seed)
    scores = torch.cat([scores, scores[:, :1] + 1], dim=1)[:, :3]  # (B, 3)
    loss, pairs = kwise_loss_per_prompt(scores, torch.tensor([1, 1, 2]).expand_as(scores))
    expected = torch.nn.functional.softplus(scores[:, 2:] - scores[:, :2]).mean(1)
    torch.testing.assert_close(loss, expected)
    assert pairs.tolist() == [2] * len(scores)


def test_a_prompt_of_ties_counts_for_nothing():
    scores = torch.tensor([[3.0, -2.0, 0.5], [1.0, 0.0, 0.0]], requires_grad=True)
    ranks = torch.tensor([[2, 2, 2], [1, 2, 2]])
    loss, prompts = kwise_loss(scores, ranks)
    loss.backward()
    assert int(prompts) == 1
    assert float(loss.detach()) == pytest.approx(math.log1p(math.exp(-1.0)))
    assert scores.grad[0].tolist() == [0.0, 0.0, 0.0]
    assert [float(n) for n in kwise_accuracy(scores, ranks)] == [2.0, 2.0]


@given(seeds, st.floats(-1000, 1000))
def test_only_the_order_of_ranks_and_the_differences_of_scores_count(seed, shift):
    scores, ranks, mask = random_rankings(seed)
    loss, prompts = kwise_loss(scores, ranks, mask)
    moved, moved_prompts = kwise_loss(scores + shift, 10 * ranks - 3, mask)
    torch.testing.assert_close(moved, loss)
    assert moved_prompts == prompts


@given(seeds)
def test_the_order_of_responses_does_not_count(seed):
    scores, ranks, mask = random_rankings(seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(scores.shape[1]))
    loss, prompts = kwise_loss(scores, ranks, mask)
    shuffled, shuffled_prompts = kwise_loss(scores[:, order], ranks[:, order], mask[:, order])
    torch.testing.assert_close(shuffled, loss)
    assert shuffled_prompts == prompts
    assert kwise_accuracy(scores, ranks, mask) == kwise_accuracy(scores[:, order], ranks[:, order], mask[:, order])


@given(seeds)
def test_padding_adds_nothing_to_loss_accuracy_or_gradient(pad, seed):
    scores, ranks, mask = random_rankings(seed)
    wide_mask, wide_scores, wide_ranks = pad(seed, mask, scores, ranks.double())
    scores.requires_grad_()
    wide_scores.requires_grad_()
    loss, prompts = kwise_loss(scores, ranks, mask)
    wide_loss, wide_prompts = kwise_loss(wide_scores, wide_ranks, wide_mask.float())
    torch.testing.assert_close(wide_loss, loss)
    assert wide_prompts == prompts
    assert kwise_accuracy(wide_scores, wide_ranks, wide_mask) == kwise_accuracy(scores, ranks, mask)
    loss.backward()
    wide_loss.backward()
    torch.testing.assert_close(wide_scores.grad[wide_mask], scores.grad[mask])
    assert not wide_scores.grad[~wide_mask].any()


@given(seeds)
def test_the_batch_is_the_sum_of_its_prompts(seed):
    scores, ranks, mask = random_rankings(seed)
    loss, prompts = kwise_loss(scores, ranks, mask)
    alone = [kwise_loss_per_prompt(s, r, m) for s, r, m in zip(scores, ranks, mask, strict=True)]
    torch.testing.assert_close(loss, torch.stack([x for x, _ in alone]).sum())
    assert int(prompts) == sum(int(n) > 0 for _, n in alone)


@given(seeds)
def test_a_step_down_the_gradient_agrees_more_with_the_ranking(seed):
    scores, ranks, mask = random_rankings(seed)
    scores.requires_grad_()
    loss, prompts = kwise_loss(scores, ranks, mask)
    loss.backward()
    assert float(scores.grad.sum()) == pytest.approx(0.0, abs=1e-9)  # the loss is blind to a common shift
    if int(prompts):
        lower, _ = kwise_loss(scores.detach() - 0.01 * scores.grad, ranks, mask)
        assert float(lower) < float(loss.detach())


def test_large_margins_do_not_overflow():
    scores = torch.tensor([[-500.0, 500.0]], requires_grad=True)
    loss, _ = kwise_loss(scores, torch.tensor([[1, 2]]))
    loss.backward()
    assert float(loss.detach()) == 1000.0
    assert scores.grad.tolist() == [[-1.0, 1.0]]
