"""Coefficients of agreement, against figures worked out by hand and against the package."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from preceptor.feedback.reliability import (
    Units,
    _coincidences,
    alpha_of_coincidences,
    fleiss_kappa,
    krippendorff_alpha,
    pair_units,
    rank_units,
    rating_units,
)
from preceptor.feedback.schema import Ranking, Rating, Response
from preceptor.text.conversation import Message

ASK = [Message(role="user", content="Why?")]


def units(*counts: list[int], prompts: list[int] | None = None) -> Units:
    rows = np.asarray(counts, dtype=np.float64)
    return Units(rows, np.arange(1.0, rows.shape[1] + 1), np.asarray(prompts or range(len(rows))))


def ranking(prompt: str, labeler: str, ranks: dict[str, int]) -> Ranking:
    responses = [Response(text=text) for text in ranks]
    return Ranking(prompt_id=prompt, messages=ASK, responses=responses, ranks=list(ranks.values()), labeler=labeler)


def test_fleiss_by_hand() -> None:
    """Two units, three labelers, two categories: P = (1 + 1/3) / 2; p = (4/6, 2/6); P_e = 5/9; (2/3 - 5/9) / (4/9)."""
    assert fleiss_kappa(units([3, 0], [1, 2])).value == pytest.approx(1 / 4)


def test_alpha_by_hand_nominal() -> None:
    """The same data. Coincidences: unit 1 gives o_11 = 3, unit 2 o_12 = o_21 = o_22 = 1. n = (4, 2).

    alpha = 1 - 5 * (1 + 1) / (2 * 4 * 2) = 3/8.
    """
    assert krippendorff_alpha(units([3, 0], [1, 2]), "nominal").value == pytest.approx(3 / 8)


def test_alpha_by_hand_ordinal() -> None:
    """Two labelers, values 1 to 3: units (1, 1), (1, 2), (3, 3). n = (3, 1, 2), N = 6.

    Distances: 1-2 (1.5 + .5)^2 = 4, 2-3 (.5 + 1)^2 = 2.25, 1-3 (1.5 + 1 + 1)^2 = 12.25. Observed: o_12 = o_21 = 1, so
    2 * 4 = 8; expected 2 * (3*1*4 + 1*2*2.25 + 3*2*12.25) = 180; alpha = 1 - 5 * 8 / 180.
    """
    data = units([2, 0, 0], [1, 1, 0], [0, 0, 2])
    assert krippendorff_alpha(data, "ordinal").value == pytest.approx(1 - 40 / 180)


def test_units_of_one_judgement_say_nothing() -> None:
    with_single = units([3, 0], [0, 1], [1, 2], [0, 0])
    assert krippendorff_alpha(with_single, "nominal").value == pytest.approx(3 / 8)
    assert fleiss_kappa(with_single).value == pytest.approx(1 / 4)
    assert fleiss_kappa(with_single).units == 2


def test_units_with_different_numbers_of_judgements() -> None:
    """Unit 1: two say 1. Unit 2: of four, two say 2. n = (4, 2), N = 6.

    Unit 2's coincidences: 1-1 2/3, 1-2 4/3 and 2-1 4/3, 2-2 2/3. alpha = 1 - 5 * (8/3) / (2 * 4 * 2) = 1/6.
    Fleiss: P = (1 + (2 + 2) / 12) / 2 = 2/3, p = (2/3, 1/3): 1/4.
    """
    data = units([2, 0], [2, 2])
    assert krippendorff_alpha(data, "nominal").value == pytest.approx(1 / 6)
    assert fleiss_kappa(data).value == pytest.approx(1 / 4)


def test_nothing_to_compare_is_none_and_not_a_number() -> None:
    for data in (units([1, 0], [0, 1]), units([2, 0], [3, 0]), Units(np.zeros((0, 2)), np.arange(2.0), np.zeros(0))):
        assert krippendorff_alpha(data, "nominal").value is None
        assert fleiss_kappa(data).value is None


@given(nps.arrays(np.float64, st.tuples(st.integers(2, 8), st.integers(2, 5)), elements=st.integers(0, 4)))
@settings(deadline=None)
def test_our_alpha_of_sums_is_the_package_s(counts: np.ndarray) -> None:
    """The bootstrap adds up coincidences; on the whole data that is what `krippendorff` computes."""
    data = Units(counts, np.arange(float(counts.shape[1])), np.arange(len(counts))).judged_twice()
    for level in ("nominal", "ordinal"):
        theirs = krippendorff_alpha(data, level, resamples=1).value
        ours = alpha_of_coincidences(_coincidences(data.counts).sum(axis=0).ravel(), level)
        if theirs is None:
            assert ours is None
        else:
            assert ours == pytest.approx(theirs, abs=1e-9)


def test_the_interval_covers_the_value_and_draws_prompts_not_units() -> None:
    rng = np.random.default_rng(0)
    rows = [[3, 0] if rng.random() < 0.5 else [1, 2] for _ in range(60)]
    alone = krippendorff_alpha(units(*rows), "nominal")
    assert alone.low is not None and alone.high is not None and alone.value is not None
    assert alone.low < alone.value < alone.high
    six = [row for row in rows[:10] for _ in range(6)]
    together = krippendorff_alpha(units(*six, prompts=[i // 6 for i in range(60)]), "nominal")
    apart = krippendorff_alpha(units(*six), "nominal")
    assert together.low is not None and together.high is not None and apart.low is not None and apart.high is not None
    assert together.high - together.low > 1.5 * (apart.high - apart.low)
    assert (together.units, together.prompts) == (60, 10)


def test_pairs_are_written_in_one_order_for_all_labelers() -> None:
    found = pair_units([ranking("p", "ann", {"a": 1, "b": 2}), ranking("p", "ben", {"b": 2, "a": 1})])
    assert found.counts.tolist() == [[2.0]]
    found = pair_units([ranking("p", "ann", {"a": 1, "b": 2}), ranking("p", "ben", {"b": 1, "a": 1})])
    assert dict(zip(found.values, found.counts[0], strict=True)) == {0.0: 1.0, 1.0: 1.0}


def test_places_are_of_the_responses_that_all_have_ranked() -> None:
    found = rank_units([ranking("p", "ann", {"a": 1, "b": 2, "c": 3}), ranking("p", "ben", {"a": 1, "c": 1})])
    assert found.values.tolist() == [1.0, 1.5, 2.0]
    assert found.counts.tolist() == [[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]


def test_a_labeler_s_last_rating_of_a_text_counts() -> None:
    def rating(labeler: str, overall: int) -> Rating:
        return Rating(prompt_id="p", response="a", overall=overall, labeler=labeler)

    found = rating_units([rating("ann", 3), rating("ann", 5), rating("ben", 5)])
    assert found.values.tolist() == [5.0]
    assert found.counts.tolist() == [[2.0]]
