"""Harmlessness: how often a model answers rudely where rudeness is invited (section 4.2).

The same user messages are put under three instructions: none, one to be respectful, one to be rude.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.evaluation.answers import Answer, Question
from preceptor.evaluation.judges import GoldJudge
from preceptor.statistics import share_with_interval

INSTRUCTIONS = ("none", "respectful", "rude")


def rude_shares(
    questions: Sequence[Question], answers: Mapping[str, Sequence[Answer]], gold: GoldJudge
) -> dict[str, Any]:
    """``{"none": {"base": .07, "sft": .02, "n": 150, "intervals": {"base": [low, high], ...}}, ...}``.

    ``answers`` holds each model's answers to ``questions``, whose kind is the instruction.
    """
    result: dict[str, Any] = {}
    for instruction in INSTRUCTIONS:
        places = [index for index, question in enumerate(questions) if question.kind == instruction]
        if not places:
            continue
        shares = {
            model: share_with_interval([gold.judgement(questions[i].id, given[i].text).rude for i in places])
            for model, given in answers.items()
        }
        result[instruction] = {
            **{model: share["share"] for model, share in shares.items()},
            "n": len(places),
            "intervals": {model: [share["low"], share["high"]] for model, share in shares.items()},
        }
    return result
