"""What several rankings of the same responses say together. Pure functions; nothing here knows of a database.

Two answers are given. The mean rank is what people expect and can check by hand. Bradley-Terry looks at pairs: it
gives each response a strength such that P(a beats b) = s_a / (s_a + s_b) fits what the labelers said, and so makes
use of rankings that do not all cover the same responses. Its prior keeps a response that won every time at a finite
strength; without one the likelihood has no maximum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preceptor.feedback.pairs import FIRST, TIE, dense_ranks, pairs_from_ranks

Floats = NDArray[np.float64]
PRIOR = 0.1  # of a game, half won and half lost, between every two responses
DIGITS = 9  # mean ranks that differ by rounding only are equal


@dataclass(frozen=True)
class Consensus:
    """K responses as their labelers see them together; index k is response k."""

    ranks: list[int]  # dense ranks by the mean rank, 1 is best, equal ranks are a tie
    mean_ranks: list[float | None]  # None: nobody ranked it
    strengths: list[float]  # Bradley-Terry, natural logarithms, their mean is 0
    judgements: int


def consensus(rankings: Sequence[Mapping[int, int]], count: int) -> Consensus:
    """The consensus on ``count`` responses. A ranking maps the responses that it covers to ranks, 1 the best.

    Responses that nobody has ranked come last, together.
    """
    means = mean_ranks(rankings, count)
    last = max((mean for mean in means if mean is not None), default=0.0) + 1.0
    points = [-round(last if mean is None else mean, DIGITS) for mean in means]
    return Consensus(dense_ranks(points), means, bradley_terry(wins(rankings, count)).tolist(), len(rankings))


def consensus_of_all(rankings: Sequence[Sequence[int]]) -> Consensus:
    """The consensus where every ranking covers all responses: each has a rank for each, in the same order."""
    return consensus([dict(enumerate(ranks)) for ranks in rankings], len(rankings[0]) if rankings else 0)


def mean_ranks(rankings: Sequence[Mapping[int, int]], count: int) -> list[float | None]:
    """The mean over the rankings of each response's place. Tied responses share the mean of their places.

    With shared places every ranking of n responses gives out the same sum, n (n + 1) / 2, however many
    ties it has, so that one who ties a lot pulls no response up.
    """
    given: list[list[float]] = [[] for _ in range(count)]
    for ranking in rankings:
        for response, place in zip(ranking, shared_places(list(ranking.values())), strict=True):
            given[response].append(place)
    return [sum(places) / len(places) if places else None for places in given]


def shared_places(ranks: Sequence[int]) -> list[float]:
    """The places 1 to n in the order of the ranks; equal ranks share the mean of theirs: [1, 1, 5] is [1.5, 1.5, 3]."""
    return [sum(other < rank for other in ranks) + (sum(other == rank for other in ranks) + 1) / 2 for rank in ranks]


def wins(rankings: Sequence[Mapping[int, int]], count: int) -> Floats:
    """How often a beat b, a tie as half for each: (count, count), [a, b]."""
    won = np.zeros((count, count))
    for ranking in rankings:
        names = list(ranking)
        for (i, j), judgement in pairs_from_ranks(list(ranking.values())).items():
            a, b = names[i], names[j]
            if judgement == TIE:
                won[a, b] += 0.5
                won[b, a] += 0.5
            elif judgement == FIRST:
                won[a, b] += 1.0
            else:
                won[b, a] += 1.0
    return won


def bradley_terry(won: Floats, *, prior: float = PRIOR, tolerance: float = 1e-10, steps: int = 10_000) -> Floats:
    """Log strengths (K,), mean 0, from ``won[a, b]``, how often a beat b; a tie is half a win for each.

    Hunter (2004), "MM algorithms for generalized Bradley-Terry models", equation 3: in turn
    s_a = (wins of a) / sum over b of n_ab / (s_a + s_b). Each step raises the likelihood. ``prior`` games, drawn, are
    added between every two, which makes the maximum exist and be the only one.
    """
    count = len(won)
    if count < 2:
        return np.zeros(count)
    played = won + prior / 2 * (1 - np.eye(count))
    games, own = played + played.T, played.sum(axis=1)
    strength = np.ones(count)
    for _ in range(steps):
        shares = games / (strength[:, None] + strength[None, :])
        new = own / shares.sum(axis=1)
        new /= np.exp(np.log(new).mean())
        moved = float(np.abs(np.log(new) - np.log(strength)).max())
        strength = new
        if moved < tolerance:
            break
    return np.log(strength)
