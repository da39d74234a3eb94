"""Whether a reward model means what it says: sigmoid(s_i - s_j) against how often people prefer i.

Every strict pair is looked at from the side of the response that the model prefers, so that each counts once and the
stated probability is at least one half; the share preferred is then the accuracy among such pairs. Each prompt's pairs
share a draw of the bootstrap.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from preceptor.evaluation.reward_accuracy import pooled_share
from preceptor.keyed import numpy_rng

BINS = 5  # of equal width, from 1/2 to 1


class _Pair(NamedTuple):
    """What the model says of one strict pair, and what people said."""

    prompt: str
    stated: float  # the probability of the response that the model prefers
    right: float  # 1 if people prefer it too, 0 if not, 1/2 where the model has no preference


def calibration(
    scores: Sequence[Sequence[float]],
    ranks: Sequence[Sequence[int]],
    seed: int,
    resamples: int,
    prompts: Sequence[str],
) -> dict[str, Any] | None:
    """``{"bins": [{stated, share, low, high, pairs, n}], "error", "error_by_chance", "pairs", "n"}``.

    ``error`` is the expected calibration error: the mean over pairs of |share preferred - mean stated
    probability| of the pair's bin (Naeini et al. 2015; five bins here). It is never 0 on few pairs;
    ``error_by_chance`` is what a model whose probabilities are exactly right would show on as many, if pairs were
    independent. None without a strict pair.
    """
    pairs = _strict_pairs(scores, ranks, prompts)
    if not pairs:
        return None
    stated, right = (np.array([getattr(pair, name) for pair in pairs]) for name in ("stated", "right"))
    of_pair = np.minimum(((stated - 0.5) * 2 * BINS).astype(np.int64), BINS - 1)
    bins = []
    for number in range(BINS):
        inside = [pair for pair, place in zip(pairs, of_pair, strict=True) if place == number]
        share = pooled_share([(pair.right, 1) for pair in inside], seed, resamples, [pair.prompt for pair in inside])
        if share is not None:
            value = {"stated": float(np.mean([pair.stated for pair in inside])), "share": share["value"]}
            bins.append(value | {name: share[name] for name in ("low", "high", "pairs", "n")})
    drawn = (numpy_rng(seed, "calibration", "chance").random((200, len(pairs))) < stated).astype(np.float64)
    return {
        "bins": bins,
        "error": _error(stated, right, of_pair),
        "error_by_chance": float(np.mean([_error(stated, one, of_pair) for one in drawn])),
        "pairs": len(pairs),
        "n": len({pair.prompt for pair in pairs}),
    }


def _strict_pairs(
    scores: Sequence[Sequence[float]], ranks: Sequence[Sequence[int]], prompts: Sequence[str]
) -> list[_Pair]:
    pairs = []
    for prompt, own, ranked in zip(prompts, scores, ranks, strict=True):
        for i, j in combinations(range(len(own)), 2):
            if ranked[i] != ranked[j]:
                margin = own[i] - own[j] if ranked[i] < ranked[j] else own[j] - own[i]  # for what people prefer
                right = 1.0 if margin > 0 else 0.5 if margin == 0 else 0.0
                pairs.append(_Pair(prompt, float(1 / (1 + np.exp(-abs(margin)))), right))
    return pairs


def _error(stated: np.ndarray, right: np.ndarray, of_pair: np.ndarray) -> float:
    gaps = np.bincount(of_pair, weights=right - stated, minlength=BINS)
    return float(np.abs(gaps).sum() / len(stated))
