"""The language of a text, by py3langid: naive Bayes on byte n-grams, 97 languages, a model of 4 MB inside."""

from typing import Any

from preceptor.errors import InputError
from preceptor.feedback.hygiene.pii.scanner import EXTRA

LOOKED_AT = 1000  # characters of a text
LEAST_LETTERS = 3
UNKNOWN = "und"  # a text without words, as "2 + 2 = ?": ISO 639 says so


class Languages:
    """Tells languages by their ISO 639 codes."""

    def __init__(self) -> None:
        try:
            from py3langid.langid import MODEL_FILE, LanguageIdentifier
        except ImportError:
            raise InputError(f"the language filter {EXTRA}") from None
        self._identifier: Any = LanguageIdentifier.from_model_file(MODEL_FILE)
        self.known = frozenset(self._identifier.labels)

    def of(self, text: str) -> str:
        """The language that ``text`` is most likely in, or ``und`` if it has hardly a letter."""
        text = text[:LOOKED_AT]
        if sum(map(str.isalpha, text)) < LEAST_LETTERS:
            return UNKNOWN
        language: str = self._identifier.classify(text)[0]
        return language
