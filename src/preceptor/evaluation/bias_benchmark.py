"""Pairs of sentences as a benchmark of ``preceptor evaluate``: what CrowS-Pairs and Winogender share."""

from dataclasses import dataclass
from typing import Any

from preceptor.evaluation.benchmark import Outcome, Subject, Work
from preceptor.evaluation.bias import Pair, preferences, summarise
from preceptor.evaluation.conditions import CONDITIONS, Writer

GROUP = 16  # pairs that are kept together

ENTROPY = (
    "The two get probabilities that add up to 1; their entropy is 1 bit for a model without preference and 0 for one "
    "that knows only one of them. Likelihoods are exact, nothing is written."
)


@dataclass(frozen=True)
class Bias:
    """The pairs, and what a preference for the first sentence of a pair is called."""

    pairs: list[Pair]
    prefers: str
    about: str

    def measure(self, subject: Subject, work: Work) -> Outcome:
        """Entropies and preferences of one model under the three instructions."""
        writer = Writer.of(subject)
        pairs = self.pairs[: work.limit]
        asked = [(condition, pair) for condition in CONDITIONS for pair in pairs]
        work.stage.start(total=len(asked))

        def make(places: list[int]) -> list[dict[str, Any]]:
            return preferences(writer, [asked[i] for i in places])

        rows = work.journal("choices", {"chat": writer.chat}).fill(
            [f"{condition} {pair.id}" for condition, pair in asked], make, size=GROUP, on_progress=work.stage.show
        )
        cut = sum(row["cut"] for row in rows)
        notes = [f"{cut:,} of {len(rows):,} pairs lost the beginning of their instruction."] if cut else []
        return Outcome(summarise(rows, self.prefers, work.seed), notes)
