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
from preceptor.feedback.agreement import compared, judged_twice
from preceptor.feedback.pairs import dense_ranks
from preceptor.feedback.schema import Ranking
from preceptor.keyed import numpy_rng
from preceptor.statistics import LEVEL


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
    return pooled_share(_right_pairs(scores, ranks), seed, resamples, prompts)


def accuracy_gain(
    scores: Sequence[Sequence[float]],
    others: Sequence[Sequence[float]],
    ranks: Sequence[Sequence[int]],
    seed: int,
    resamples: int,
    prompts: Sequence[str] | None = None,
) -> Accuracy | None:
    """The accuracy of ``scores`` less that of ``others`` on the same pairs. Its interval is narrower than theirs
    suggest, since what is hard for one is mostly hard for both: if it lies above 0, the first is better."""
    mine, theirs = _right_pairs(scores, ranks), _right_pairs(others, ranks)
    more = [(right - other, pairs) for (right, pairs), (other, _) in zip(mine, theirs, strict=True)]
    return pooled_share(more, seed, resamples, prompts)


def _right_pairs(scores: Sequence[Sequence[float]], ranks: Sequence[Sequence[int]]) -> list[tuple[float, int]]:
    """Of each list, how many strict pairs are ordered alike, and how many there are."""
    counts = []
    for one, ordered in zip(scores, ranks, strict=True):
        correct, pairs = kwise_accuracy(torch.tensor(one, dtype=torch.float64), torch.tensor(ordered))
        counts.append((float(correct), int(pairs)))
    return counts


def gold_accuracy(
    scores: Sequence[Sequence[float]], gold: Sequence[Sequence[float]], seed: int, resamples: int
) -> Accuracy | None:
    """Of the pairs that gold calls strictly better and worse, the share that the scores order alike."""
    return ranking_accuracy(scores, [dense_ranks(one) for one in gold], seed, resamples)


def labeler_agreement(
    rankings: Sequence[Ranking], seed: int, resamples: int, *, strict: bool = False
) -> Accuracy | None:
    """Of the pairs that two labelers have both judged, the share that they judge the same way.

    A tie is a judgement of its own, which is how labelers are held against each other. ``strict`` leaves out the
    pairs that either calls a tie: that is the figure to lay beside a reward model's accuracy, which knows no ties.
    """
    counts, prompts = [], []
    for one, _, judged in compared(judged_twice(rankings)):
        counts.append((judged.strict_same, judged.strict_pairs) if strict else (judged.same, judged.pairs))
        prompts.append(one.prompt_id)
    return pooled_share(counts, seed, resamples, prompts)


def pooled_share(
    counts: Sequence[tuple[float, int]], seed: int, resamples: int, prompts: Sequence[str] | None
) -> Accuracy | None:
    """Right pairs over all pairs, (right, pairs) an item, with a percentile bootstrap over the prompts of the items."""
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
