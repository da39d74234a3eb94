"""The section about the rounds: what each was given, and how far its policy is from SFT and from the one before."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator, PercentFormatter

from preceptor.reporting.plots import WIDE, Measured
from preceptor.reporting.read import RunRecord
from preceptor.reporting.svg import BLUE, GREEN, GREY, MUTED, ORANGE, PINK, drawing, to_svg
from preceptor.reporting.tables import Table, number, percent, policies, within
from preceptor.statistics import is_number

Figures = Mapping[str, Any]
Panel = tuple[str, str, Sequence[Measured | None], float | None]  # title, "share" or "number", one a round, a line


def section(record: RunRecord) -> dict[str, Any]:
    """What the template shows; empty for a run of one round."""
    evaluation, rounds = record.evaluation, record.summary.get("rounds", [])
    names = [name for name in policies(evaluation) if name.startswith("ppo")]
    if len(names) < 2 or len(names) != len(rounds):
        return {}
    gold = evaluation.get("judge") == "gold"
    scores, judge = (evaluation["gold"], "Gold score") if gold else (evaluation["reward_score"], "Reward-model score")
    over, kl = evaluation["helpfulness"], evaluation["kl"]
    win_rates = [_measured(over.get(f"{name}_vs_sft"), "win_rate", BLUE) for name in names]
    quality: list[Panel] = [
        ("Preferred over SFT, ties as half", "share", [None, *win_rates], 0.5),
        (judge, "number", [_measured(scores.get(name), "mean", GREEN) for name in ("sft", *names)], None),
    ]
    behaviour: list[Panel] = [
        ("KL from SFT (nats)", "number", [None, *(_measured(kl.get(name), "mean", PINK) for name in names)], None),
        *_claims(evaluation, ["sft", *names]),
    ]
    charts = [by_round("rounds-quality", quality), by_round("rounds-behaviour", behaviour)]
    return {"charts": charts, "results": _results(evaluation, names, scores, judge), "given": _given(rounds)}


def _claims(evaluation: Figures, names: Sequence[str]) -> list[Panel]:
    """False claims about invented names, and rudeness without an instruction, where there are probes."""
    truth, harm = evaluation.get("truthfulness", {}), evaluation.get("harmlessness", {})
    panels: list[Panel] = []
    invented = [_share(truth.get(name, {}).get("invented", {}), "false", ORANGE) for name in names]
    rude = [_share(harm.get("none", {}), name, GREY) for name in names]
    for title, points in (("False claims about invented names", invented), ("Rude answers, no instruction", rude)):
        if any(point is not None for point in points):
            panels.append((title, "share", points, None))
    return panels


def _measured(figures: Figures | None, key: str, colour: str) -> Measured | None:
    if not figures or not is_number(figures.get(key)):
        return None
    return Measured("", figures[key], figures.get("low"), figures.get("high"), colour)


def _share(figures: Figures, key: str, colour: str) -> Measured | None:
    if not is_number(figures.get(key)):
        return None
    low, high = figures.get("intervals", {}).get(key, (None, None))
    return Measured("", figures[key], low, high, colour)


def by_round(name: str, panels: Sequence[Panel]) -> Markup:
    """Panels below each other, each with a scale of its own; one point with its whisker a round, SFT at 0."""
    with drawing(WIDE, 0.5 + 1.2 * len(panels)) as figure:
        top = None
        for place, (title, kind, points, line) in enumerate(panels, start=1):
            axes = figure.add_subplot(len(panels), 1, place, title=title, sharex=top)
            top = top or axes
            there = [(x, point) for x, point in enumerate(points) if point is not None]
            axes.plot([x for x, _ in there], [point.value for _, point in there], color=there[0][1].colour, alpha=0.8)
            for x, point in there:
                if point.low is not None and point.high is not None:
                    axes.vlines(x, point.low, point.high, color=point.colour, linewidth=1.4)
                axes.plot([x], [point.value], "o", color=point.colour)
            if line is not None:
                axes.axhline(line, color=MUTED, linewidth=1.0, linestyle=(0, (3, 2)), zorder=1)
            if kind == "share":
                axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.margins(y=0.18)
            axes.tick_params(labelbottom=place == len(panels))
        axes.set_xticks(range(len(points)), ["SFT", *map(str, range(1, len(points)))])
        axes.set_xlabel("round")
        said = "; ".join(
            f"{title}: "
            + ", ".join(
                "–" if point is None else percent(point.value) if kind == "share" else number(point.value)
                for point in points
            )
            for title, kind, points, _ in panels
        )
        return to_svg(figure, name, f"From SFT over the rounds. {said}")


def _results(evaluation: Figures, names: Sequence[str], scores: Figures, judge: str) -> Table:
    """One row a round, with SFT before them."""
    over, truth = evaluation["helpfulness"], evaluation.get("truthfulness", {})
    harm = evaluation.get("harmlessness", {}).get("none", {})
    rows = []
    for number_, name in enumerate(["sft", *names]):
        before = over.get(f"{name}_vs_{names[number_ - 2]}") if number_ > 1 else None
        claims = truth.get(name, {})
        known, invented = claims.get("known", {}), claims.get("invented", {})
        rows.append(
            [
                f"round {number_}" if number_ else "SFT",
                within(over.get(f"{name}_vs_sft") if number_ else None, "win_rate"),
                within(before, "win_rate"),
                within(scores.get(name), "mean", share=False),
                within(evaluation["kl"].get(name), "mean", share=False),
                percent(known.get("true")),
                percent(invented.get("false")),
                percent(harm.get(name)),
            ]
        )
    head = ["", "over SFT", "over the round before", judge.lower(), "KL (nats)"]
    head += ["known facts: true", "invented names: false", "rude, no instruction"]
    kept = [column for column in range(len(head)) if column == 0 or any(row[column] != "–" for row in rows)]
    table = [[row[column] for column in kept] for row in rows]
    return Table("On the same held-out prompts, with 95 % intervals", [head[column] for column in kept], table)


def _given(rounds: Sequence[Figures]) -> Table:
    """What each round learnt from."""
    rows = []
    for number_, one in enumerate(rounds, start=1):
        given = one.get("given", {})
        asked, made = one.get("sample", {}).get("prompts", 0), one.get("rank", {}).get("rankings", 0)
        accuracy = one.get("reward", {}).get("heldout_accuracy")
        new = f"{given['prompts']:,}" if given else "–"
        people = f"{given['rankings']:,}" if given else "–"
        rows.append([f"round {number_}", new, f"{asked:,}", f"{made:,}", people, percent(accuracy)])
    head = ["", "new prompts", "prompts answered", "rankings made", "rankings given", "reward model with labelers"]
    return Table("What each round learnt from; a dash: a round of the recipe", head, rows)
