"""Charts: what is drawn stays within what was given, and nothing breaks on little data."""

import numpy as np
import pytest

from preceptor.reporting import plots
from preceptor.reporting.plots import MAX_POINTS, Measured, Series
from preceptor.reporting.svg import VARIABLES


def test_long_series_are_averaged_in_order() -> None:
    x = list(range(1, 2001))
    thin_x, thin_y = plots.thinned(x, [2.0 * value for value in x])
    assert len(thin_x) <= MAX_POINTS
    np.testing.assert_allclose(thin_y, 2 * thin_x)
    assert thin_x[0] >= 1
    assert thin_x[-1] <= 2000
    assert np.all(np.diff(thin_x) > 0)
    short = plots.thinned([1, 2], [3.0, 4.0])
    np.testing.assert_array_equal(short, [[1, 2], [3, 4]])


def test_the_running_mean_keeps_a_constant_and_the_length() -> None:
    np.testing.assert_allclose(plots.running_mean(np.full(50, 3.0), 7), 3.0)
    assert len(plots.running_mean(np.arange(80.0), 5)) == 80


@pytest.mark.parametrize("points", [0, 1, 2, 70])
def test_a_curve_of_any_length(points: int) -> None:
    one = Series("loss", list(range(points)), [1.0] * points)
    drawing = plots.curve("c", [one], title="loss & <more> $x$")
    assert drawing.startswith("<svg ")
    assert drawing.endswith("</svg>")
    assert "<more>" not in drawing
    assert "$x$" in drawing


def test_labels_are_text_that_the_page_escapes() -> None:
    rows = [Measured("<b>a</b>", 0.5, 0.4, 0.6), Measured("b", 0.7)]
    drawing = plots.intervals("i", rows, "share", description='"quoted" <words>', reference=0.5)
    assert "<b>" not in drawing
    assert 'aria-label="&quot;quoted&quot; &lt;words&gt;"' in drawing


def test_no_marker_colour_is_left() -> None:
    drawing = plots.shares("s", [("PPO", {"true": 0.6, "false": 0.1})], title="known", description="shares")
    assert not any(marker in drawing for marker in VARIABLES)
    assert "var(--blue)" in drawing
    assert "60%" in drawing


def test_a_frontier_without_gold_has_one_panel() -> None:
    reward = Series("score", [0.0, 1.0], [0.0, 2.0])
    gold = Series("gold", [0.0, 1.0], [0.0, -1.0], low=[-0.1, -1.1], high=[0.1, -0.9])
    one = plots.frontier("f", [reward], [], kept=1.0, xlabel="KL", description="d")
    two = plots.frontier("f", [reward], [("Gold score", gold)], kept=None, xlabel="KL", description="d")
    assert "Gold" not in one
    assert "kept" in one
    assert "Gold" in two
    assert "kept" not in two
