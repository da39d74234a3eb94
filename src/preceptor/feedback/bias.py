"""Habits of a labeler: ranking best what was shown first, or what is longest.

Orders are shuffled for each labeler, so the first place is best as often as any other unless a habit says otherwise:
its share has a chance level, 1 of K. Longer outputs may truly be better; what tells is how a labeler
differs from the others. A tie for best counts for each of the tied in equal parts, which keeps the chance levels exact.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from preceptor.statistics import mean_with_interval

RESAMPLES = 500


@dataclass(frozen=True)
class Shown:
    """One ranking as its labeler saw it, a card each: texts that were the same are one card."""

    ranks: tuple[int, ...]  # 1 is best, in the order shown
    lengths: tuple[int, ...]  # characters


@dataclass(frozen=True)
class Bias:
    """How often something was ranked best, the interval of that, what chance gives, and over how many rankings."""

    share: float | None
    low: float | None
    high: float | None
    chance: float | None
    n: int


def position_bias(shown: Iterable[Shown], *, seed: int = 0) -> Bias:
    """The share of rankings in which the first card shown is best. Rankings that tie everything are left out."""
    return _bias([({0}, ranking) for ranking in shown], seed)


def length_bias(shown: Iterable[Shown], *, seed: int = 0) -> Bias:
    """The share of rankings in which the longest card is best. Left out: all tied, or all of one length."""
    return _bias(
        [
            ({k for k, length in enumerate(ranking.lengths) if length == max(ranking.lengths)}, ranking)
            for ranking in shown
            if len(set(ranking.lengths)) > 1
        ],
        seed,
    )


def _bias(marked: Sequence[tuple[set[int], Shown]], seed: int) -> Bias:
    credits, chances = [], []
    for cards, ranking in marked:
        best = {k for k, rank in enumerate(ranking.ranks) if rank == min(ranking.ranks)}
        if len(best) == len(ranking.ranks):
            continue
        credits.append(len(best & cards) / len(best))
        chances.append(len(cards) / len(ranking.ranks))
    if not credits:
        return Bias(None, None, None, None, 0)
    mean = mean_with_interval(credits, seed, RESAMPLES)
    return Bias(mean["mean"], mean["low"], mean["high"], sum(chances) / len(chances), len(credits))
