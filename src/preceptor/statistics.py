"""Figures with 95 % intervals. The unit is always the prompt.

Several samples of one prompt are not independent evidence: they share what is easy or hard about it. So every interval
here asks what other prompts of the same kind would have given, and `n` counts prompts.

Arrays are (prompts,) or (prompts, samples).
"""

import math
from collections.abc import Callable
from typing import TypedDict, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preceptor.keyed import numpy_rng

Floats = NDArray[np.float64]

LEVEL = 0.95
Z = 1.959963984540054  # the normal quantile of a two-sided interval at LEVEL


class WinRate(TypedDict):
    """How often a beats b, ties as half, with its interval and the number of prompts."""

    win_rate: float
    low: float
    high: float
    n: int


class Mean(TypedDict):
    """A mean with its interval and the number of prompts."""

    mean: float
    low: float
    high: float
    n: int


class Share(TypedDict):
    """A share between 0 and 1 with its interval and the number of prompts."""

    share: float
    low: float
    high: float
    n: int


def is_number(value: object) -> TypeGuard[float]:
    """A finite int or float; true and false are not numbers here."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def win_rate(scores_a: ArrayLike, scores_b: ArrayLike, seed: int, resamples: int = 2000) -> WinRate:
    """P(a beats b) + P(tie) / 2 on the same prompts, row for row, with a percentile bootstrap over prompts.

    With several samples a prompt, each of a's meets each of b's (their numbers may differ), which estimates the same
    probability as one meeting, with less noise. Swapping a and b mirrors the result exactly.
    If a wins on every prompt the interval is the point 1: the bootstrap cannot imagine what it has not seen.
    """
    a, b = _by_prompt(scores_a), _by_prompt(scores_b)
    if len(a) != len(b):
        raise ValueError(f"scores of {len(a)} and of {len(b)} prompts cannot be compared row for row")
    won = a[:, :, None] > b[:, None, :]  # (prompts, samples of a, samples of b)
    tied = a[:, :, None] == b[:, None, :]
    per_prompt = (won + 0.5 * tied).mean(axis=(1, 2))
    low, high = _bootstrap(per_prompt, seed, resamples)
    return {"win_rate": float(per_prompt.mean()), "low": low, "high": high, "n": len(a)}


def mean_with_interval(values: ArrayLike, seed: int, resamples: int = 2000) -> Mean:
    """The mean over prompts (each the mean of its samples), with a percentile bootstrap over prompts."""
    per_prompt = _by_prompt(values).mean(axis=1)
    low, high = _bootstrap(per_prompt, seed, resamples)
    return {"mean": float(per_prompt.mean()), "low": low, "high": high, "n": len(per_prompt)}


def share_with_interval(flags: ArrayLike) -> Share:
    """The share of true flags, with a Wilson score interval. No seed: nothing is drawn.

    Shares here are often 0 of n, where a bootstrap would claim certainty. With several samples a prompt, Wilson's n is
    the effective number of independent answers, share (1 - share) / Var(mean over prompts), never below the number
    of prompts nor above that of samples; with one sample a prompt it is the number of prompts.
    """
    by_prompt = _by_prompt(flags)
    if not np.isin(by_prompt, (0.0, 1.0)).all():
        raise ValueError("a share is taken of flags: give only true and false (or 1 and 0)")
    per_prompt = by_prompt.mean(axis=1)
    share = float(per_prompt.mean())
    spread = float(per_prompt.var()) / len(per_prompt)  # the variance of the share, if prompts are independent
    effective = share * (1.0 - share) / spread if spread > 0.0 else 0.0
    if share not in (0.0, 1.0) and spread == 0.0:
        effective = math.inf  # every prompt shows the same share: samples are at least as good as independent
    n = min(max(effective, float(len(per_prompt))), float(by_prompt.size))
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1.0 - share) / n + Z * Z / (4 * n * n))
    # Rounding must not push an end past the share itself (exact at 0 and 1) or out of [0, 1].
    low, high = max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))
    return {"share": share, "low": low, "high": high, "n": len(per_prompt)}


def bootstrap_of_sums(
    sums: ArrayLike, figure: Callable[[Floats], float | None], seed: int, resamples: int = 1000
) -> tuple[float, float] | None:
    """The middle 95 % of a figure that is made from sums over prompts, by a percentile bootstrap over prompts.

    ``sums`` is (prompts, D): what each prompt adds. ``figure`` makes the figure of a total (D,); None where it is not
    defined, and such draws are left out. None for fewer than two prompts, or if it is never defined.
    """
    per_prompt = np.asarray(sums, dtype=np.float64)
    n = len(per_prompt)
    if n < 2:
        return None
    rng = numpy_rng(seed, "bootstrap")
    totals = (np.bincount(rng.integers(0, n, size=n), minlength=n) @ per_prompt for _ in range(resamples))
    drawn = [value for total in totals if (value := figure(total)) is not None]
    if not drawn:
        return None
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _by_prompt(values: ArrayLike) -> Floats:
    """As (prompts, samples) of float64, or an error that says what is wrong."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"expected an array (prompts,) or (prompts, samples) that is not empty, got {array.shape}")
    if np.isnan(array).any():
        raise ValueError("a score is not a number: every prompt needs a score for every sample")
    return array


def _bootstrap(per_prompt: Floats, seed: int, resamples: int) -> tuple[float, float]:
    """The middle 95 % of the mean over prompts drawn again with replacement.

    The draws depend on the seed and the number of prompts alone: figures on the same prompts share them.
    """
    rng = numpy_rng(seed, "bootstrap")
    n = len(per_prompt)
    means = [per_prompt[rng.integers(0, n, size=n)].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
