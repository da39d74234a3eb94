"""The section about the LSTM and the transformers, from ``foundations.json``."""

from typing import Any

from markupsafe import Markup
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from preceptor.reporting.plots import WIDE
from preceptor.reporting.svg import BLUE, GREY, INK, ORANGE, drawing, to_svg
from preceptor.reporting.tables import number

NAMES = {"lstm": "LSTM", "causal": "Causal transformer", "masked": "Masked transformer"}
COLOURS = {"lstm": ORANGE, "causal": BLUE, "masked": GREY}
MARKERS = {"lstm": "s", "causal": "o", "masked": "D"}
FAINT = 0.004  # of the attention; less than this is not drawn
Row = dict[str, Any]


def section(results: Row) -> Row:
    """What the template shows: charts and tables; empty for a run without."""
    if not results:
        return {}
    return {
        "charts": [position_chart(results), length_chart(results), copy_chart(results)],
        "models": _models(results),
        "positions": _positions(results),
        "copies": _copies(results),
        "blank": results["fill_in"],
        "guesses": _guesses(results["fill_in"]),
        "maps": [
            (NAMES[name], attention_chart(f"attention-{name}", one)) for name, one in results["attention"].items()
        ],
    }


def position_chart(results: Row) -> Markup:
    """Loss of LSTM and causal transformer against how many tokens lie before the predicted one."""
    rows = results["by_position"]
    lines = {name: [(row["first"], row["loss"][name], None, None) for row in rows] for name in rows[0]["loss"]}
    return _lines("by-position", lines, "tokens before it (from)", "Loss by position, nats a token")


def length_chart(results: Row) -> Markup:
    """Loss on the same tokens against how many tokens are shown."""
    lines = _with_intervals(results["by_length"], "length")
    return _lines("by-length", lines, "tokens shown", "Loss on the same tokens, nats")


def copy_chart(results: Row) -> Markup:
    """Loss on the second copy of a random segment against how far back the first lies."""
    lines = _with_intervals(results["copies"], "distance")
    return _lines("copies", lines, "tokens back to the first copy", "Loss on a second copy, nats a token")


def _with_intervals(rows: list[Row], key: str) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: [(row[key], *(row["loss"][name][part] for part in ("mean", "low", "high"))) for row in rows]
        for name in rows[0]["loss"]
    }


def _lines(name: str, lines: dict[str, list[tuple[Any, ...]]], xlabel: str, title: str) -> Markup:
    """Lines over a logarithmic axis, with whiskers where there are intervals."""
    with drawing(WIDE, 2.3) as figure:
        axes = figure.add_subplot(title=title)
        for key, points in lines.items():
            x, y = [one[0] for one in points], [one[1] for one in points]
            axes.plot(x, y, marker=MARKERS[key], color=COLOURS[key], label=NAMES[key])
            for at, _, low, high in points:
                if low is not None:
                    axes.vlines(at, low, high, color=COLOURS[key], linewidth=1.2)
        axes.set_xscale("log", base=2)
        axes.set_xticks(x, [str(at) for at in x])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel(xlabel)
        axes.legend(loc="best", handlelength=1.4)
        last = ", ".join(f"{NAMES[key]} {points[-1][1]:.2f} at {points[-1][0]}" for key, points in lines.items())
        return to_svg(figure, name, f"{title}, over {xlabel}: {last}")


def attention_chart(name: str, seen: Row) -> Markup:
    """One square a head, layers from top to bottom: row = who looks, column = at whom, the darker the more."""
    maps, tokens = seen["maps"], [_shown(token) for token in seen["tokens"]]
    layers, heads, count = len(maps), len(maps[0]), len(tokens)
    side = max(1.0, 0.085 * count)
    with drawing(side * heads + 0.9, side * layers + 0.9) as figure:
        for layer, of_layer in enumerate(maps):
            for head, weights in enumerate(of_layer):
                axes = figure.add_subplot(layers, heads, layer * heads + head + 1)
                axes.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=6.5, fontweight="normal", color=INK)
                axes.grid(visible=False)
                cells = [(q, k, w) for q, row in enumerate(weights) for k, w in enumerate(row) if w >= FAINT]
                squares = [Rectangle((k - 0.5, q - 0.5), 1, 1) for q, k, _ in cells]
                shades = [to_rgba(BLUE, min(1.0, w)) for _, _, w in cells]
                axes.add_collection(PatchCollection(squares, facecolors=shades, edgecolors="none"))
                axes.set_xlim(-0.5, count - 0.5)
                axes.set_ylim(count - 0.5, -0.5)
                axes.set_aspect("equal")
                axes.tick_params(length=0, pad=1)
                axes.set_yticks(range(count), tokens if head == 0 else [""] * count, fontsize=4.5)
                bottom = layer == layers - 1
                axes.set_xticks(range(count), tokens if bottom else [""] * count, fontsize=4.5, rotation=90)
        words = " ".join(tokens)
        return to_svg(figure, name, f"Attention of {layers} layers with {heads} heads each on: {words}")


def _shown(token: str) -> str:
    return token.strip() or {" ": "space", "\n": "line"}.get(token, "·")


def _models(results: Row) -> Row:
    rows = [
        (
            NAMES[name],
            f"{count:,}",
            number(results["tokens_per_second"][name], 0),
            number(results["loss"].get(name)),
        )
        for name, count in results["parameters"].items()
    ]
    head = ("", "parameters", "tokens/s in training", "held-out loss, nats a token")
    return {
        "caption": f"{results['tokens']:,} tokens each, in rows of {results['context']}",
        "head": head,
        "rows": rows,
    }


def _positions(results: Row) -> Row:
    rows = []
    for row in results["by_position"]:
        where = str(row["first"]) if row["first"] == row["last"] else f"{row['first']} to {row['last']}"
        loss = row["loss"]
        rows.append((where, number(loss["lstm"], 3), number(loss["causal"], 3), _figure(row["difference"])))
    head = ("tokens before it", "LSTM", "causal transformer", "LSTM − transformer [95 %]")
    return {"caption": f"Loss by position, nats a token, on {results['heldout_rows']} rows", "head": head, "rows": rows}


def _copies(results: Row) -> Row:
    rows = [
        (str(row["distance"]), *(_figure(row["loss"][name]) for name in ("lstm", "causal")))
        for row in results["copies"]
    ]
    head = ("tokens back", "LSTM [95 %]", "causal transformer [95 %]")
    return {"caption": "Loss on the second copy of a random segment, nats a token", "head": head, "rows": rows}


def _guesses(blank: Row) -> Row:
    rows = []
    for name, guess in blank["guesses"].items():
        words = [
            f"{word.strip() or '·'} {chance:.0%}"
            for word, chance in zip(guess["words"], guess["probabilities"], strict=True)
        ]
        rows.append((NAMES[name], f"{guess['true_word']:.1%}", *words))
    most = max(len(row) for row in rows) - 2
    return {
        "caption": "The likeliest words for the blank",
        "head": ("", f"“{blank['word'].strip()}”", *(f"{place + 1}." for place in range(most))),
        "rows": rows,
    }


def _figure(figure: Row) -> str:
    return f"{figure['mean']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"
