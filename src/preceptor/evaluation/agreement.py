"""How far a scorer agrees with published scores of the same texts: rank correlation, and AUC at a threshold."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preceptor.keyed import numpy_rng
from preceptor.statistics import LEVEL

Floats = NDArray[np.float64]
RESAMPLES = 300
TOXIC = 0.5


def ranks(values: ArrayLike) -> Floats:
    """The ranks from 1 on, (N,); equal values share the mean of theirs."""
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    found: Floats = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return found


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float | None:
    """Spearman's: the correlation of the ranks. None where all values of one are equal."""
    a, b = ranks(one), ranks(other)
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def auc(scores: ArrayLike, labels: ArrayLike) -> float | None:
    """The chance that a true item scores higher than a false one, ties as half. None without both kinds."""
    true = np.asarray(labels, dtype=bool)
    positive, negative = int(true.sum()), int((~true).sum())
    if not positive or not negative:
        return None
    return float((ranks(scores)[true].sum() - positive * (positive + 1) / 2) / (positive * negative))


def agreement(scores: ArrayLike, published: ArrayLike, seed: int) -> dict[str, dict[str, Any]]:
    """``{"rank_correlation": {"value", "low", "high", "n"}, "auc": {...}}``, 95 % by a bootstrap over texts.

    ``auc`` asks whether the scores tell texts apart that are published as toxic, .5 or more. A figure that is not
    defined for these texts is left out.
    """
    given, known = np.asarray(scores, dtype=np.float64), np.asarray(published, dtype=np.float64)
    figures: dict[str, Callable[[Floats, Floats], float | None]] = {
        "rank_correlation": rank_correlation,
        "auc": lambda a, b: auc(a, b >= TOXIC),
    }
    found = {}
    for name, figure in figures.items():
        value = figure(given, known)
        if value is None:
            continue
        rng = numpy_rng(seed, "bootstrap")
        draws = (rng.integers(0, len(given), size=len(given)) for _ in range(RESAMPLES))
        drawn = [one for rows in draws if (one := figure(given[rows], known[rows])) is not None]
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        found[name] = {"value": value, "low": float(low), "high": float(high), "n": len(given)}
    return found
