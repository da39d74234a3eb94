"""From the figures of a run to its charts: which of them are drawn, and how they are grouped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from preceptor.reporting import plots
from preceptor.reporting.plots import Measured, Series, model_name
from preceptor.reporting.read import StageRecord
from preceptor.reporting.svg import BLUE, GREEN, GREY, ORANGE, PINK
from preceptor.reporting.tables import REWARD_ROWS, comparison_name, policies
from preceptor.statistics import is_number

Figures = Mapping[str, Any]

# Metrics that belong on one chart: the second is drawn into the first one's if both are there.
TOGETHER = {
    "heldout_loss": ("demonstration_loss", "loss"),
    "heldout_accuracy": ("accuracy",),
    "dev_score": ("score",),
    "dev_check_score": ("score",),
    "dev_kl": ("kl",),
    "dev_length": ("length",),
    "dev_eos_rate": ("eos_rate",),
}
HIDDEN = ("step", "tokens")
TITLES = {
    "eos_rate": "share of responses that end",
    "kl": "KL from SFT (nats)",
    "kl_coef": "KL coefficient (beta)",
    "length": "response length (tokens)",
    "lr_scale": "learning rate (relative)",
    "score": "reward-model score",
    "tokens_per_second": "tokens per second",
}
SHOWN_CURVES = 24  # of a stage


@dataclass(frozen=True)
class StageCharts:
    """The small charts of one stage."""

    title: str
    anchor: str
    charts: Sequence[Markup]


@dataclass(frozen=True)
class Frontier:
    """Reward against KL in one round of PPO, and what can be read off it."""

    title: str
    charts: Sequence[Markup]
    reading: str


def helpfulness_chart(evaluation: Figures) -> Markup | None:
    """Win rates, filled at the headline temperature, hollow when greedy."""
    figures = evaluation.get("helpfulness", {})
    greedy = figures.get("greedy", {})
    rows = []
    for key in (key for key in figures if "_vs_" in key):
        for table, hollow in ((figures, False), (greedy, True)):
            if key in table:
                one = table[key]
                rows.append(Measured(comparison_name(key), one["win_rate"], one["low"], one["high"], BLUE, "o", hollow))
    if not rows:
        return None
    legend = [("sampled", BLUE, "o", False)] + ([("greedy", BLUE, "o", True)] if greedy else [])
    return plots.intervals(
        "helpfulness",
        rows,
        "preferred, ties as half",
        reference=0.5,
        legend=legend,
        description="Win rates with 95 % intervals; the dashed line is 50 %. The table has the numbers.",
    )


def truthfulness_charts(evaluation: Figures) -> list[Markup]:
    """Stacked shares, one chart a group of questions."""
    figures = evaluation.get("truthfulness", {})
    titles = {
        "known": "Facts that the corpus states",
        "withheld": "Real things whose facts were withheld",
        "invented": "Invented names",
    }
    charts = []
    for group, title in titles.items():
        rows = [
            (model_name(name), figures[name][group])
            for name in policies(evaluation)
            if figures.get(name, {}).get(group)
        ]
        if rows:
            charts.append(plots.shares(f"truth-{group}", rows, title=title, description=f"{title}: shares of answers"))
    return charts


def harmlessness_chart(evaluation: Figures) -> Markup | None:
    """Shares of rude answers under the three instructions."""
    figures = evaluation.get("harmlessness", {})
    rows, used = [], []
    for instruction, one in figures.items():
        for name in policies(evaluation):
            if is_number(one.get(name)):
                low, high = one.get("intervals", {}).get(name, (None, None))
                colour, marker = _look(name)
                used.append((model_name(name), colour, marker, False))
                rows.append(Measured(INSTRUCTIONS.get(instruction, instruction), one[name], low, high, colour, marker))
    if not rows:
        return None
    return plots.intervals(
        "harmlessness",
        rows,
        "rude answers",
        legend=list(dict.fromkeys(used)),
        description="Shares of rude answers with 95 % intervals under three instructions.",
    )


INSTRUCTIONS = {"none": "no instruction", "respectful": "\u201cbe respectful\u201d", "rude": "\u201cbe rude\u201d"}


def _look(name: str) -> tuple[str, str]:
    return plots.MODEL_COLOURS.get(name, PINK), plots.MODEL_MARKERS.get(name, "^")


def reward_chart(evaluation: Figures) -> Markup | None:
    """Rater agreement beside the accuracy of the reward model."""
    details = evaluation.get("reward", {}).get("details", {})
    colours = {"heldout_accuracy": ORANGE, "gold_accuracy": ORANGE, "gold_on_labels": GREEN}
    colours |= dict.fromkeys(("labeler_agreement", "labeler_agreement_strict"), BLUE)
    short = {
        key: name.replace(" with each other, ", ",\n").replace(" with the", "\nwith the", 1)
        for key, name in REWARD_ROWS.items()
    }
    rows = [
        Measured(short[key], one["value"], one["low"], one["high"], colours.get(key, GREY))
        for key in REWARD_ROWS
        if (one := details.get(key))
    ]
    if not rows:
        return None
    return plots.intervals(
        "reward",
        rows,
        "pairs ordered alike",
        reference=0.5,
        description="Agreement of labelers and accuracy of the reward model, with 95 % intervals.",
    )


def calibration_chart(evaluation: Figures) -> Markup | None:
    """What the reward model states against what people say, and how many pairs stand behind each point."""
    figures = evaluation.get("reward", {}).get("calibration", {})
    if not figures.get("bins"):
        return None
    points = [Measured(f"{one['pairs']:,}", one["share"], one["low"], one["high"], ORANGE) for one in figures["bins"]]
    return plots.calibration(
        "calibration",
        [one["stated"] for one in figures["bins"]],
        points,
        description="How often people prefer what the reward model prefers, over the probability that it states: "
        + "; ".join(f"{one['stated']:.0%}: {one['share']:.0%} of {one['pairs']:,} pairs" for one in figures["bins"]),
    )


def stage_charts(stage: StageRecord) -> StageCharts:
    """A small chart for each metric of a stage."""
    keys = sorted((key for key in stage.metric_names if key not in HIDDEN), key=lambda key: key == "tokens_per_second")
    hosts = {key: [host for host in TOGETHER.get(key, ()) if host in keys] for key in keys}
    guests = {key: found[0] for key, found in hosts.items() if found}
    charts = []
    for key in [key for key in keys if key not in guests][:SHOWN_CURVES]:
        shown = [key, *(guest for guest, host in guests.items() if host == key)]
        series = [
            Series(one.replace("_", " "), *stage.series(one), colour=plots.SERIES_COLOURS[place])
            for place, one in enumerate(shown)
        ]
        title = TITLES.get(key, key.replace("_", " "))
        charts.append(plots.curve(f"{stage.name}-{key}", series, title=title, mark=stage.kept_step))
    return StageCharts(stage.title, stage.name.replace("/", "-"), charts)


def frontier_of(title: str, name: str, tried: Figures, judge: str) -> Frontier | None:
    """The way of one PPO round over development prompts: both reward models and gold, over KL and over iterations."""
    points = tried.get("points", [])
    if len(points) < 2:
        return None
    reading = _reading(points, tried.get("kept"))
    charts = []
    for key, xlabel in (("kl", "KL from the SFT model (nats an answer)"), ("iteration", "PPO iteration")):
        x = [point[key] for point in points]
        rewards = [
            Series("trained against", x, [point["score"] for point in points], BLUE),
            Series("second, only looked at", x, [point["check_score"] for point in points], PINK, dashed=True),
        ]
        if rewards[0].y == rewards[1].y:  # there is no second reward model
            rewards = rewards[:1]
        gold = None
        if judge == "gold" and all("gold" in point for point in points):
            gold = Series(
                "gold",
                x,
                [point["gold"] for point in points],
                GREEN,
                low=[point["low"] for point in points],
                high=[point["high"] for point in points],
            )
        below = [("Gold score, development users", gold)] if gold is not None else []
        if all("length" in point for point in points):
            length = Series("length", x, [point["length"] for point in points], ORANGE)
            below.append(("Tokens an answer", length))
        kept = next((point[key] for point in points if point["iteration"] == tried.get("kept")), None)
        charts.append(
            plots.frontier(
                f"frontier-{name}-{key}",
                rewards,
                below,
                kept=kept,
                xlabel=xlabel,
                description=f"{title}: scores and lengths over {xlabel}. {reading}",
            )
        )
    return Frontier(title, charts, reading)


LENGTH_BLOW_UP = 1.5  # times the SFT model's


def _reading(points: Sequence[Figures], kept_iteration: int | None) -> str:
    """In words: where gold was best, what was kept, where the run ended, what became of the length."""
    kept = next((point for point in points if point["iteration"] == kept_iteration), None)
    words = _gold_reading(points, kept) if all("gold" in point for point in points) else _check_reading(points, kept)
    if all("length" in point for point in points):
        first, last = points[0]["length"], points[-1]["length"]
        words.append(f"An answer had {first:.1f} tokens before PPO and {last:.1f} at the end.")
        if last > LENGTH_BLOW_UP * first:
            words.append("Length blow-up: PPO has found that this reward model likes long answers.")
    return " ".join(words)


def _gold_reading(points: Sequence[Figures], kept: Figures | None) -> list[str]:
    best, last = max(points, key=lambda point: point["gold"]), points[-1]
    words = [
        f"Gold was {points[0]['gold']:.3f} before PPO, best after iteration {best['iteration']} ({best['gold']:.3f}) "
        f"and {last['gold']:.3f} at the end."
    ]
    if kept is not None:
        words.append(f"Kept, without looking at gold: iteration {kept['iteration']}, gold {kept['gold']:.3f}.")
    if last["score"] > best["score"] and last["gold"] < best["low"]:
        words.append(
            f"Over-optimisation: after the best iteration the reward model's score went on rising, by "
            f"{last['score'] - best['score']:.3f}, while gold fell by {best['gold'] - last['gold']:.3f}."
        )
    return words


def _check_reading(points: Sequence[Figures], kept: Figures | None) -> list[str]:
    if all(point["score"] == point["check_score"] for point in points):
        return [
            "There is neither gold nor a second reward model for this data: nothing here could show over-optimisation."
        ]
    best, last = max(points, key=lambda point: point["check_score"]), points[-1]
    words = [
        "There is no gold for this data; the second reward model, which PPO never maximised, stands in for it. "
        f"It gave {points[0]['check_score']:.3f} before PPO and {last['check_score']:.3f} at the end, where the first "
        f"went from {points[0]['score']:.3f} to {last['score']:.3f}."
    ]
    if kept is not None:
        words.append(f"Kept: iteration {kept['iteration']}, at a KL of {abs(kept['kl']):.2f} nats.")
    if last["score"] > best["score"] and last["check_score"] < best["check_score"]:
        words.append(
            f"After iteration {best['iteration']} they part: the first rose by {last['score'] - best['score']:.3f}, "
            f"the second fell by {best['check_score'] - last['check_score']:.3f}."
        )
    return words
