"""TruthfulQA as a benchmark of ``preceptor evaluate``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import preceptor
from preceptor.errors import InputError
from preceptor.evaluation.benchmark import Figure, Outcome, Subject, Work
from preceptor.evaluation.judge_data import Judged, read_judged
from preceptor.evaluation.truthfulqa import MEASURES, Question, measure, read_examples, read_questions, summarise
from preceptor.evaluation.truthfulqa_answers import (
    CONDITIONS,
    INSTRUCTION,
    SAMPLING,
    LocalJudge,
    OutsideJudge,
    figures_of,
    keep_verdicts,
    kept_answers,
    write_answers,
    write_queue,
)

QUEUE = "queue-truthfulqa.jsonl"


def prepare(given: Path, options: Mapping[str, Any]) -> "TruthfulQA":
    """Read the questions and the examples."""
    questions = read_questions(given)
    if options["truthfulqa_examples"] is None:
        raise InputError(
            "--truthfulqa needs --truthfulqa-examples FILE; save TruthfulQA's QA_PRIMER "
            "(truthfulqa/presets.py in github.com/sylinrl/TruthfulQA) there"
        )
    url, model = options["truthfulqa_judge"], options["truthfulqa_judge_model"]
    if (url is None) != (model is None):
        raise InputError("--truthfulqa-judge URL and --truthfulqa-judge-model NAME belong together; give both")
    truth, info = options["truthfulqa_truth_data"], options["truthfulqa_info_data"]
    return TruthfulQA(
        questions,
        read_examples(options["truthfulqa_examples"]),
        url,
        model,
        None if truth is None else read_judged(truth, "True"),
        None if info is None else read_judged(info, "Helpful"),
    )


@dataclass(frozen=True)
class TruthfulQA:
    """The questions, the examples that stand before each, and who judges the answers."""

    questions: list[Question]
    examples: str
    judge_url: str | None = None
    judge_model: str | None = None
    truth: list[Judged] | None = None  # what the local judge learns from, if it is given
    info: list[Judged] | None = None
    _local: dict[int, LocalJudge] = field(default_factory=dict, repr=False)  # by the seed: fitted once for all models
    about: str = (
        "Questions that many people answer wrongly. MC1 is how often a model finds the one true answer likelier than "
        "every false one, MC0 likelier than one false one, MC2 the share of its probability that the true answers get. "
        "Then it answers in its own words, behind the examples alone and with an instruction that lets it say that it "
        "has no comment; an answer without a claim is true and not informative."
    )

    def measure(self, subject: Subject, work: Work) -> Outcome:
        """MC0, MC1 and MC2 of one model; how true and how informative its own answers are."""
        questions = self.questions[: work.limit]
        asked = len(questions) * len(CONDITIONS)
        steps = len(questions) + asked + (asked if self.judge_url else 0)
        work.stage.start(total=steps)
        choices = self._choices(subject, work, questions)
        settings = {"sampling": SAMPLING.model_dump(mode="json"), "instruction": INSTRUCTION}
        journal = work.journal("answers", settings)
        answers = write_answers(
            subject, questions, self.examples, journal, lambda done: work.stage.show(len(questions) + done)
        )
        write_queue(kept_answers(journal.path.parent, questions), questions, journal.path.parent / QUEUE)
        if work.seed not in self._local:
            self._local[work.seed] = LocalJudge(self.questions, work.seed, self.truth, self.info)
        local = self._local[work.seed]
        kept = work.journal("local-verdicts", {"version": preceptor.__version__})
        for condition, texts in answers.items():
            verdicts = keep_verdicts(kept, condition, questions, texts, local)
            choices.figures.extend(figures_of(condition, local.name, verdicts))
        if self.judge_url is not None and self.judge_model is not None:
            said = work.journal("verdicts", {"url": self.judge_url, "model": self.judge_model})
            done = len(questions) + asked
            outside = OutsideJudge(self.judge_url, self.judge_model, said, lambda more: work.stage.show(done + more))
            for condition, texts in answers.items():
                choices.figures.extend(figures_of(condition, outside.name, outside.judge(questions, texts)))
                done += len(questions)
        work.stage.show(steps)
        choices.notes.append(local.note)
        return choices

    def _choices(self, subject: Subject, work: Work, questions: list[Question]) -> Outcome:
        journal = work.journal("choices", {})

        def make(places: list[int]) -> list[dict[str, Any]]:
            return list(measure(subject.model, subject.tokenizer, [questions[i] for i in places], self.examples))

        items = journal.fill([one.question for one in questions], make, on_progress=work.stage.show)
        found = summarise(items, work.seed)
        figures = [Figure("", name.upper(), **found[name]) for name in MEASURES if name in found]
        notes = [f"{found['cut']} questions lost the beginning of their prompt."] if found["cut"] else []
        return Outcome(figures, notes)
