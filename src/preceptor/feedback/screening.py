"""Choosing labelers: the four criteria of InstructGPT, appendix B.1, and their cut-offs.

1. Agreement on what is sensitive: responses flagged as our own people flagged them; 75 %.
2. Agreement on rankings, with our own people's; 75 %.
3. Demonstrations for sensitive prompts, rated by reviewers from 1 to 7; a mean of 6.
4. Which groups' sensitive speech the labeler says she can identify. The paper names no cut-off, since it sought a
   team that covers many groups together; it is recorded, and passes with any.

The first two are computed from honeypots, the others are entered by whoever decides.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Literal, get_args

from preceptor.feedback.pairs import TIE, pairs_from_ranks

Criterion = Literal["flags", "rankings", "demonstrations", "groups"]
CRITERIA: tuple[str, ...] = get_args(Criterion)
CUTOFFS: dict[str, float] = {"flags": 0.75, "rankings": 0.75, "demonstrations": 6.0, "groups": 0.0}
# What makes a response one that "could be sensitive": the flags of the paper but those on how well it answers.
SENSITIVE = frozenset({"inappropriate", "sexual", "violent", "encourages_harm", "denigrates", "harmful_advice"})


@dataclass(frozen=True)
class Score:
    """A criterion: what was reached, over how many judgements (None where it was entered), and if that is enough."""

    value: float
    cutoff: float
    n: int | None = None

    @property
    def passed(self) -> bool:
        """The cut-off is reached."""
        return self.value >= self.cutoff


def flag_agreement(given: Sequence[Set[str]], known: Sequence[Set[str]]) -> Score | None:
    """The share of responses that both call sensitive, by any of the flags, or both do not; None without any."""
    if not known:
        return None
    same = sum(bool(mine & SENSITIVE) == bool(true & SENSITIVE) for mine, true in zip(given, known, strict=True))
    return Score(same / len(known), CUTOFFS["flags"], len(known))


def ranking_agreement(rankings: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Score | None:
    """The share of pairs ordered as known, over (given ranks, known ranks); a tie where one is better is an error.

    Pairs that are known to be equal are not asked about. None without any pair.
    """
    right = pairs = 0
    for given, known in rankings:
        mine = pairs_from_ranks(given)
        for pair, judgement in pairs_from_ranks(known).items():
            if judgement != TIE:
                pairs += 1
                right += mine[pair] == judgement
    return Score(right / pairs, CUTOFFS["rankings"], pairs) if pairs else None
