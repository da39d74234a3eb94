"""Habits: what a labeler who never reads would show, and what one without a habit does."""

import random

import pytest

from preceptor.feedback.bias import Shown, length_bias, position_bias


def test_shares_and_chance_by_hand() -> None:
    rows = [
        Shown((1, 2, 3), (5, 9, 1)),  # first best; longest not
        Shown((1, 1, 2), (5, 9, 9)),  # half of the best is first; half of the best is among the two longest
        Shown((2, 1), (3, 3)),  # second best; no longest
        Shown((1, 1), (3, 4)),  # says nothing
    ]
    first = position_bias(rows)
    assert (first.share, first.n) == (pytest.approx((1 + 0.5 + 0) / 3), 3)
    assert first.chance == pytest.approx((1 / 3 + 1 / 3 + 1 / 2) / 3)
    longest = length_bias(rows)
    assert (longest.share, longest.n) == (pytest.approx((0 + 0.5) / 2), 2)
    assert longest.chance == pytest.approx((1 / 3 + 2 / 3) / 2)


def test_a_habit_lies_outside_its_interval_and_none_inside() -> None:
    draw = random.Random(0)
    fair, lazy = [], []
    for _ in range(400):
        ranks = draw.sample(range(1, 5), 4)
        lengths = tuple(draw.sample(range(10, 99), 4))
        fair.append(Shown(tuple(ranks), lengths))
        lazy.append(Shown((1, 2, 3, 4), lengths))
    for bias in (position_bias(fair), length_bias(fair), length_bias(lazy)):
        assert bias.low is not None and bias.chance is not None and bias.high is not None
        assert bias.low < bias.chance < bias.high
    habit = position_bias(lazy)
    assert habit.low is not None and habit.chance is not None
    assert habit.low > habit.chance


def test_nothing_to_say_is_none() -> None:
    assert position_bias([Shown((1, 1), (1, 2))]).share is None
    assert length_bias([]).n == 0
