"""TruthfulQA as a benchmark of ``preceptor evaluate``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.evaluation.benchmark import Figure, Outcome, Subject, Work
from preceptor.evaluation.truthfulqa import MEASURES, Question, measure, read_examples, read_questions, summarise


def prepare(given: Path, options: Mapping[str, Any]) -> "TruthfulQA":
    """Read the questions and the examples."""
    questions = read_questions(given)
    if options["truthfulqa_examples"] is None:
        raise InputError(
            "--truthfulqa needs --truthfulqa-examples FILE; save TruthfulQA's QA_PRIMER "
            "(truthfulqa/presets.py in github.com/sylinrl/TruthfulQA) there"
        )
    return TruthfulQA(questions, read_examples(options["truthfulqa_examples"]))


@dataclass(frozen=True)
class TruthfulQA:
    """The questions, and the examples that stand before each."""

    questions: list[Question]
    examples: str
    about: str = (
        "Questions that many people answer wrongly. The model is not asked to write: MC1 is how often it finds the one "
        "true answer likelier than every false one, MC0 likelier than one false one, MC2 the share of its probability "
        "that the true answers get."
    )

    def measure(self, subject: Subject, work: Work) -> Outcome:
        """MC0, MC1 and MC2 of one model."""
        questions = self.questions[: work.limit]
        journal = work.journal("choices", {})

        def make(places: list[int]) -> list[dict[str, Any]]:
            return list(measure(subject.model, subject.tokenizer, [questions[i] for i in places], self.examples))

        work.stage.start(total=len(questions))
        items = journal.fill([one.question for one in questions], make, on_progress=work.stage.show)
        found = summarise(items, work.seed)
        figures = [Figure("", name.upper(), **found[name]) for name in MEASURES if name in found]
        notes = [f"{found['cut']} questions lost the beginning of their prompt."] if found["cut"] else []
        return Outcome(figures, notes)
