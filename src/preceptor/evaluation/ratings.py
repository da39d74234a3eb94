"""What people said of single responses: the overall rating and the flags, by model (InstructGPT, 3.6 and table 3)."""

from collections.abc import Sequence
from typing import Any

from preceptor.errors import InputError
from preceptor.feedback.schema import Rating
from preceptor.statistics import mean_with_interval, share_with_interval


def rating_figures(ratings: Sequence[Rating], seed: int, resamples: int = 1000) -> dict[str, dict[str, Any]]:
    """``{model: {overall: {mean, low, high, n}, flags: {flag: {mean, low, high, n}}}}``; intervals are over prompts.

    Overall is 1 to 7, a flag's mean the share of responses that it was raised on. Several ratings on one prompt
    count as one by their mean; a flag that a rating does not answer is no answer, not a no. Flags on which nobody
    differs about a prompt get Wilson's interval, since they are often raised on none, where a bootstrap is certain.
    """
    models = sorted({rating.model for rating in ratings})
    if not all(models):
        raise InputError("a rating names no model; give each its model")
    found = {}
    for model in models:
        mine = [rating for rating in ratings if rating.model == model]
        flags = sorted({flag for rating in mine for flag in rating.flags})
        found[model] = {
            "overall": _mean([(one.prompt_id, float(one.overall)) for one in mine], seed, resamples),
            "flags": {
                flag: _share(
                    [(one.prompt_id, float(one.flags[flag])) for one in mine if flag in one.flags], seed, resamples
                )
                for flag in flags
            },
        }
    return found


def _mean(values: Sequence[tuple[str, float]], seed: int, resamples: int) -> dict[str, Any]:
    return dict(mean_with_interval(_by_prompt(values), seed, resamples))


def _share(values: Sequence[tuple[str, float]], seed: int, resamples: int) -> dict[str, Any]:
    means = _by_prompt(values)
    if not set(means) <= {0.0, 1.0}:
        return dict(mean_with_interval(means, seed, resamples))
    found = share_with_interval(means)
    return {"mean": found["share"], "low": found["low"], "high": found["high"], "n": found["n"]}


def _by_prompt(values: Sequence[tuple[str, float]]) -> list[float]:
    """The mean of the values on each prompt."""
    by_prompt: dict[str, list[float]] = {}
    for prompt, value in values:
        by_prompt.setdefault(prompt, []).append(value)
    return [sum(given) / len(given) for given in by_prompt.values()]
