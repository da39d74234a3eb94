"""presidio's engine with our recognizers. Import it through :mod:`.scanner`, which knows what loads with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerRegistry, RecognizerResult
from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpEngine, NoOpNlpEngine, SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import SpacyRecognizer

from preceptor.errors import InputError
from preceptor.feedback.hygiene.pii.patterns import PATTERNS, Pattern
from preceptor.files import read_text

LANGUAGE = "en"  # presidio wants one; the patterns are of none
NAMED = ("PERSON", "LOCATION")


class PatternRecognizer(EntityRecognizer):
    """One of our patterns as presidio asks for it."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        super().__init__([pattern.type], name=f"Preceptor {pattern.type}", supported_language=LANGUAGE)

    def load(self) -> None:
        """There is nothing to load."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any) -> list[RecognizerResult]:
        """What the pattern finds."""
        return [RecognizerResult(self._pattern.type, *found) for found in self._pattern.find(text)]


class LocalSpacyEngine(SpacyNlpEngine):
    """presidio's spaCy engine, which would download a model that is missing."""

    @staticmethod
    def _download_spacy_model_if_needed(model_name: str) -> None:
        pass


def build(model: str | None, recognizers: Path | None) -> AnalyzerEngine:
    """The engine: our patterns, those of a YAML file, and a spaCy model's persons and places."""
    registry = RecognizerRegistry(recognizers=[PatternRecognizer(pattern) for pattern in PATTERNS])
    nlp: NlpEngine = NoOpNlpEngine(models=[{"lang_code": LANGUAGE, "model_name": "none"}])
    if model is not None:
        ignored = {"ORGANIZATION", "DATE_TIME", "NRP", "FAC", "PRODUCT", "EVENT", "WORK_OF_ART", "LAW", "LANGUAGE"}
        numbers = {"PERCENT", "MONEY", "QUANTITY", "ORDINAL", "CARDINAL", "MISC"}
        nlp = LocalSpacyEngine(
            models=[{"lang_code": LANGUAGE, "model_name": model}],
            ner_model_configuration=NerModelConfiguration(labels_to_ignore=sorted(ignored | numbers)),
        )
        try:
            nlp.load()
        except (OSError, ValueError, ImportError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"--names {model}: no spaCy model can be loaded from it ({reason})") from None
        registry.add_recognizer(SpacyRecognizer(supported_language=LANGUAGE, supported_entities=list(NAMED)))
    if recognizers is not None:
        _add(recognizers, registry)
    return AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=[LANGUAGE])


def _add(path: Path, registry: RecognizerRegistry) -> None:
    """Add the recognizers of a YAML file in presidio's form: a name, an entity, patterns with a score each."""
    try:
        listed = yaml.safe_load(read_text(path))["recognizers"]
        for one in listed:
            registry.add_pattern_recognizer_from_dict(one)
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: no list of presidio's recognizers ({reason}); see docs/collecting-prompts.md"
        ) from None
