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
        "TruthfulQA's mc_task.json or TruthfulQA.csv: how likely a model finds true answers beside false ones",
        "preceptor.evaluation.truthfulqa_benchmark",
        options=(Option("truthfulqa_examples", "text with the examples that stand before every question (QA_PRIMER)"),),
    ),
)


@dataclass(frozen=True)
class Subject:
    """A model that is measured."""

    name: str
    directory: Path
    model: Transformer
    tokenizer: Tokenizer


@dataclass(frozen=True)
class Figure:
    """One figure with its 95 % interval over ``n`` units, such as questions or prompts.

    ``condition`` tells figures of one measure apart, such as the instruction that a model was given; "" if there is
    only one.
    """

    condition: str
    measure: str
    value: float
    low: float
    high: float
    n: int
    unit: Unit = "share"
    of: str = "questions"  # what n counts


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
