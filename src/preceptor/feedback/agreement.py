"""How far labelers agree: the ceiling of what a reward model can be asked for.

InstructGPT (section 5.2 and appendix B.2) reports 72.6 +- 1.5 % between its training labelers
and 77.3 +- 1.3 % between the held-out ones, beside a reward model that is right on 72.4 % of
the pairs. The paper does not say how it counts ties; here is the choice, the plain one:

    A pair of responses that two labelers have both judged is agreed on if both judged it the same
    way: both prefer the same response, or both call it a tie. A tie against a preference is a
    disagreement, not half an agreement. The share is over all such pairs of all prompts.

Since a reward model is scored on strict pairs only, ``strict_share`` is the share among the pairs
on which *both* labelers had a preference. That is the number to lay beside its accuracy.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from preceptor.feedback.pairs import TIE, pairs_from_ranks
from preceptor.feedback.schema import Ranking


@dataclass(frozen=True)
class Agreement:
    """Agreement between labelers. Shares are None where there is nothing to count."""

    share: float | None  # of the pairs, those judged the same way
    standard_error: float | None  # of the share; prompts are the independent units, not pairs
    strict_share: float | None  # the same among pairs that both call strict
    pairs: int  # two labelers and two responses each
    strict_pairs: int
    prompts: int  # that two labelers or more have ranked
    by_labeler: dict[str, float]  # each labeler's share with all the others, for screening


def pair_agreement(first: Sequence[int], second: Sequence[int]) -> tuple[int, int]:
    """(pairs judged the same way, pairs) for two rankings of the same responses in the same order.

    Ties count as a judgement of their own (see the module's docstring). K ranks are K(K-1)/2 pairs.
    """
    if len(first) != len(second):
        raise ValueError(f"rankings of {len(first)} and of {len(second)} responses cannot be compared")
    one, other = pairs_from_ranks(first), pairs_from_ranks(second)
    return sum(one[pair] == other[pair] for pair in one), len(one)


def agreement(rankings: Iterable[Ranking]) -> Agreement:
    """Pairwise agreement over all prompts that two labelers or more have ranked.

    Responses are matched by model and text, since each labeler may have seen them in another
    order; only those that both have ranked count. Two rankings of one prompt by the same labeler
    are not compared; a ranking without a labeler's name is taken to be another person's.
    """
    of_prompt: dict[str, list[Ranking]] = {}
    for ranking in rankings:
        of_prompt.setdefault(ranking.prompt_id, []).append(ranking)
    agreed_pairs: list[tuple[int, int]] = []  # of each prompt: (same way, pairs)
    same_by, pairs_by = Counter[str](), Counter[str]()
    strict_same = strict_pairs = 0
    for group in of_prompt.values():
        same = pairs = 0
        for one, other in combinations(group, 2):
            if one.labeler and one.labeler == other.labeler:
                continue
            judgements = _shared_judgements(one, other)
            count = sum(a == b for a, b in judgements)
            strict = [(a, b) for a, b in judgements if a != TIE and b != TIE]
            same, pairs = same + count, pairs + len(judgements)
            strict_same, strict_pairs = strict_same + sum(a == b for a, b in strict), strict_pairs + len(strict)
            for labeler in filter(None, (one.labeler, other.labeler)):
                same_by[labeler] += count
                pairs_by[labeler] += len(judgements)
        if pairs:
            agreed_pairs.append((same, pairs))
    share, error = _ratio(agreed_pairs)
    return Agreement(
        share=share,
        standard_error=error,
        strict_share=strict_same / strict_pairs if strict_pairs else None,
        pairs=sum(pairs for _, pairs in agreed_pairs),
        strict_pairs=strict_pairs,
        prompts=len(agreed_pairs),
        by_labeler={name: same_by[name] / pairs_by[name] for name in sorted(pairs_by) if pairs_by[name]},
    )


def _shared_judgements(one: Ranking, other: Ranking) -> list[tuple[int, int]]:
    """(one's, the other's) judgement of each pair of responses that both have ranked.

    A text that occurs twice is matched by its turn, first with first, second with second.
    """
    ranks_of_other = dict(zip(_names(other), other.ranks, strict=True))
    shared = [
        (rank, ranks_of_other[name])
        for name, rank in zip(_names(one), one.ranks, strict=True)
        if name in ranks_of_other
    ]
    mine, theirs = pairs_from_ranks([a for a, _ in shared]), pairs_from_ranks([b for _, b in shared])
    return [(mine[pair], theirs[pair]) for pair in mine]


def _names(ranking: Ranking) -> list[tuple[str, str, int]]:
    """A name for each response: model, text, and how often this pair of them came before."""
    seen = Counter[tuple[str, str]]()
    names = []
    for response in ranking.responses:
        key = (response.model, response.text)
        names.append((*key, seen[key]))
        seen[key] += 1
    return names


def _ratio(units: Sequence[tuple[int, int]]) -> tuple[float | None, float | None]:
    """Pooled share and its standard error, by the linearised ratio estimator over the units."""
    total = sum(pairs for _, pairs in units)
    if not total:
        return None, None
    share = sum(same for same, _ in units) / total
    n = len(units)
    if n < 2:
        return share, None
    squares = sum((same - share * pairs) ** 2 for same, pairs in units)
    return share, float((n / (n - 1) * squares) ** 0.5 / total)
