"""Several runs beside each other: what differs in their recipes, and every figure that they measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from preceptor.reporting import plots, tables
from preceptor.reporting.figures import NamedFigure, flat, leaves
from preceptor.reporting.page import render
from preceptor.reporting.plots import Measured
from preceptor.reporting.read import RunRecord
from preceptor.reporting.tables import Table
from preceptor.statistics import is_number

Runs = Mapping[str, RunRecord]


@dataclass(frozen=True)
class MeasureSection:
    """The figures of one measure."""

    title: str
    anchor: str
    table: Table


def figures_of(runs: Runs) -> dict[str, list[NamedFigure]]:
    """Every figure of each run: of its evaluation, its time and its memory."""
    return {name: list(_figures(record)) for name, record in runs.items()}


def _figures(record: RunRecord) -> Iterator[NamedFigure]:
    yield from flat(record.evaluation)
    if is_number(seconds := record.summary.get("seconds", {}).get("total")):
        yield NamedFigure("cost.seconds", float(seconds))
    if is_number(memory := record.summary.get("peak_memory_bytes")):
        yield NamedFigure("cost.gigabytes", float(memory) / 1e9)


def render_comparison(runs: Runs) -> str:
    """One self-contained HTML page."""
    return render(
        "compare.html.j2",
        {
            "runs": list(runs),
            "notes": _notes(runs),
            "settings": _settings(runs),
            "chart": _chart(runs),
            "sections": _sections(figures_of(runs)),
        },
    )


def _notes(runs: Runs) -> list[str]:
    """What stands against holding figures of the runs against each other."""
    judges = {name: tables.judge_name(record.evaluation) for name, record in runs.items() if record.evaluation}
    if len(set(judges.values())) < 2:
        return []
    who = ", ".join(f"{name} by the {judge}" for name, judge in judges.items())
    return [f"The runs were judged by different judges ({who}): their win rates and scores do not compare."]


def _settings(runs: Runs) -> Table:
    """The keys of the recipes that are not the same in all runs."""
    recipes = {name: dict(leaves(record.run.get("recipe", {}))) for name, record in runs.items()}
    keys = list(dict.fromkeys(key for recipe in recipes.values() for key in recipe))
    rows = [[key, *(str(recipe.get(key, "\u2013")) for recipe in recipes.values())] for key in keys]
    different = [row for row in rows if len(set(row[1:])) > 1]
    caption = "What differs in the recipes" if different else "The recipes are the same"
    return Table(caption, ["", *runs], different)


def _chart(runs: Runs) -> Markup | None:
    """Win rates, one row a comparison, one mark a run."""
    rows = []
    looks = {name: plots.look(place) for place, name in enumerate(runs)}
    for name, record in runs.items():
        for key, one in record.evaluation.get("helpfulness", {}).items():
            if "_vs_" in key:
                label = tables.comparison_name(key)
                rows.append(Measured(label, one["win_rate"], one["low"], one["high"], *looks[name]))
    if not rows:
        return None
    return plots.intervals(
        "compared",
        rows,
        "preferred, ties as half",
        reference=0.5,
        legend=[(name, *look, False) for name, look in looks.items()],
        description="Win rates of each run with 95 % intervals; the dashed line is 50 %. The tables have the numbers.",
    )


def _sections(figures: Mapping[str, Sequence[NamedFigure]]) -> list[MeasureSection]:
    """A table for each measure, the first part of a figure's name; its rows are figures, its columns runs."""
    by_run = {run: {figure.name: figure for figure in rows} for run, rows in figures.items()}
    names = list(dict.fromkeys(figure.name for rows in figures.values() for figure in rows))
    measures = list(dict.fromkeys(name.partition(".")[0] for name in names))
    sections = []
    for measure in measures:
        rows = [
            [name.partition(".")[2].replace("_", " ") or measure, *(_cell(of.get(name)) for of in by_run.values())]
            for name in names
            if name.partition(".")[0] == measure
        ]
        title = measure.replace("_", " ").capitalize()
        sections.append(
            MeasureSection(title, measure, Table(f"{title}, with 95 % intervals where known", ["", *figures], rows))
        )
    return sections


def _cell(figure: NamedFigure | None) -> str:
    if figure is None:
        return "\u2013"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.4g}"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
