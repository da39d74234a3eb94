"""The page of public benchmarks: a section each, with any number of models beside each other."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from preceptor.reporting.page import render
from preceptor.reporting.plots import Measured, intervals, look
from preceptor.reporting.tables import Table, within

Result = Mapping[str, Any]  # of benchmarks.json: one model on one benchmark
FOOTER = (
    "The same figures: benchmarks.json, and benchmarks.csv for a spreadsheet. Every answer: answers-*.jsonl beside "
    "this page."
)
MOST_CONDITIONS = 3  # in one chart; more lie on each other


@dataclass(frozen=True)
class Section:
    """A benchmark as the page shows it."""

    name: str
    title: str
    about: str
    charts: list[Markup]
    tables: list[Table]
    notes: list[tuple[str, str]]  # the model and what must be read with its figures
    origins: list[tuple[str, list[tuple[str, str]]]]


def render_benchmarks(results: Sequence[Result]) -> str:
    """One self-contained HTML file: no script, no request to anywhere. The template escapes every value."""
    names = list(dict.fromkeys(one["benchmark"] for one in results))
    return render(
        "benchmarks.html.j2",
        {
            "title": "Public benchmarks",
            "footer": FOOTER,
            "models": list(dict.fromkeys(one["model"] for one in results)),
            "sections": [_section([one for one in results if one["benchmark"] == name]) for name in names],
        },
    )


def _section(results: Sequence[Result]) -> Section:
    first = results[0]
    rows = [{"model": one["model"]} | figure for one in results for figure in one["figures"]]
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    return Section(
        first["benchmark"],
        first["title"],
        first["about"],
        [_chart(f"{first['benchmark']}-{number}", name, rows) for number, name in enumerate(measures)],
        _tables(first["title"], rows, measures),
        [(one["model"], note) for one in results for note in one["notes"]],
        [(one["model"], _origin(one)) for one in results],
    )


def _chart(name: str, measure: str, rows: Sequence[Mapping[str, Any]]) -> Markup:
    """One measure: a line a model, in it a mark for each condition (with many conditions, a line for each)."""
    found = [row for row in rows if row["measure"] == measure]
    conditions = list(dict.fromkeys(row["condition"] for row in found))
    looks = {condition: look(place) for place, condition in enumerate(conditions)}
    few = len(conditions) <= MOST_CONDITIONS
    marks = [
        Measured(
            row["model"] if few else f"{row['model']}, {row['condition']}",
            row["value"],
            row["low"],
            row["high"],
            *looks[row["condition"]],
        )
        for row in found
    ]
    share = all(row["unit"] == "share" for row in found)
    told = "; ".join(f"{row['model']} {row['condition']}: {within(row, 'value', share=share)}" for row in found)
    legend = [(condition, *looks[condition], False) for condition in conditions] if few and conditions != [""] else []
    return intervals(name, marks, measure, description=f"{measure}. {told}", percent=share, legend=legend)


def _tables(title: str, rows: Sequence[Mapping[str, Any]], measures: Sequence[str]) -> list[Table]:
    """One for the measures that were taken under the same conditions, so that no table is full of dashes."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in measures:
        conditions = tuple(sorted({row["condition"] for row in rows if row["measure"] == name}))
        alike.setdefault(conditions, []).append(name)
    parts = [f"{title} in numbers", *(f"{title} in numbers, {number}" for number in range(2, len(alike) + 1))]
    return [_table(caption, rows, names) for caption, names in zip(parts, alike.values(), strict=True)]


def _table(caption: str, rows: Sequence[Mapping[str, Any]], measures: Sequence[str]) -> Table:
    """Models, and under each its conditions, downward; measures to the right, and what the figures count."""
    rows, lines = [row for row in rows if row["measure"] in measures], []
    for model, condition in dict.fromkeys((row["model"], row["condition"]) for row in rows):
        here = {row["measure"]: row for row in rows if (row["model"], row["condition"]) == (model, condition)}
        cells = [within(here.get(name), "value", share=here.get(name, {}).get("unit") == "share") for name in measures]
        counts = " / ".join(dict.fromkeys(f"{row['n']:,} {row['of']}" for row in here.values()))
        lines.append([f"{model}, {condition}" if condition else model, *cells, counts])
    return Table(caption, ["", *measures, "n"], lines)


def _origin(result: Result) -> list[tuple[str, str]]:
    """Model, files and settings in lines."""
    rows = [("model", f"{result['model_path']} ({result['model_sha256'][:12]})")]
    rows += [(name, f"{file['path']} ({file['sha256'][:12]})") for name, file in result["files"].items()]
    rows += [(f"settings: {part}", json.dumps(values)) for part, values in result["settings"].items() if values]
    rows += [("seed", str(result["seed"])), ("preceptor", result["version"])]
    return rows if result["limit"] is None else [*rows, ("limit", f"the first {result['limit']:,}")]
