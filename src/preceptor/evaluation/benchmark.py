"""Public benchmarks, as ``preceptor evaluate`` knows them: the list of those there are, and what each gives back.

A benchmark is a module with ``prepare(given, options)``, which reads and checks the user's file before any model is
loaded and returns a :class:`Measurement`. Nothing heavy is imported here, since ``--help`` reads the list.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from preceptor.evaluation.journal import Journal
    from preceptor.models.transformer import Transformer
    from preceptor.statistics import Mean, Share
    from preceptor.text.tokenizer import Tokenizer
    from preceptor.training.progress import StageProgress

Unit = Literal["share", "score"]  # a share lies between 0 and 1 and is shown in percent


@dataclass(frozen=True)
class Option:
    """A further option of a benchmark, ``--truthfulqa-examples``; ``kind`` makes its value of the text."""

    name: str
    help: str
    metavar: str = "FILE"
    kind: Callable[[str], Any] = Path
    default: Any = None

    @property
    def flag(self) -> str:
        """As it is typed."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: what it is called on the command line and on the page, and the module that measures it."""

    name: str  # the option is this behind --
    title: str
    help: str
    module: str
    metavar: str = "FILE"
    kind: Callable[[str], Any] = Path
    options: tuple[Option, ...] = ()

    @property
    def flag(self) -> str:
        """The option that asks for it."""
        return "--" + self.name.replace("_", "-")

    def prepare(self, given: Any, options: Mapping[str, Any]) -> Measurement:
        """Read what the benchmark needs. Raises InputError, with the way to get a file that is missing."""
        found: Measurement = importlib.import_module(self.module).prepare(given, options)
        return found


BENCHMARKS = (
    Benchmark(
        "truthfulqa",
        "TruthfulQA",
        "TruthfulQA.csv or TruthfulQA's mc_task.json: true answers beside false ones, and answers of its own",
        "preceptor.evaluation.truthfulqa_benchmark",
        options=(
            Option("truthfulqa_examples", "text with the examples that stand before every question (QA_PRIMER)"),
            Option(
                "truthfulqa_judge",
                "an OpenAI-compatible endpoint that judges too; its key is in PRECEPTOR_JUDGE_KEY",
                metavar="URL",
                kind=str,
            ),
            Option("truthfulqa_truth_data", "finetune_truth.jsonl: judgements that the local judge learns truth from"),
            Option("truthfulqa_info_data", "finetune_info.jsonl: judgements that it learns from what is informative"),
            Option("truthfulqa_judge_model", "the model to ask there", metavar="NAME", kind=str),
        ),
    ),
    Benchmark(
        "rtp",
        "RealToxicityPrompts",
        "RealToxicityPrompts' prompts.jsonl: how toxic a model goes on, under three instructions",
        "preceptor.evaluation.real_toxicity_benchmark",
        options=(
            Option("rtp_samples", "also sample N responses to each prompt (published: 25)", "N", int),
            Option("rtp_tokens", "longest response in tokens (default: 20, as published)", "N", int, 20),
            Option(
                "rtp_scorer",
                "who scores: profanity (default), perspective, or LABEL=MODEL of a classifier of texts",
                "NAME",
                str,
                "profanity",
            ),
        ),
    ),
    Benchmark(
        "crows_pairs",
        "CrowS-Pairs",
        "CrowS-Pairs' crows_pairs_anonymized.csv: how undecided a model is between sentences about two groups",
        "preceptor.evaluation.crows_pairs",
    ),
    Benchmark(
        "winogender",
        "Winogender",
        "Winogender's all_sentences.tsv: how undecided a model is between he and she",
        "preceptor.evaluation.winogender",
    ),
    Benchmark(
        "xstest",
        "XSTest",
        "XSTest's CSV, or JSONL with prompt and label (safe, unsafe): refusals of safe prompts, compliance with unsafe",
        "preceptor.evaluation.over_refusal",
    ),
    Benchmark(
        "tasks",
        "lm-evaluation-harness",
        "tasks of lm-evaluation-harness, as hellaswag,arc_easy",
        "preceptor.evaluation.harness_benchmark",
        metavar="TASKS",
        kind=str,
        options=(Option("tasks_path", "directory with further tasks of your own, in its YAML", metavar="DIR"),),
    ),
)


@dataclass(frozen=True)
class Subject:
    """A model that is measured. ``chat``: it is asked in its chat format; otherwise it goes on with plain text."""

    name: str
    directory: Path
    model: Transformer
    tokenizer: Tokenizer
    chat: bool = True


@dataclass(frozen=True)
class Figure:
    """One figure with its 95 % interval over ``n`` units, such as questions or prompts; None where none is known.

    ``condition`` tells figures of one measure apart, such as the instruction that a model was given; "" if there is
    only one.
    """

    condition: str
    measure: str
    value: float
    low: float | None
    high: float | None
    n: int
    unit: Unit = "share"
    of: str = "questions"  # what n counts

    @classmethod
    def of_share(cls, condition: str, measure: str, found: Share, of: str = "questions") -> Figure:
        """A share with its interval."""
        return cls(condition, measure, found["share"], found["low"], found["high"], found["n"], "share", of)

    @classmethod
    def of_mean(cls, condition: str, measure: str, found: Mean, of: str = "questions") -> Figure:
        """A mean, which is a score, with its interval."""
        return cls(condition, measure, found["mean"], found["low"], found["high"], found["n"], "score", of)


@dataclass(frozen=True)
class Outcome:
    """What a benchmark found about one model: figures, and sentences that must be read with them."""

    figures: list[Figure]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Work:
    """What a measurement is given besides the model.

    ``journal(part, settings)`` opens the rows kept so far of a part, such as "choices"; ``settings`` are what
    they depend on besides the model, the files and the seed. ``limit``: no more than so many first units, if set.
    """

    seed: int
    limit: int | None
    journal: Callable[[str, Mapping[str, Any]], Journal]
    stage: StageProgress


class Measurement(Protocol):
    """A benchmark whose files are read. ``about`` is the paragraph that explains its figures on the page."""

    about: str

    def measure(self, subject: Subject, work: Work) -> Outcome:
        """Measure one model. What is in the journals already is not done again."""
        ...
