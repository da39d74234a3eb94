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
        writer = Writer(subject.name, subject.model, subject.tokenizer, subject.chat)
        pairs = self.pairs[: work.limit]
        rows: list[dict[str, Any]] = []
        work.stage.start(total=len(pairs) * len(CONDITIONS))
        journal = work.journal("choices", {"chat": writer.chat})
        for condition in CONDITIONS:
            done = len(rows)

            def make(places: list[int], condition: str = condition) -> list[dict[str, Any]]:
                return preferences(writer, condition, [pairs[i] for i in places])

            rows += journal.fill(
                [f"{condition} {pair.id}" for pair in pairs],
                make,
                size=GROUP,
                on_progress=lambda count, done=done: work.stage.show(done + count),
            )
        cut = sum(row["cut"] for row in rows)
        notes = [f"{cut:,} of {len(rows):,} pairs lost the beginning of their instruction."] if cut else []
        return Outcome(summarise(rows, self.prefers, work.seed), notes)
