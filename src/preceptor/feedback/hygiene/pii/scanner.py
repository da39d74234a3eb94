"""Personal data in a text: what is found, and the text without it. Nothing here touches the network.

presidio loads spaCy, which loads torch and transformers wherever they are installed: 30 seconds and 390 MB a
process instead of 7 and 105, for what only models of transformers need. Where no model is asked for the two are kept
out.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from preceptor.errors import InputError

LEAST_CERTAINTY = 0.5
_HEAVY = ("torch", "transformers")
EXTRA = "needs the packages of the extra `feedback`: pip install 'preceptor[feedback]'"


@dataclass(frozen=True)
class Finding:
    """Personal data of one type in a text, from ``start`` up to ``end``."""

    type: str
    start: int
    end: int
    certainty: float


class Scanner:
    """Finds personal data in texts. Making one takes seconds: make one a process."""

    def __init__(self, model: str | None = None, recognizers: Path | None = None) -> None:
        """``model`` is an installed spaCy model or its directory; ``recognizers`` more patterns in presidio's YAML."""
        logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
        with _without(() if model else _HEAVY):
            try:
                engine = importlib.import_module("preceptor.feedback.hygiene.pii.engine")
            except ModuleNotFoundError as error:
                raise InputError(
                    f"the search for personal data {EXTRA} (or --pii off; {error.name} is missing)"
                ) from None
            self._engine = engine.build(model, recognizers)
        self._language: str = engine.LANGUAGE
        self.types = sorted(self._engine.get_supported_entities(language=self._language))

    def find(self, text: str) -> list[Finding]:
        """What is in ``text``, in order, no two overlapping: of such the more certain stays, then the longer."""
        results = self._engine.analyze(
            text, language=self._language, entities=self.types, score_threshold=LEAST_CERTAINTY
        )
        chosen: list[Finding] = []
        for one in sorted(results, key=lambda one: (-one.score, one.start - one.end, one.start, one.entity_type)):
            if all(one.end <= other.start or other.end <= one.start for other in chosen):
                chosen.append(Finding(one.entity_type, one.start, one.end, round(one.score, 2)))
        return sorted(chosen, key=lambda finding: finding.start)


def redact(text: str, findings: Iterable[Finding]) -> str:
    """``text`` with the type of each finding in its place, as in ``<PHONE_NUMBER>``."""
    parts, reached = [], 0
    for finding in findings:
        parts += [text[reached : finding.start], f"<{finding.type}>"]
        reached = finding.end
    return "".join([*parts, text[reached:]])


def installed_models() -> set[str]:
    """The names of the spaCy models that are installed."""
    return {point.name for point in importlib.metadata.entry_points(group="spacy_models")}


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """Let packages that are not loaded yet seem not to be installed."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
