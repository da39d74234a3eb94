"""Matplotlib figures as inline SVG whose colours follow the page, light or dark.

A figure is drawn in marker colours that occur nowhere else; in the finished SVG each of them
becomes a CSS variable of the page (``style.css.j2`` gives every variable a light and a dark value).
Text stays text: it takes the page's font and can be selected and searched.
"""

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Marker colour -> CSS variable. The variables are explained, with their values, in ``style.css.j2``.
INK, MUTED, GRID, PAGE = "#010203", "#010204", "#010205", "#010206"
GREY, BLUE, ORANGE, GREEN, PINK = "#010211", "#010212", "#010213", "#010214", "#010215"
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAGE: "--card",
    GREY: "--grey",
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--green",
    PINK: "--pink",
}

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.facecolor": PAGE,  # a legend may lie on a curve
    "legend.edgecolor": "none",
    "legend.framealpha": 0.8,
    "legend.borderpad": 0.2,
    "legend.labelspacing": 0.25,
    "legend.fontsize": 7.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


# What the variables of a figure are, on the page and where it stands alone.
LIGHT = "--ink:#1c1c1a;--muted:#5c5c57;--grid:#e2e2dc;--card:#ffffff;--grey:#74746f;--blue:#0069a6;"
DARK = "--ink:#ebebe7;--muted:#a8a8a1;--grid:#34342f;--card:#1e1e1c;--grey:#a3a39c;--blue:#62b6ea;"


def standalone(svg: Markup) -> str:
    """An ``<svg>`` of a page as a file of its own, light or dark as the reader has it."""
    rules = f"svg{{{LIGHT}background:var(--card)}}@media(prefers-color-scheme:dark){{svg{{{DARK}}}}}"
    opening, rest = str(svg).split(">", 1)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{opening}><style>{rules}</style>{rest}\n'


@contextmanager
def drawing(width: float, height: float, *, fitted: bool = True) -> Iterator[Figure]:
    """A figure of ``width`` x ``height`` inches in the page's style. 3.6 inches fill a telephone.

    ``fitted`` makes room for whatever labels there are; it costs as much again as drawing does, so
    the many small charts do without and leave fixed margins.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained" if fitted else None)
        if not fitted:
            right, top = 1 - 0.08 / width, 1 - 0.24 / height
            figure.subplots_adjust(left=0.46 / width, right=right, bottom=0.4 / height, top=top)
        yield figure


def to_svg(figure: Figure, name: str, description: str) -> Markup:
    """The figure as an ``<svg>`` element; call it inside :func:`drawing`.

    ``name`` keeps the ids inside apart from those of other charts on the page and makes them the
    same in every run; ``description`` is what a screen reader says.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for marker, variable in VARIABLES.items():
        text = text.replace(marker, f"var({variable})")
    # Matplotlib numbers its groups alike in every figure (axes_1), but an id must be unique in a page.
    used = set(re.findall(r"""(?:url\(#|href="#)([^)"]+)""", text))
    text = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in used else "", text)
    width = figure.get_figwidth() * 115  # CSS pixels at full size: text of 8 points is then 13 px high
    opening, rest = text.split(">", 1)
    box = re.search(r'viewBox="[^"]+"', opening)
    assert box is not None, "Matplotlib writes a viewBox into every SVG"
    label = html.escape(description, quote=True)
    namespaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    start = f'<svg {namespaces} role="img" aria-label="{label}" style="max-width:{width:.0f}px" {box[0]}>'
    return Markup(start + rest.strip())
