"""Every figure of an evaluation as one flat list, for tables, CSV files and other programs."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from preceptor.statistics import is_number

VALUES = ("win_rate", "mean", "share", "value", "ratio")  # how a figure with an interval names its value


@dataclass(frozen=True)
class NamedFigure:
    """One number: its dotted place in evaluation.json, its value, and its 95 % interval if it has one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


def flat(figures: Mapping[str, Any], before: str = "") -> Iterator[NamedFigure]:
    """The numbers in a nest of dicts, in its order.

    ``{win_rate: .5, low: .4, high: .6, n: 9}`` (or mean, share, value, ratio) is one figure; in ``{true: .3, n: 9,
    intervals: {true: [.1, .5]}}`` each key is one.
    """
    value = next((figures[key] for key in VALUES if is_number(figures.get(key))), None)
    if value is not None and before:
        yield NamedFigure(before, float(value), _number(figures, "low"), _number(figures, "high"), _count(figures))
        taken = {*VALUES, "low", "high", "n"}
    else:
        taken = {"n", "intervals"} if "intervals" in figures else set()
    intervals = figures.get("intervals", {})
    for key, part in figures.items():
        name = f"{before}.{key}" if before else str(key)
        if key in taken:
            continue
        if isinstance(part, Mapping):
            yield from flat(part, name)
        elif is_number(part):
            low, high = intervals.get(key, (None, None)) if isinstance(intervals, Mapping) else (None, None)
            yield NamedFigure(name, float(part), low, high, _count(figures) if low is not None else None)


def leaves(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted place, value) of whatever is no dict in a nest of dicts, in its order."""
    for key, part in value.items():
        if isinstance(part, Mapping):
            yield from leaves(part, f"{before}{key}.")
        else:
            yield f"{before}{key}", part


def to_csv(figures: Mapping[str, Sequence[NamedFigure]], first: str) -> str:
    """One row a figure; the first column, called ``first``, says whose it is (a model, a run)."""
    head = [first, *(field.name for field in fields(NamedFigure))]
    return csv_text(head, ([whose, *astuple(row)] for whose, rows in figures.items() for row in rows))


def csv_text(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table for a spreadsheet; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue()


def _number(figures: Mapping[str, Any], key: str) -> float | None:
    return float(figures[key]) if is_number(figures.get(key)) else None


def _count(figures: Mapping[str, Any]) -> int | None:
    return int(figures["n"]) if is_number(figures.get("n")) else None
