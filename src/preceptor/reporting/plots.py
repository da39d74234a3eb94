"""The charts of the report. Each takes plain numbers and gives an inline SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from preceptor.reporting.svg import BLUE, GREEN, GREY, INK, MUTED, ORANGE, PAGE, PINK, drawing, to_svg

WIDE = 3.6  # inches; fills the width of a telephone
SMALL = 2.4  # of the small charts that stand in rows
LEGEND_COLUMNS = 3  # that fit beside each other
MAX_POINTS = 300  # of a curve; more are averaged in bins
MODEL_COLOURS = {"base": GREY, "sft": BLUE, "ppo": ORANGE}
MODEL_MARKERS = {"base": "s", "sft": "o", "ppo": "D"}
SERIES_COLOURS = (BLUE, PINK, GREEN, ORANGE)  # of the lines of one chart
LOOK_COLOURS, LOOK_MARKERS = (BLUE, ORANGE, GREEN, PINK, GREY), ("o", "D", "s", "^", "v", "P", "X")
MODEL_NAMES = {"base": "Base", "sft": "SFT", "ppo": "PPO"}


def model_name(key: str) -> str:
    """How the page calls the model ``key``: "ppo_round_1" is "PPO round 1", "best_of_16" is "Best of 16"."""
    first, *rest = key.split("_")
    return " ".join([MODEL_NAMES.get(first, first.capitalize()), *rest])


def look(place: int) -> tuple[str, str]:
    """Colour and marker of one of several things that have none of their own; 35 differ."""
    return LOOK_COLOURS[place % len(LOOK_COLOURS)], LOOK_MARKERS[place % len(LOOK_MARKERS)]


@dataclass(frozen=True)
class Measured:
    """One row of an interval chart: a value with its 95 % interval (which may be missing)."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    colour: str = BLUE
    marker: str = "o"
    hollow: bool = False


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str = BLUE
    dashed: bool = False
    low: Sequence[float] = ()  # of 95 % intervals
    high: Sequence[float] = ()


def intervals(
    name: str,
    rows: Sequence[Measured],
    xlabel: str,
    *,
    description: str,
    reference: float | None = None,
    percent: bool = True,
    legend: Sequence[tuple[str, str, str, bool]] = (),
) -> Markup:
    """Dots with whiskers, one row each, the first on top; ``reference`` is a line to compare with.

    ``legend`` holds (label, colour, marker, hollow). Rows with the same label share a line.
    """
    labels = list(dict.fromkeys(row.label for row in rows))
    with drawing(WIDE, 0.62 + 0.3 * len(labels) + 0.22 * -(-len(legend) // LEGEND_COLUMNS)) as figure:
        axes = figure.add_subplot()
        axes.grid(visible=False, axis="y")
        for label in labels:
            same = [row for row in rows if row.label == label]
            offsets = (np.arange(len(same)) - (len(same) - 1) / 2) * 0.24
            for row, offset in zip(same, offsets, strict=True):
                _whisker(axes, row, labels.index(label) + offset)
        if reference is not None:
            axes.axvline(reference, color=MUTED, linewidth=1.0, linestyle=(0, (3, 2)), zorder=1)
        axes.set_yticks(range(len(labels)), labels, color=INK, fontsize=8)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(xlabel)
        if percent:
            axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        if legend:
            handles = [_dot(axes, *entry) for entry in legend]
            figure.legend(
                handles=handles,
                loc="outside upper left",
                ncols=min(len(handles), LEGEND_COLUMNS),
                borderpad=0,
                handletextpad=0.3,
            )
        return to_svg(figure, name, description)


def _whisker(axes: Axes, row: Measured, y: float) -> None:
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [y, y], color=row.colour, linewidth=1.4, solid_capstyle="round", zorder=2)
    fill = PAGE if row.hollow else row.colour
    axes.plot([row.value], [y], row.marker, color=row.colour, markerfacecolor=fill, markeredgewidth=1.2, zorder=3)


def _dot(axes: Axes, label: str, colour: str, marker: str, hollow: bool) -> object:
    fill = PAGE if hollow else colour
    (line,) = axes.plot([], [], marker, color=colour, markerfacecolor=fill, markeredgewidth=1.2, label=label)
    return line


def shares(name: str, rows: Sequence[tuple[str, dict[str, float]]], *, title: str, description: str) -> Markup:
    """Stacked bars that add up to one: for each row the shares of true, "do not know", none and false."""
    parts = [("true", BLUE, "true"), ("unknown", GREY, "says it does not know"), ("false", ORANGE, "false")]
    with drawing(WIDE, 0.42 + 0.27 * len(rows)) as figure:
        axes = figure.add_subplot(title=title)
        axes.grid(visible=False)
        for line, (_, values) in enumerate(rows):
            left = 0.0
            for key, colour, _ in parts:
                width = values.get(key, 0.0)
                # The gap of no claim (an empty answer, another subject) stays blank before "false".
                left = 1.0 - width if key == "false" else left
                axes.barh(line, width, left=left, height=0.72, color=colour, edgecolor=PAGE, linewidth=1.0)
                if width >= 0.09:
                    axes.text(
                        left + width / 2, line, f"{width:.0%}", ha="center", va="center", color=PAGE, fontsize=7.5
                    )
                left += width
        axes.set_yticks(range(len(rows)), [label for label, _ in rows], color=INK, fontsize=8)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.xaxis.set_visible(False)
        axes.tick_params(axis="y", length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return to_svg(figure, name, description)


def curve(
    name: str, series: Sequence[Series], *, title: str, mark: float | None = None, xlabel: str = "step"
) -> Markup:
    """One small chart: a metric over the steps of a stage. A long noisy series gets its running mean."""
    with drawing(SMALL, 1.6, fitted=False) as figure:
        axes = figure.add_subplot(title=title)
        for one in series:
            _line(axes, one)
        if mark is not None:
            axes.axvline(mark, color=GREEN, linewidth=1.0, linestyle=(0, (3, 2)))
        if len(series) > 1:
            axes.legend(loc="best", handlelength=1.2)
        axes.set_xlabel(xlabel, labelpad=1)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        last = ", ".join(f"{one.label} ends at {one.y[-1]:.4g}" for one in series if len(one.y))
        return to_svg(figure, name, f"{title} over {xlabel}; {last}")


def _line(axes: Axes, one: Series) -> None:
    x, y = thinned(one.x, one.y)
    style = (0, (3, 2)) if one.dashed else "-"
    if len(x) >= 60:
        axes.plot(x, y, color=one.colour, linewidth=0.7, alpha=0.35)
        axes.plot(x, running_mean(y, len(y) // 15), color=one.colour, linestyle=style, label=one.label)
    else:
        marker = "o" if len(x) < 12 else ""
        axes.plot(x, y, color=one.colour, linestyle=style, marker=marker, markersize=2.5, label=one.label)


def thinned(x: Sequence[float], y: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """At most ``MAX_POINTS`` points: means of equal bins of neighbours."""
    size = -(-len(x) // MAX_POINTS)
    if size <= 1:
        return np.asarray(x, float), np.asarray(y, float)
    edges = np.arange(0, len(x), size)
    counts = np.diff(np.append(edges, len(x)))
    return np.add.reduceat(np.asarray(x, float), edges) / counts, np.add.reduceat(np.asarray(y, float), edges) / counts


def running_mean(y: np.ndarray, width: int) -> np.ndarray:
    """A centred mean over ``width`` points, over fewer at both ends."""
    half = max(1, width // 2)
    sums = np.concatenate([[0.0], np.cumsum(y)])
    start = np.maximum(np.arange(len(y)) - half, 0)
    stop = np.minimum(np.arange(len(y)) + half + 1, len(y))
    means: np.ndarray = (sums[stop] - sums[start]) / (stop - start)
    return means


def calibration(name: str, stated: Sequence[float], points: Sequence[Measured], *, description: str) -> Markup:
    """Points with whiskers over the probability that was stated; a model that means what it says lies on the diagonal.

    The label of a point, written beside it, is the number of pairs it stands for.
    """
    with drawing(WIDE, 2.6) as figure:
        axes = figure.add_subplot()
        axes.plot([0.5, 1], [0.5, 1], color=MUTED, linewidth=1.0, linestyle=(0, (3, 2)), zorder=1)
        for x, one in zip(stated, points, strict=True):
            if one.low is not None and one.high is not None:
                axes.vlines(x, one.low, one.high, color=one.colour, linewidth=1.4, zorder=2)
            axes.plot([x], [one.value], one.marker, color=one.colour, zorder=3)
            axes.annotate(
                one.label, (x, one.value), textcoords="offset points", xytext=(5, -9), fontsize=7, color=MUTED
            )
        axes.set_xlim(0.48, 1.04)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("probability that the reward model states")
        axes.set_ylabel("people prefer it")
        return to_svg(figure, name, description)


def frontier(
    name: str,
    rewards: Sequence[Series],
    below: Sequence[tuple[str, Series]],
    *,
    kept: float | None,
    xlabel: str,
    description: str,
) -> Markup:
    """What the policy was trained to please above what came of it: reward-model scores, and panels below them.

    Each has a scale of its own, so they get a panel each, with a title, over the same x. ``kept`` is the x of the
    snapshot that was kept.
    """
    panels = 1 + len(below)
    with drawing(WIDE, 0.5 + 1.45 * panels) as figure:
        top = bottom = figure.add_subplot(panels, 1, 1, title="Reward-model score")
        for one in rewards:
            _path(top, one, kept)
        if len(rewards) > 1:
            top.legend(loc="best", handlelength=1.4)
        for place, (title, one) in enumerate(below, start=2):
            bottom.tick_params(labelbottom=False)
            bottom = figure.add_subplot(panels, 1, place, title=title, sharex=top)
            _path(bottom, one, kept)
        bottom.set_xlabel(xlabel)
        whole = all(float(value).is_integer() for one in rewards for value in one.x)
        bottom.xaxis.set_major_locator(MaxNLocator(6, integer=whole))
        return to_svg(figure, name, description)


def _path(axes: Axes, one: Series, kept: float | None) -> None:
    """The way of a policy through the plane, dot after dot, with a ring around the kept snapshot."""
    style = (0, (3, 2)) if one.dashed else "-"
    axes.plot(one.x, one.y, color=one.colour, linestyle=style, linewidth=1.1, alpha=0.8, label=one.label)
    axes.plot(one.x, one.y, "o", color=one.colour, markersize=2.2)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.margins(y=0.18)
    if len(one.low):
        axes.vlines(one.x, one.low, one.high, color=one.colour, linewidth=1.0, alpha=0.5)
    if kept is None or not len(one.x):
        return
    axes.axvline(kept, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    nearest = int(np.argmin(np.abs(np.asarray(one.x, float) - kept)))
    point = (one.x[nearest], one.y[nearest])
    axes.plot(*point, "o", color=INK, markerfacecolor="none", markersize=9, markeredgewidth=1.4)
    if not axes.texts:  # of two ways in one panel, the second would write over the first
        axes.annotate(
            "kept",
            (kept, 0),
            (-3, 3),
            xycoords=axes.get_xaxis_transform(),  # along the line, just above the axis
            textcoords="offset points",
            ha="right",
            fontsize=7.5,
            color=INK,
        )
