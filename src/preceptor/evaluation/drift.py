"""How far a policy went from the SFT model on prompts nobody trained on, and what it gained.

A gain that the reward model sees and a second one, fitted to other rankings, does not, or one that comes with ever
longer answers, is over-optimisation (Gao et al. 2022, arXiv 2210.10760; Singhal et al. 2023, arXiv 2310.03716, for
length).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preceptor.evaluation.reward_accuracy import pooled_share
from preceptor.statistics import mean_with_interval


def drifts(
    rewards: Mapping[str, Sequence[float]],
    checks: Mapping[str, Sequence[float]],
    lengths: Mapping[str, Sequence[int]],
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """Every policy against ``sft``, all on the same prompts: a value a prompt, by model.

    ``{"ppo": {"reward_gain", "check_gain": {mean, low, high, n, deviations}, "length_ratio": {ratio, low, high, n}}}``.
    ``deviations`` is the mean gain in standard deviations of the SFT model's own scores; ``length_ratio`` is mean
    tokens over mean tokens. ``checks`` is empty without a second reward model.
    """
    result: dict[str, Any] = {}
    for name in (name for name in rewards if name not in ("base", "sft")):
        own: dict[str, Any] = {"reward_gain": _gain(rewards[name], rewards["sft"], seed, resamples)}
        if checks:
            own["check_gain"] = _gain(checks[name], checks["sft"], seed, resamples)
        ratio = pooled_share(list(zip(lengths[name], lengths["sft"], strict=True)), seed, resamples, None)
        if ratio is not None:
            own["length_ratio"] = {"ratio": ratio["value"], **{key: ratio[key] for key in ("low", "high", "n")}}
        result[name] = own
    return result


def _gain(new: Sequence[float], old: Sequence[float], seed: int, resamples: int) -> dict[str, Any]:
    """The mean difference on the same prompts with its interval."""
    figures = dict(mean_with_interval(np.subtract(new, old), seed, resamples))
    spread = float(np.std(old))
    return figures | {"deviations": figures["mean"] / spread if spread > 0 else None}  # type: ignore[operator]
