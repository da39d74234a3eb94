"""The page of a blind comparison: who is preferred to whom, how strong each is, and what people flagged."""

from collections.abc import Mapping
from typing import Any

from preceptor.reporting.benchmarks import Section
from preceptor.reporting.page import render
from preceptor.reporting.plots import Measured, intervals
from preceptor.reporting.svg import BLUE, ORANGE
from preceptor.reporting.tables import Table, percent, within
from preceptor.statistics import is_number

Figures = Mapping[str, Any]
FOOTER = "The same figures: preferences.json, and preferences.csv for a spreadsheet. The judgements: rankings.jsonl."


def render_preferences(found: Figures) -> str:
    """One self-contained HTML page from what ``preferences.json`` holds."""
    sections = [_preferred(found), _strength(found)] if "pairs" in found else []
    if "ratings_by_people" in found:
        sections.append(_rated(found["ratings_by_people"]))
    names = found.get("models") or list(found.get("ratings_by_people", {}))
    return render(
        "benchmarks.html.j2",
        {"title": "Which model is preferred", "models": names, "sections": sections, "footer": FOOTER},
    )


def _preferred(found: Figures) -> Section:
    marks, rows = [], []
    for row in found["pairs"]:
        name, controlled = f"{row['a']} over {row['b']}", row["length_controlled"]
        marks.append(Measured(name, row["win_rate"], row["low"], row["high"], BLUE, "o"))
        marks.append(Measured(name, controlled["win_rate"], controlled["low"], controlled["high"], ORANGE, "D"))
        cells = [within(row, "win_rate"), within(controlled, "win_rate"), percent(row["ties"])]
        rows.append([name, *cells, percent(row["first_place"]), f"{row['n']:,}"])
    legend = [("as judged", BLUE, "o", False), ("at equal length", ORANGE, "D", False)]
    told = "; ".join(f"{row[0]}: {row[1]}" for row in rows)
    chart = intervals("preferred", marks, "preferred, ties as half", description=told, reference=0.5, legend=legend)
    head = ["", "preferred", "at equal length", "ties", "first in the list", "prompts"]
    notes = [(found["judge"], text) for text in _cautions(found)]
    about = (
        "Answers to the same prompts, judged without knowing whose they are. At equal length: a logistic regression "
        "takes out what the judge gives for length alone. First in the list: how often the answer that stood first won."
    )
    table = Table("Win rates, ties as half, with 95 % intervals over prompts", head, rows)
    return Section("preferred", f"Preferred by the {found['judge']}", about, [chart], [table], notes, [])


def _cautions(found: Figures) -> list[str]:
    """What must be read with the figures."""
    notes = []
    if is_number(found.get("same_both_ways")):
        same, first = percent(found["same_both_ways"]), percent(found.get("judge_first_place"))
        notes.append(
            f"each question was asked in both orders; they gave the same on {same} of pairs, and what stood first was "
            f"preferred in {first}. What counts is the sum of an answer's two ranks: two answers on which the orders "
            "disagree are a tie, but among three or more the sums may differ."
        )
    if found.get("not_judged"):
        notes.append(f"gave no judgement on {found['not_judged']:,} prompts; they are left out, not guessed.")
    empty = {name: count for name, count in found.get("empty_answers", {}).items() if count}
    notes += [f"{name} answered {count:,} prompts with nothing." for name, count in empty.items()]
    if found["judge"] == "reward model":
        notes.append("a policy that was trained to please this reward model is flattered by it.")
    return notes


def _strength(found: Figures) -> Section:
    rows = found["ratings"]
    marks = [Measured(row["model"], row["rating"], row["low"], row["high"]) for row in rows]
    told = "; ".join(f"{row['model']}: {within(row, 'rating', share=False)}" for row in rows)
    chart = intervals("strength", marks, "rating (log odds)", description=told, reference=0.0, percent=False)
    cells = [[row["model"], within(row, "rating", share=False), f"{row['elo']:+.0f}"] for row in rows]
    about = (
        "Bradley-Terry: the odds that one model is preferred to another are e to the difference of their ratings. The "
        "mean is 0; 400 points of Elo are odds of ten to one."
    )
    table = Table("Ratings, with 95 % intervals over prompts", ["", "log odds", "Elo points"], cells)
    return Section("strength", "How strong each model is", about, [chart], [table], [], [])


def _rated(ratings: Figures) -> Section:
    marks = [
        Measured(model, one["overall"]["mean"], one["overall"]["low"], one["overall"]["high"])
        for model, one in ratings.items()
    ]
    told = "; ".join(f"{model}: {within(one['overall'], 'mean', share=False)}" for model, one in ratings.items())
    chart = intervals("rated", marks, "overall rating, 1 to 7", description=told, percent=False)
    flags = list(dict.fromkeys(flag for one in ratings.values() for flag in one["flags"]))
    rows = [["overall, 1 to 7", *(within(one["overall"], "mean", share=False) for one in ratings.values())]]
    rows += [
        [flag.replace("_", " "), *(within(one["flags"].get(flag), "mean") for one in ratings.values())]
        for flag in flags
    ]
    counts = ["prompts", *(f"{one['overall']['n']:,}" for one in ratings.values())]
    table = Table("Ratings and shares of responses flagged, with 95 % intervals", ["", *ratings], [*rows, counts])
    about = "What labelers said of single responses."
    return Section("rated", "Ratings and flags by people", about, [chart], [table], [], [])
