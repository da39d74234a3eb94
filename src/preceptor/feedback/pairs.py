"""Between whole rankings and pairwise judgements.

A ranking of K responses says K(K-1)/2 things at once. A pair (a, b) with a < b is judged 1
if the first response is better, 2 if the second is, 0 for a tie.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

FIRST, SECOND, TIE = 1, 2, 0


def dense_ranks(points: Sequence[float]) -> list[int]:
    """Ranks from 1 (most points) without gaps; equal points are a tie."""
    order = sorted(set(points), reverse=True)
    return [order.index(value) + 1 for value in points]


def pairs_from_ranks(ranks: Sequence[int]) -> dict[tuple[int, int], int]:
    """The judgement of every pair (a, b), a < b, that a ranking (1 is best) implies."""
    return {
        (a, b): FIRST if ranks[a] < ranks[b] else SECOND if ranks[a] > ranks[b] else TIE
        for a, b in combinations(range(len(ranks)), 2)
    }


def ranks_from_pairs(judgements: Mapping[tuple[int, int], int], count: int) -> list[int]:
    """Ranks of ``count`` responses by Copeland's rule: a won pair is a point, a tie is half of one.

    If the judgements are those of a ranking, ties included, that ranking comes out. People are
    not always so consistent. A circle (A over B, B over C, C over A) comes out as a tie: the
    points are equal, and no choice within the circle contradicts the rater less than another.
    A tie that does not carry over (A = B, B = C, but A over C) comes out as A, B, C: the strict
    judgement stays and the ties give way. Pairs that nobody judged give no points to either.
    """
    points = [0.0] * count
    for (a, b), judgement in judgements.items():
        points[a] += {FIRST: 1.0, TIE: 0.5, SECOND: 0.0}[judgement]
        points[b] += {FIRST: 0.0, TIE: 0.5, SECOND: 1.0}[judgement]
    return dense_ranks(points)
