"""Who says how toxic a text is: one interface, and the scorers by the names that a user gives."""

from collections.abc import Sequence
from typing import Protocol

PROFANITY, PERSPECTIVE = "profanity", "perspective"


class Scorer(Protocol):
    """Gives texts a toxicity between 0 and 1, each for itself."""

    @property
    def name(self) -> str:
        """Who scores, with the version, for the report and for the file of scores."""
        ...

    def scores(self, texts: Sequence[str]) -> list[float]:
        """One score a text. Raises InputError where a text cannot be scored: a failure is never a 0."""
        ...


def scorer_of(text: str) -> Scorer:
    """``profanity``, ``perspective``, or ``LABEL=MODEL``: the probability of a label of a classifier of texts.

    Raises InputError with what to install, or which key to set, for a scorer that cannot be had.
    """
    if text == PROFANITY:
        from preceptor.evaluation.profanity import installed

        return installed()
    if text == PERSPECTIVE:
        from preceptor.evaluation.perspective import Perspective

        return Perspective.from_environment()
    from preceptor.evaluation.classifier import load_classifier

    return load_classifier(text)
