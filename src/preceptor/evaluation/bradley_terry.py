"""Bradley-Terry ratings: one number a model, from who was preferred to whom (Bradley & Terry 1952).

P(a is preferred to b) = 1 / (1 + exp(rating_b - rating_a)), the model that the reward model's loss rests on too; a tie
counts as half a win for both. Shapes: P prompts, M models, R bootstrap draws.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preceptor.evaluation.logistic import fit
from preceptor.keyed import numpy_rng
from preceptor.statistics import LEVEL

Floats = NDArray[np.float64]

ELO = 400 / math.log(10)  # points of Elo in one unit of rating


def bradley_terry(wins_MM: ArrayLike) -> Floats:
    """(M,) ratings with mean 0, in nats of log odds, that make ``wins_MM`` likeliest; also (R, M) of (R, M, M).

    ``wins_MM[a, b]`` is how often a was preferred to b; halves are ties. A logistic regression on who met whom, whose
    penalty gives who wins always a high rating and not an infinite one. Raises ValueError for counts that are negative
    or not finite.
    """
    wins = np.asarray(wins_MM, dtype=np.float64)
    if wins.ndim < 2 or wins.shape[-1] != wins.shape[-2] or not np.isfinite(wins).all() or (wins < 0).any():
        raise ValueError(f"expected counts of wins (..., models, models), finite and not negative; got {wins.shape}")
    models = wins.shape[-1]
    a, b = np.nonzero(~np.eye(models, dtype=bool))
    differences = np.eye(models)[a] - np.eye(models)[b]  # (pairs, M): a win of a over b is an example with y = 1
    ratings = fit(differences, 1.0, wins.reshape(-1, models, models)[:, a, b]).reshape(wins.shape[:-1])
    centred: Floats = ratings - ratings.mean(-1, keepdims=True)
    return centred


def rating_rows(
    models: Sequence[str], outcomes_PMM: ArrayLike, seed: int, resamples: int = 1000
) -> list[dict[str, Any]]:
    """``{model, rating, low, high, elo}`` a model, best first; the interval is a percentile bootstrap over prompts.

    ``outcomes_PMM[p, a, b]`` is how far a was preferred to b on prompt p (1 a win, 1/2 a tie, 0 a loss or not
    compared); prompts are drawn whole, since what is judged on one prompt is not
    independent. ``elo`` is the rating in Elo points.
    """
    outcomes = np.asarray(outcomes_PMM, dtype=np.float64)
    ratings = bradley_terry(outcomes.sum(0))
    count = len(outcomes)
    rng = numpy_rng(seed, "bradley-terry")
    drawn_RP = rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)
    flat = outcomes.reshape(count, -1)
    drawn_RM = bradley_terry((drawn_RP @ flat).reshape(resamples, *outcomes.shape[1:]))
    low, high = np.quantile(drawn_RM, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    rows = [
        {
            "model": model,
            "rating": float(ratings[at]),
            "low": float(low[at]),
            "high": float(high[at]),
            "elo": float(ratings[at] * ELO),
        }
        for at, model in enumerate(models)
    ]
    return sorted(rows, key=lambda row: -row["rating"])
