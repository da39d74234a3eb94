"""Agreement of scores with published ones: by hand, and by a brute-force count over pairs."""

import numpy as np
import pytest

from preceptor.evaluation.agreement import agreement, auc, rank_correlation, ranks


def test_equal_values_share_a_rank() -> None:
    assert ranks([3.0, 1.0, 3.0, 2.0]).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_auc_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 6, 40), rng.integers(0, 2, 40).astype(bool)
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[labels] for b in scores[~labels]]
    assert auc(scores, labels) == pytest.approx(np.mean(pairs))
    assert auc(scores, np.ones(40)) is None


def test_rank_correlation_sees_order_alone() -> None:
    assert rank_correlation([1, 2, 3, 4], [0.1, 0.2, 5.0, 900.0]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1.0)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None


def test_agreement_has_intervals_and_leaves_out_what_is_undefined() -> None:
    rng = np.random.default_rng(1)
    known = rng.random(300)
    found = agreement(known + rng.normal(0, 0.2, 300), known, seed=0)
    for figure in found.values():
        assert figure["low"] < figure["value"] < figure["high"] and figure["n"] == 300
    assert set(agreement(known, known / 4, seed=0)) == {"rank_correlation"}
