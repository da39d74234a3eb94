"""Bradley-Terry ratings: one number a model, from who was preferred to whom (Bradley & Terry 1952).

P(a is preferred to b) = 1 / (1 + exp(rating_b - rating_a)), the model that the reward model's loss rests on too; a tie
counts as half a win for both. Shapes: P prompts, M models, R bootstrap draws.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preceptor.keyed import numpy_rng
from preceptor.statistics import LEVEL

Floats = NDArray[np.float64]

PENALTY = 1e-3  # times the sum of squared ratings: who wins always gets a high rating, not an infinite one
ELO = 400 / math.log(10)  # points of Elo in one unit of rating
STEPS, TOLERANCE = 100, 1e-10


def bradley_terry(wins_MM: ArrayLike) -> Floats:
    """(M,) ratings with mean 0, in nats of log odds, that make ``wins_MM`` likeliest; also (R, M) of (R, M, M).

    ``wins_MM[a, b]`` is how often a was preferred to b; halves are ties. By Newton's method on the log-likelihood minus
    ``PENALTY`` times the sum of squared ratings. Raises ValueError for counts that are negative or not finite.
    """
    wins = np.asarray(wins_MM, dtype=np.float64)
    if wins.ndim < 2 or wins.shape[-1] != wins.shape[-2] or not np.isfinite(wins).all() or (wins < 0).any():
        raise ValueError(f"expected counts of wins (..., models, models), finite and not negative; got {wins.shape}")
    models = wins.shape[-1]
    met = wins + np.swapaxes(wins, -1, -2)
    met[..., np.arange(models), np.arange(models)] = 0.0
    ratings = np.zeros(wins.shape[:-1])
    ridge = 2 * PENALTY * np.eye(models)
    for _ in range(STEPS):
        expected = 1 / (1 + np.exp(ratings[..., None, :] - ratings[..., :, None]))  # P(a beats b)
        gradient = (wins * (1 - expected) - np.swapaxes(wins, -1, -2) * expected).sum(-1) - 2 * PENALTY * ratings
        weights = met * expected * (1 - expected)
        curvature = weights.sum(-1)[..., None] * np.eye(models) - weights + ridge
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        ratings = ratings + np.clip(step, -1.0, 1.0)  # from afar Newton's step may overshoot
        if np.abs(step).max() < TOLERANCE:
            break
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
