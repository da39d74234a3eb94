"""The scorer that needs no network: alt-profanity-check's linear model of words, of which we read the weights alone.

A bag of words, weighted by tf-idf, goes through several linear classifiers; the probabilities of their calibrations are
averaged. The package itself is never imported: it would unpickle its files, and those pin a version of scikit-learn.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preceptor.errors import InputError
from preceptor.evaluation.joblib_data import number, read_joblib

PACKAGE = "alt-profanity-check"
Floats = NDArray[np.float64]

# How the vectorizer must have been made for the arithmetic below to be its own.
_MADE = {"analyzer": "word", "lowercase": True, "norm": "l2", "use_idf": True, "sublinear_tf": False, "binary": False}
_MADE |= {"ngram_range": (1, 1), "strip_accents": None, "preprocessor": None, "tokenizer": None}


@dataclass(frozen=True)
class ProfanityScorer:
    """The weights. Shapes: V words, C classifiers."""

    name: str
    token: re.Pattern[str]
    words: Mapping[str, int]
    idf: Floats  # (V,)
    coef: Floats  # (C, V)
    intercept: Floats  # (C,)
    slope: Floats  # (C,), of the calibration
    offset: Floats  # (C,), likewise

    def scores(self, texts: Sequence[str]) -> list[float]:
        """The probability that a text is offensive; a text without a word that the model knows gets its prior."""
        return [self._score(text) for text in texts]

    def _score(self, text: str) -> float:
        counts = Counter(self.words[word] for word in self.token.findall(text.lower()) if word in self.words)
        columns = list(counts)
        x = np.array([counts[column] for column in columns], dtype=np.float64) * self.idf[columns]
        x /= np.linalg.norm(x) or 1.0
        decision_C = self.coef[:, columns] @ x + self.intercept
        return float((1.0 / (1.0 + np.exp(self.slope * decision_C + self.offset))).mean())


def installed() -> ProfanityScorer:
    """The scorer of the package that is installed; InputError if there is none, or one of another make."""
    try:
        found = distribution(PACKAGE)
    except PackageNotFoundError:
        raise InputError(f"the toxicity scorer needs {PACKAGE}; pip install 'preceptor[evaluation]'") from None
    data = Path(str(found.locate_file("profanity_check/data")))
    try:
        return read_scorer(data, f"{PACKAGE} {found.version}")
    except (KeyError, TypeError, AttributeError, IndexError):
        raise InputError(f"{PACKAGE} {found.version}: its model is made in another way; install version 1.9") from None


def read_scorer(data: Path, name: str) -> ProfanityScorer:
    """The scorer in ``vectorizer.joblib`` and ``model.joblib``."""
    vectorizer, model = read_joblib(data / "vectorizer.joblib"), read_joblib(data / "model.joblib")
    if any(vectorizer[key] != value for key, value in _MADE.items()):
        raise KeyError("vectorizer")
    members: list[Any] = model["calibrated_classifiers_"]
    linear = [member["estimator"] for member in members]
    calibrators = [member["calibrators"][0] for member in members]
    return ProfanityScorer(
        name=name,
        token=re.compile(vectorizer["token_pattern"]),
        words=vectorizer["vocabulary_"],
        idf=vectorizer["_tfidf"]["idf_"].array,
        coef=np.concatenate([one["coef_"].array for one in linear]),
        intercept=np.concatenate([one["intercept_"].array for one in linear]),
        slope=np.array([number(one["a_"]) for one in calibrators]),
        offset=np.array([number(one["b_"]) for one in calibrators]),
    )
