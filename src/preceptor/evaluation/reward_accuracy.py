"""How well a reward model orders responses, beside people who order them and beside simple rules.

Everything here takes one list a prompt: scores (higher is better) and ranks (1 is best, equal is a
tie) of the same responses in the same order. What counts as a pair in agreement is defined in
feedback/agreement.py, in accuracy in algorithms/ranking.py.
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch

from preceptor.algorithms.ranking import kwise_accuracy
from preceptor.evaluation.statistics import LEVEL
from preceptor.feedback.agreement import pair_agreement
from preceptor.feedback.pairs import dense_ranks
from preceptor.keyed import numpy_rng


class Accuracy(TypedDict):
    """A share of pairs with its interval (bootstrapped over prompts), the prompts and the pairs."""

    value: float
    low: float
    high: float
    n: int
    pairs: int


def ranking_accuracy(
    scores: Sequence[Sequence[float]],
    ranks: Sequence[Sequence[int]],
    seed: int,
    resamples: int,
    prompts: Sequence[str] | None = None,
) -> Accuracy | None:
    """Of the pairs that the ranks order strictly, the share that the scores order alike.

    Equal scores count half. ``prompts`` names the prompt of each list where one may have several, as
    when two labelers ranked it: they share a draw of the bootstrap. None if no pair is strict.
    """
    counts = []
    for one, ordered in zip(scores, ranks, strict=True):
        correct, pairs = kwise_accuracy(torch.tensor(one, dtype=torch.float64), torch.tensor(ordered))
        counts.append((float(correct), int(pairs)))
    return _pooled(counts, seed, resamples, prompts)


def gold_accuracy(
    scores: Sequence[Sequence[float]], gold: Sequence[Sequence[float]], seed: int, resamples: int
) -> Accuracy | None:
    """Of the pairs that gold calls strictly better and worse, the share that the scores order alike."""
    return ranking_accuracy(scores, [dense_ranks(one) for one in gold], seed, resamples)


def labeler_agreement(
    first: Sequence[Sequence[int]],
    second: Sequence[Sequence[int]],
    seed: int,
    resamples: int,
    prompts: Sequence[str] | None = None,
) -> Accuracy | None:
    """Of all pairs, the share that two labelers judge the same way; a tie is a judgement of its own."""
    return _pooled([pair_agreement(a, b) for a, b in zip(first, second, strict=True)], seed, resamples, prompts)


def _pooled(
    counts: Sequence[tuple[float, int]], seed: int, resamples: int, prompts: Sequence[str] | None
) -> Accuracy | None:
    """Right pairs over all pairs, prompts pooled, with a percentile bootstrap over prompts."""
    names = prompts if prompts is not None else [str(index) for index in range(len(counts))]
    of_prompt: dict[str, list[float]] = {}
    for name, (right, pairs) in zip(names, counts, strict=True):
        if pairs:
            sums = of_prompt.setdefault(name, [0.0, 0.0])
            sums[0] += right
            sums[1] += pairs
    kept = np.array(list(of_prompt.values()), dtype=np.float64).reshape(-1, 2)
    if not len(kept):
        return None
    rng = numpy_rng(seed, "bootstrap", "pairs")
    drawn = np.stack([kept[rng.integers(0, len(kept), size=len(kept))].sum(0) for _ in range(resamples)])
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    total = kept.sum(0)
    return {
        "value": float(total[0] / total[1]),
        "low": float(low),
        "high": float(high),
        "n": len(kept),
        "pairs": int(total[1]),
    }
