"""Preferences from rankings: counted by hand, mirrored, and with the length taken out."""

import numpy as np
import pytest

from preceptor.errors import InputError
from preceptor.evaluation.preferences import length_controlled, preferences
from preceptor.feedback.schema import Ranking, Response
from preceptor.text.conversation import Message

ASKED = [Message(role="user", content="?")]


def ranking(prompt, ranks, models, texts=None):
    texts = texts or ["x"] * len(models)
    responses = [Response(text=text, model=model) for text, model in zip(texts, models, strict=True)]
    return Ranking(prompt_id=prompt, messages=ASKED, responses=responses, ranks=ranks)


def test_win_rates_are_counted_by_prompt_with_ties_as_half():
    found = preferences(
        [
            ranking("1", [1, 2], ["a", "b"]),
            ranking("1", [1, 1], ["a", "b"]),  # somebody else on the same prompt: 3/4 together
            ranking("2", [1, 2], ["b", "a"]),  # b is better, and is listed first
        ],
        seed=0,
    )
    (row,) = found["pairs"]
    assert (row["a"], row["b"], row["n"]) == ("a", "b", 2)
    assert row["win_rate"] == pytest.approx((0.75 + 0) / 2)
    assert row["ties"] == pytest.approx(1 / 3)
    assert row["first_place"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert [one["model"] for one in found["ratings"]] == ["b", "a"]


def test_outputs_of_one_model_do_not_meet_each_other():
    found = preferences([ranking("1", [1, 2, 3], ["a", "a", "b"])], seed=0)
    (row,) = found["pairs"]
    assert row["win_rate"] == 1.0 and found["prompts"] == 1


def test_three_models_are_rated_together():
    rankings = [ranking(str(i), [1, 2, 3] if i % 4 else [3, 2, 1], ["c", "b", "a"]) for i in range(40)]
    found = preferences(rankings, seed=0)
    assert [row["model"] for row in found["ratings"]] == ["c", "b", "a"]
    assert sum(row["rating"] for row in found["ratings"]) == pytest.approx(0)
    assert {(row["a"], row["b"]) for row in found["pairs"]} == {("a", "b"), ("a", "c"), ("b", "c")}


def test_models_without_names_are_refused():
    with pytest.raises(InputError, match="name a model"):
        preferences([ranking("1", [1, 2], ["", "a"])], seed=0)
    with pytest.raises(InputError, match="at least two"):
        preferences([ranking("1", [1, 2], ["a", "a"])], seed=0)


def test_length_control_finds_a_judge_that_likes_length_alone():
    """Both models are equally good; a writes more, and the judge likes more. Raw: well above half; controlled: half."""
    rng = np.random.default_rng(0)
    longer = rng.normal(60, 100, size=600)
    chance = 1 / (1 + np.exp(-3 * np.tanh(longer / longer.std())))
    won = (rng.random(600) < chance).astype(float)
    found = length_controlled(won, longer, [str(i) for i in range(600)], seed=0, resamples=200)
    assert won.mean() > 0.6
    assert found["low"] < 0.5 < found["high"] and abs(found["win_rate"] - 0.5) < 0.08


def test_length_control_leaves_a_real_difference():
    rng = np.random.default_rng(3)
    longer = rng.normal(0, 100, size=400)
    won = (rng.random(400) < 0.8).astype(float)
    found = length_controlled(won, longer, [str(i) for i in range(400)], seed=0, resamples=200)
    assert found["low"] < 0.8 < found["high"] and found["low"] > 0.7


def test_swapping_the_names_mirrors_the_rates():
    rng = np.random.default_rng(2)
    texts = [["x" * int(n) for n in rng.integers(1, 90, size=2)] for _ in range(60)]
    ranks = [[1, 2] if rng.random() < 0.6 else [2, 1] for _ in texts]
    one = preferences([ranking(str(i), r, ["a", "b"], t) for i, (r, t) in enumerate(zip(ranks, texts, strict=True))], 0)
    two = preferences([ranking(str(i), r, ["b", "a"], t) for i, (r, t) in enumerate(zip(ranks, texts, strict=True))], 0)
    (row,), (mirrored,) = one["pairs"], two["pairs"]
    assert row["win_rate"] == pytest.approx(1 - mirrored["win_rate"])
    assert row["length_controlled"]["win_rate"] == pytest.approx(
        1 - mirrored["length_controlled"]["win_rate"], abs=1e-6
    )
    assert row["first_place"] == pytest.approx(mirrored["first_place"])
