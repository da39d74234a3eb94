"""Public benchmarks on any models: figures with intervals as JSON and CSV, the answers, and a page.

The directory gets ``benchmarks.json`` and ``benchmarks.csv`` (the same figures), ``answers-*.jsonl`` (what they are
made from, a line an answer, kept as they come) and ``report.html``. Figures of other models or benchmarks that were
measured into the same directory before stay.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import preceptor
from preceptor.errors import InputError
from preceptor.evaluation.benchmark import BENCHMARKS, Benchmark, Measurement, Subject, Work
from preceptor.evaluation.journal import Journal
from preceptor.files import read_json, write_atomic, write_json
from preceptor.ledger import claimed
from preceptor.models.checkpoint import open_language_model
from preceptor.models.compute import ComputeConfig, place
from preceptor.models.weights import digest
from preceptor.provenance import content_hash
from preceptor.reporting.benchmarks import render_benchmarks
from preceptor.reporting.figures import csv_text
from preceptor.reporting.tables import within
from preceptor.training.progress import Progress

COLUMNS = ("model", "benchmark", "condition", "measure", "value", "low", "high", "n")
FIGURES = "benchmarks.json"


@dataclass(frozen=True)
class Asked:
    """One benchmark that was asked for, and its options by name."""

    benchmark: Benchmark
    given: Any
    options: Mapping[str, Any]

    def files(self) -> dict[str, dict[str, str]]:
        """The files that its options name, with their hashes."""
        named = {self.benchmark.name: self.given, **self.options}
        paths = {name: value for name, value in named.items() if isinstance(value, Path)}
        return {name: {"path": str(path), "sha256": content_hash(path)} for name, path in paths.items()}


@dataclass(frozen=True)
class Session:
    """What all measurements of one command share."""

    out: Path
    seed: int
    limit: int | None
    compute: ComputeConfig
    progress: Progress
    plain: frozenset[str] = frozenset()  # models that go on with plain text


def run_benchmarks(models: Mapping[str, Path], asked: Sequence[Asked], session: Session) -> list[dict[str, Any]]:
    """Measure every model on every benchmark; the results, as ``benchmarks.json`` holds them, of this call alone."""
    prepared = [(one, one.benchmark.prepare(one.given, one.options)) for one in asked]
    if session.out.exists() and not session.out.is_dir():
        raise InputError(f"--out {session.out}: is a file; name a directory")
    results: list[dict[str, Any]] = []
    everything: list[dict[str, Any]] = []
    with claimed(session.out):
        for name, directory in models.items():
            model, tokenizer = open_language_model(directory)
            # Role markers that the vocabulary lacked mean nothing to the model.
            chat = name not in session.plain and not tokenizer.added
            subject = Subject(name, directory, place(model, session.compute), tokenizer, chat)
            for one, measurement in prepared:
                results.append(_measure(subject, one, measurement, session))
                everything = _add(session.out, results[-1])
        write_atomic(session.out / "benchmarks.csv", _csv(everything))
        write_atomic(session.out / "report.html", render_benchmarks(everything))
    return results


def _measure(subject: Subject, asked: Asked, measurement: Measurement, session: Session) -> dict[str, Any]:
    benchmark, files = asked.benchmark, asked.files()
    weights = digest(subject.directory)
    made_from = {
        "model": weights,
        "files": {name: one["sha256"] for name, one in files.items()},
        "compute": session.compute.model_dump(mode="json", include={"device", "dtype", "max_length"}),
        "seed": session.seed,
    }
    settings: dict[str, Any] = {}

    def journal(part: str, of_part: Mapping[str, Any]) -> Journal:
        settings[part] = dict(of_part)
        path = session.out / f"answers-{benchmark.name}-{part}-{subject.name}.jsonl"
        return Journal(path, made_from | {"settings": settings[part]})

    with session.progress.stage(f"{benchmark.title}, {subject.name}", None) as stage:
        outcome = measurement.measure(subject, Work(session.seed, session.limit, journal, stage))
    return {
        "benchmark": benchmark.name,
        "title": benchmark.title,
        "about": measurement.about,
        "model": subject.name,
        "model_path": str(subject.directory),
        "model_sha256": weights,
        "files": files,
        "settings": settings,
        "compute": made_from["compute"],
        "seed": session.seed,
        "limit": session.limit,
        "version": preceptor.__version__,
        "figures": [asdict(figure) for figure in outcome.figures],
        "notes": outcome.notes,
    }


def _add(out: Path, result: dict[str, Any]) -> list[dict[str, Any]]:
    """Put a result among those that the directory has, in the place of an older one; all of them."""
    path = out / FIGURES
    earlier = read_json(path)["results"] if path.exists() else []
    by_key = {(one["benchmark"], one["model"]): one for one in [*earlier, result]}
    order = [benchmark.name for benchmark in BENCHMARKS]
    results = sorted(by_key.values(), key=lambda one: order.index(one["benchmark"]))
    write_json(path, {"results": results})
    return results


def _csv(results: list[dict[str, Any]]) -> str:
    """The figures with a row each, for a spreadsheet."""
    rows = [one | figure for one in results for figure in one["figures"]]
    return csv_text(COLUMNS, ([row[column] for column in COLUMNS] for row in rows))


def show(results: Sequence[dict[str, Any]], out: Path) -> None:
    """Print the figures, a line each, and where they lie."""
    for one in results:
        for figure in one["figures"]:
            parts = [one["model"], one["title"], figure["condition"], figure["measure"]]
            share = figure["unit"] == "share"
            print(f"{'  '.join(part for part in parts if part)}  {within(figure, 'value', share=share)}")
        for note in one["notes"]:
            print(f"{one['model']}: {note}")
    print(f"{out / 'report.html'} shows them, {out / FIGURES} and {out / 'benchmarks.csv'} hold them")
