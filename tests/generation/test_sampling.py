"""Sampling: the draw follows the distribution, and the distribution is the one that was asked for."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from preceptor.generation.sampling import Sampler, SamplingConfig, invert, truncate, uniforms

CPU = torch.device("cpu")


def kept_by_hand(probs: list[float], top_k: int, top_p: float) -> list[float]:
    """Top-k, then top-p on what is left, token by token."""
    ranked = sorted(range(len(probs)), key=lambda token: (-probs[token], token))
    ranked = ranked[: top_k or None]
    total, kept, held = sum(probs[token] for token in ranked), [], 0.0
    for token in ranked:
        if kept and held >= top_p * total:
            break
        kept.append(token)
        held += probs[token]
    return [probs[token] / held if token in kept else 0.0 for token in range(len(probs))]


@settings(deadline=None, max_examples=100)
@given(
    logits=st.lists(st.integers(-40, 40).map(lambda n: n / 8), min_size=1, max_size=12),
    top_k=st.integers(0, 14),
    top_p=st.floats(0.01, 1.0),
)
def test_truncation_equals_brute_force(logits: list[float], top_k: int, top_p: float) -> None:
    probs = torch.tensor([logits]).softmax(-1)
    held = probs.double().sort(descending=True).values.cumsum(-1)
    by_hand = kept_by_hand(probs[0].double().tolist(), top_k, top_p)
    if (abs(held / held[0, min(top_k or len(logits), len(logits)) - 1] - top_p) < 1e-6).any():
        return  # which side of top_p a sum falls is then rounding
    ours = truncate(probs, torch.tensor([[top_k or math.inf]]), torch.tensor([[top_p]]))
    torch.testing.assert_close(ours[0].double(), torch.tensor(by_hand, dtype=torch.float64), atol=1e-6, rtol=1e-5)


def draw_many(logits: list[float], sampling: SamplingConfig, count: int) -> tuple[Tensor, Tensor]:
    noise = torch.from_numpy(np.random.default_rng(0).random(count, dtype=np.float32))
    return Sampler([sampling] * count, CPU).draw(torch.tensor([logits]).repeat(count, 1), noise)


@pytest.mark.parametrize(
    "sampling",
    [SamplingConfig(), SamplingConfig(temperature=0.5), SamplingConfig(temperature=2.0, top_k=5, top_p=0.8)],
    ids=["pure", "cold", "cut"],
)
def test_frequencies_follow_the_distribution_and_so_do_the_logprobs(sampling: SamplingConfig) -> None:
    logits, count = [1.0, -1.0, 0.3, 2.0, 0.0, -3.0, 1.5, 1.0], 40_000
    probs = (torch.tensor(logits, dtype=torch.float64) / sampling.temperature).softmax(-1).tolist()
    expected = np.array(kept_by_hand(probs, sampling.top_k, sampling.top_p))
    tokens, logprobs = draw_many(logits, sampling, count)
    np.testing.assert_allclose(logprobs.numpy(), np.log(expected[tokens.numpy()]), atol=1e-5)
    seen = np.bincount(tokens.numpy(), minlength=len(logits))
    assert (seen[expected == 0] == 0).all()
    possible = expected > 0
    chi_square = ((seen - count * expected)[possible] ** 2 / (count * expected[possible])).sum()
    freedom = possible.sum() - 1
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom) + 4  # four standard deviations and a bit


def test_temperature_zero_takes_the_likeliest_and_reports_the_models_logprob() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0]])
    for sampling in (SamplingConfig(temperature=0), SamplingConfig(temperature=0, top_k=2, top_p=0.5)):
        tokens, logprobs = Sampler([sampling], CPU).draw(logits.clone(), torch.tensor([0.999]))
        assert tokens.tolist() == [1]
        torch.testing.assert_close(logprobs, logits.log_softmax(-1)[:, 1])


def test_rows_of_one_batch_keep_their_own_settings() -> None:
    rows = [SamplingConfig(), SamplingConfig(temperature=0), SamplingConfig(temperature=0.5, top_k=3)]
    logits = torch.randn(3, 20, generator=torch.Generator().manual_seed(0))
    noise = torch.tensor([0.3, 0.6, 0.9])
    together = Sampler(rows, CPU).draw(logits.clone(), noise)
    for i, sampling in enumerate(rows):
        alone = Sampler([sampling], CPU).draw(logits[i : i + 1].clone(), noise[i : i + 1])
        assert together[0][i] == alone[0][0]
        torch.testing.assert_close(together[1][i], alone[1][0])


def test_the_largest_uniform_never_takes_an_impossible_token() -> None:
    largest = torch.tensor(np.float32(1 - 2**-24) * np.float32(1 - 2**-22))
    probs = torch.rand(200, 50, generator=torch.Generator().manual_seed(1))
    probs[:, 40:] = 0
    probs /= probs.sum(-1, keepdim=True)
    tokens = invert(probs, largest.expand(200, 1))
    assert (tokens < 40).all()
    probs[:, :5] = 0
    assert (invert(probs, torch.zeros(200, 1)) == 5).all()


def test_noise_depends_on_its_key_alone() -> None:
    noise = uniforms(3, ("ppo", 7), 2, 10)
    np.testing.assert_array_equal(noise[:4], uniforms(3, ("ppo", 7), 2, 4))
    for seed, key, sample in ((4, ("ppo", 7), 2), (3, ("ppo", 8), 2), (3, ("ppo", 7), 1)):
        assert (uniforms(seed, key, sample, 10) != noise).all()


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"temperature": -1}, {"top_p": 0}, {"top_p": 1.5}, {"top_k": -1}, {"max_new_tokens": 0}):
        with pytest.raises(ValidationError):
            SamplingConfig(**wrong)
