"""From logits to a token: temperature, top-k, top-p, and a draw from keyed noise.

Shapes: S rows, V vocabulary.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from preceptor.config import Config
from preceptor.keyed import Key, numpy_rng


class SamplingConfig(Config):
    """How tokens are drawn. The defaults sample the model as it is, which rollouts need."""

    temperature: float = Field(1.0, ge=0, description="Logits are divided by this; 0 takes the likeliest token.")
    top_k: int = Field(0, ge=0, description="Keep only the k likeliest tokens; 0 keeps all.")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Keep the fewest likeliest tokens that hold this much probability; 1 keeps all."
    )
    max_new_tokens: int = Field(64, ge=1, description="Longest response, in tokens; the context may end it sooner.")
    seed: int = Field(0, ge=0, description="Seed of the sampling noise.")

    def prompt_room(self, context: int) -> int:
        """Tokens that a prompt may take: what the longest response leaves, half of the context at least."""
        return max(context - self.max_new_tokens, context // 2)


class Sampler:
    """Draws one token for each of S rows, every row under its own :class:`SamplingConfig`.

    The log-probability that comes with a token is the one under the distribution it was drawn
    from: tempered, and renormalised over what top-k and top-p left. Only at temperature 0, where
    that would always be 0, is it the model's own (temperature 1, nothing cut).
    """

    def __init__(self, rows: Sequence[SamplingConfig], device: torch.device):
        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)[:, None]

        greedy = [row.temperature == 0 for row in rows]
        self._any_greedy, self._all_greedy = any(greedy), all(greedy)
        self._greedy = torch.tensor(greedy, device=device)
        self._tempered = any(row.temperature not in (0, 1) for row in rows)
        self._temperature = column([row.temperature or 1.0 for row in rows])
        # A greedy row is not cut, so that its log-probability is the model's.
        cut = [(row.top_k, row.top_p) if row.temperature else (0, 1.0) for row in rows]
        self._cut = any(pair != (0, 1.0) for pair in cut)
        self._top_k = column([k or float("inf") for k, _ in cut])
        self._top_p = column([p for _, p in cut])

    def draw(self, logits_SV: Tensor, uniforms_S: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (S,) int64 and their log-probabilities (S,) float32. May overwrite the logits."""
        if self._tempered:
            logits_SV = logits_SV.div_(self._temperature)
        probs_SV = logits_SV.softmax(dim=-1, dtype=torch.float32)
        if self._cut:
            probs_SV = truncate(probs_SV, self._top_k, self._top_p)
        if self._all_greedy:
            tokens_S1 = logits_SV.argmax(dim=-1, keepdim=True)
        else:
            tokens_S1 = invert(probs_SV, uniforms_S[:, None])
            if self._any_greedy:
                tokens_S1 = torch.where(self._greedy[:, None], logits_SV.argmax(dim=-1, keepdim=True), tokens_S1)
        return tokens_S1[:, 0], probs_SV.gather(1, tokens_S1).log_()[:, 0]


def truncate(probs_SV: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Zero what top-k, then top-p cut away, and renormalise. ``top_k`` and ``top_p`` are (S, 1).

    As in transformers, top-p counts the probability that top-k has left. Of equally likely
    tokens the smaller id is kept first, so exactly k tokens stay.
    """
    ranked, order = probs_SV.sort(dim=-1, descending=True, stable=True)
    ranked = ranked * (torch.arange(ranked.shape[1], device=ranked.device) < top_k)
    above = ranked.cumsum(dim=-1) - ranked  # what is held by likelier tokens
    kept = ranked * (above < top_p * ranked.sum(dim=-1, keepdim=True))
    kept[:, 0] = ranked[:, 0]  # rounding must not empty a row
    kept /= kept.sum(dim=-1, keepdim=True)
    return torch.zeros_like(probs_SV).scatter_(1, order, kept)


def invert(probs_SV: Tensor, uniforms_S1: Tensor) -> Tensor:
    """Inverse-CDF sampling, (S, 1): the first token whose cumulative probability exceeds the uniform.

    One uniform a token, whatever the vocabulary. The sum, which rounding moves off 1, scales the
    uniform; a token of probability 0 is never taken, for uniforms from :func:`uniforms`.
    """
    cumulative = probs_SV.cumsum(dim=-1)
    tokens_S1 = torch.searchsorted(cumulative, uniforms_S1 * cumulative[:, -1:], right=True)
    return tokens_S1.clamp_(max=probs_SV.shape[1] - 1)  # which only a row that is not finite needs


def uniforms(seed: int, key: Sequence[Key], sample: int, count: int) -> NDArray[np.float32]:
    """The noise of one response: ``count`` uniforms, the i-th for its i-th token.

    A longer draw begins with the shorter one. They end a little below 1 (by 2^-22), so that
    the product with a rounded sum stays below that sum.
    """
    draws = numpy_rng(seed, *key, sample).random(count, dtype=np.float32)
    scaled: NDArray[np.float32] = draws * np.float32(1 - 2**-22)
    return scaled
