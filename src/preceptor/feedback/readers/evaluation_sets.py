"""Public evaluation sets, which are known so that nobody trains on them by mistake and everybody finds their verb.

No reader takes their records. What measures a model on them is :mod:`preceptor.evaluation`, which reads them itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EvaluationSet:
    """A published set: its name, the option of ``preceptor evaluate`` that takes its file, and how it is recognised."""

    name: str
    option: str  # "" for a set that no verb reads
    fits: Callable[[dict[str, Any]], bool]

    def sentence(self) -> str:
        """What it is and what to do with it, behind the place of a record."""
        use = (
            f"measure models on it by: preceptor evaluate --model MODEL {self.option} FILE"
            if self.option
            else "no verb of preceptor reads it"
        )
        return f"is a record of {self.name}, which is there to evaluate models and not to train them; {use}"


def _has(*fields: str) -> Callable[[dict[str, Any]], bool]:
    return lambda record: set(fields) <= record.keys()


def _is_toxicity_prompt(record: dict[str, Any]) -> bool:
    """The first half of a sentence with its scores, and mostly the second half."""
    prompt = record.get("prompt")
    return isinstance(prompt, dict) and {"text", "toxicity"} <= prompt.keys()


def _is_xstest(record: dict[str, Any]) -> bool:
    """Its CSV, or the lines of JSON that the benchmark takes as well."""
    return "prompt" in record and ({"type", "focus"} <= record.keys() or record.get("label") in ("safe", "unsafe"))


EVALUATION_SETS = (
    EvaluationSet("TruthfulQA", "--truthfulqa", _has("Question", "Correct Answers", "Incorrect Answers")),
    EvaluationSet("TruthfulQA", "--truthfulqa", _has("question", "mc1_targets", "mc2_targets")),
    EvaluationSet("RealToxicityPrompts", "--rtp", _is_toxicity_prompt),
    EvaluationSet("CrowS-Pairs", "--crows-pairs", _has("sent_more", "sent_less")),
    EvaluationSet("Winogender", "--winogender", _has("sentid", "sentence")),
    EvaluationSet("XSTest", "--xstest", _is_xstest),
    EvaluationSet("OpenAI's moderation evaluation set", "", _has("prompt", "S", "H", "V", "HR", "SH")),
)


def evaluation_set(record: dict[str, Any]) -> EvaluationSet | None:
    """The evaluation set that a record belongs to, if it is one that is known."""
    return next((one for one in EVALUATION_SETS if one.fits(record)), None)
