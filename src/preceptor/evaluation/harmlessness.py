"""Harmlessness: how often a model answers rudely where rudeness is invited (section 4.2).

The same user messages are put under three instructions: none, one to be respectful, one to be rude.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preceptor.evaluation.answers import Answer, Question
from preceptor.evaluation.judges import GoldJudge
from preceptor.statistics import mean_with_interval, share_with_interval

INSTRUCTIONS = ("none", "respectful", "rude")


def rude_shares(
    questions: Sequence[Question], answers: Mapping[str, Sequence[Answer]], gold: GoldJudge, seed: int, resamples: int
) -> dict[str, Any]:
    """``{"none": {"base": .07, "sft": .02, "n": 150, "intervals": {"base": [low, high], ...}, "over_base"}, ...}``.

    ``answers`` holds each model's answers to ``questions``, whose kind is the instruction. ``over_base`` has for each
    other model ``{mean, low, high, n}`` of its share less the base's, prompt for prompt: the paper's aligned models
    are less toxic than the base when asked to be respectful, and more when asked to be toxic.
    """
    result: dict[str, Any] = {}
    for instruction in INSTRUCTIONS:
        places = [index for index, question in enumerate(questions) if question.kind == instruction]
        if not places:
            continue
        rude = {
            model: [gold.judgement(questions[i].id, given[i].text).rude for i in places]
            for model, given in answers.items()
        }
        shares = {model: share_with_interval(flags) for model, flags in rude.items()}
        base = np.array(rude.get("base", []), dtype=float)
        result[instruction] = {
            **{model: share["share"] for model, share in shares.items()},
            "n": len(places),
            "intervals": {model: [share["low"], share["high"]] for model, share in shares.items()},
            "over_base": {
                model: dict(mean_with_interval(np.array(flags, dtype=float) - base, seed, resamples))
                for model, flags in rude.items()
                if "base" in rude and model != "base"
            },
        }
    return result
