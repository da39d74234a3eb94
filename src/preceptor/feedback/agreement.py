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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

from preceptor.feedback.pairs import TIE, pairs_from_ranks
from preceptor.feedback.schema import Ranking

# A prompt that very many have judged has as many pairs of labelers as its square.
MAX_RANKINGS_OF_A_PROMPT = 200


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


def agreement(rankings: Iterable[Ranking]) -> Agreement:
    """Pairwise agreement over all prompts that two labelers or more have ranked.

    Responses are matched by model and text, since each labeler may have seen them in another
    order; only those that both have ranked count. Two rankings of one prompt by the same labeler
    are not compared; a ranking without a labeler's name is taken to be another person's.
    """
    of_prompt: dict[str, Judged] = {}
    same_by, pairs_by = Counter[str](), Counter[str]()
    for one, other, judged in compared(rankings):
        of_prompt[one.prompt_id] = of_prompt.get(one.prompt_id, Judged()) + judged
        for labeler in filter(None, (one.labeler, other.labeler)):
            same_by[labeler] += judged.same
            pairs_by[labeler] += judged.pairs
    counted = [judged for judged in of_prompt.values() if judged.pairs]
    share, error = _ratio([(judged.same, judged.pairs) for judged in counted])
    total = sum(counted, Judged())
    return Agreement(
        share=share,
        standard_error=error,
        strict_share=total.strict_same / total.strict_pairs if total.strict_pairs else None,
        pairs=total.pairs,
        strict_pairs=total.strict_pairs,
        prompts=len(counted),
        by_labeler={name: same_by[name] / pairs_by[name] for name in sorted(pairs_by) if pairs_by[name]},
    )


@dataclass(frozen=True)
class Judged:
    """Pairs of responses that two labelers have both judged, and how many of them the same way."""

    same: int = 0
    pairs: int = 0
    strict_same: int = 0  # among those on which both had a preference
    strict_pairs: int = 0

    def __add__(self, other: "Judged") -> "Judged":
        return Judged(
            self.same + other.same,
            self.pairs + other.pairs,
            self.strict_same + other.strict_same,
            self.strict_pairs + other.strict_pairs,
        )


def compared(rankings: Iterable[Ranking]) -> Iterator[tuple[Ranking, Ranking, Judged]]:
    """Every two rankings of one prompt by different labelers, and what they say of the same pairs."""
    of_prompt: dict[str, list[Ranking]] = {}
    for ranking in rankings:
        of_prompt.setdefault(ranking.prompt_id, []).append(ranking)
    for group in of_prompt.values():
        for one, other in combinations(group, 2):
            if one.labeler and one.labeler == other.labeler:
                continue
            judgements = _shared_judgements(one, other)
            strict = [(a, b) for a, b in judgements if a != TIE and b != TIE]
            yield (
                one,
                other,
                Judged(
                    sum(a == b for a, b in judgements), len(judgements), sum(a == b for a, b in strict), len(strict)
                ),
            )


def judged_twice(rankings: Sequence[Ranking]) -> list[Ranking]:
    """The rankings with a pair of responses that another one has too; no other can agree or disagree."""

    def pairs(ranking: Ranking) -> Iterator[int]:
        texts = sorted({(one.model, one.text) for one in ranking.responses})
        return (hash((ranking.prompt_id, *pair)) for pair in combinations(texts, 2))

    seen = Counter(chain.from_iterable(pairs(ranking) for ranking in rankings))
    of_prompt: Counter[str] = Counter()
    kept = []
    for ranking in rankings:
        if any(seen[pair] > 1 for pair in pairs(ranking)):
            of_prompt[ranking.prompt_id] += 1
            if of_prompt[ranking.prompt_id] <= MAX_RANKINGS_OF_A_PROMPT:
                kept.append(ranking)
    return kept


def _shared_judgements(one: Ranking, other: Ranking) -> list[tuple[int, int]]:
    """(one's, the other's) judgement of each pair of responses that both have ranked.

    A text that occurs twice is matched by its turn, first with first, second with second.
    """
    ranks_of_other = ranks_by_name(other)
    shared = [(rank, ranks_of_other[name]) for name, rank in ranks_by_name(one).items() if name in ranks_of_other]
    mine, theirs = pairs_from_ranks([a for a, _ in shared]), pairs_from_ranks([b for _, b in shared])
    return [(mine[pair], theirs[pair]) for pair in mine]


def ranks_by_name(ranking: Ranking) -> dict[tuple[str, str, int], int]:
    """The rank of each response by model, text, and how often this pair of them came before.

    Labelers may have seen the responses in different orders; this name is the same for all.
    """
    seen = Counter[tuple[str, str]]()
    ranks = {}
    for response, rank in zip(ranking.responses, ranking.ranks, strict=True):
        key = (response.model, response.text)
        ranks[*key, seen[key]] = rank
        seen[key] += 1
    return ranks


def share_alike(rankings: Sequence[Sequence[int]]) -> float | None:
    """The share of pairs of responses that two labelers judged alike, over all pairs of labelers; None without any.

    Each ranking has a rank for each of the same responses, in the same order.
    """
    judgements = [pairs_from_ranks(ranks) for ranks in rankings]
    alike = [one[pair] == other[pair] for one, other in combinations(judgements, 2) for pair in one]
    return sum(alike) / len(alike) if alike else None


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
