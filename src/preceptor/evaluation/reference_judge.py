"""A local judge of truth: is an answer more like the true or like the false answers that a question is published with?

Logistic regression on what an answer says (words and pairs of words: a false answer is bolder) and on how alike it is
to the question's true and false answers (cosine of character n-grams, rare ones weighing more). It is fitted to
judgements of answers (:mod:`preceptor.evaluation.judge_data`), or to the published answers themselves, each held
against the others of its question, and its accuracy is measured on questions that it was not fitted to. It is coarse:
its accuracy stands beside every figure it makes.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch.nn import functional as F

from preceptor.evaluation.judge_data import Judged
from preceptor.keyed import key_bits
from preceptor.statistics import Mean, mean_with_interval

FOLDS = 5
PENALTY = 2.0  # of the squared weights; chosen by the accuracy on other questions
LIKENESS = 3.0  # the scale of likeness beside the flags of words, which the penalty shrinks alike
STEPS = 60
N_GRAMS = (3, 4, 5)

Features = dict[str, float]
Vector = dict[str, float]


@dataclass(frozen=True)
class References:
    """A question with answers that are known to be true and false."""

    question: str
    true: list[str]
    false: list[str]


class ReferenceJudge:
    """Fitted to judged answers; :attr:`accuracy` is that on answers to questions left out of the fit.

    Without ``judged`` the published answers are what it learns from: the true are "yes", the false "no". With it
    the published ones are what the judged are held against, and a question need not be among them.
    """

    def __init__(self, questions: Sequence[References], seed: int, judged: Sequence[Judged] | None = None) -> None:
        self._questions = {one.question: one for one in questions}
        grams = [_grams(text) for one in questions for text in (*one.true, *one.false)]
        self._known = Counter(gram for one in grams for gram in one)
        self._count = len(grams)
        self._vectors: dict[str, Vector] = {}
        given = _published(questions) if judged is None else judged
        numbers = {question: n for n, question in enumerate(dict.fromkeys(one.question for one in given))}
        examples = [
            (numbers[one.question], self._features(self._references(one.question), one.answer, alone=True), one.yes)
            for one in given
        ]
        self._weights = _fit([(features, label) for _, features, label in examples])
        self._examples, self._seed = examples, seed

    @cached_property
    def accuracy(self) -> Mean:
        """The share of judged answers told rightly, by five fits that each leave a fifth of the questions out.

        The interval is over questions, since answers to one are alike.
        """
        right: dict[int, list[float]] = {}
        folds = {number: key_bits(self._seed, "judge", number) % FOLDS for number, _, _ in self._examples}
        for fold in range(FOLDS):
            weights = _fit([(features, label) for number, features, label in self._examples if folds[number] != fold])
            for number, features, label in self._examples:
                if folds[number] == fold:
                    right.setdefault(number, []).append(float((_score(weights, features) > 0) == label))
        return mean_with_interval([sum(one) / len(one) for one in right.values()], self._seed)

    def says_yes(self, question: str, answer: str) -> bool:
        """Whether an answer is likelier a "yes" than a "no"."""
        return _score(self._weights, self._features(self._references(question), answer)) > 0

    def _references(self, question: str) -> References:
        return self._questions.get(question) or References(question, [], [])

    def _features(self, one: References, text: str, *, alone: bool = False) -> Features:
        """``alone``: a text that is one of the references is held against the others only, not against itself."""
        words = _words(text)
        pairs = [" ".join(pair) for pair in pairwise(words)]
        found = {f"word {word}": 1.0 for word in (*words, *pairs)}
        found |= {f"first {start}": 1.0 for start in (" ".join(words[:1]), " ".join(words[:2]))}
        means = []
        for name, references in (("true", one.true), ("false", one.false)):
            others = [other for other in references if not (alone and other == text)]
            alike = sorted((_cosine(self._vector(text), self._vector(other)) for other in others), reverse=True) or [
                0.0
            ]
            found[f"most {name}"] = LIKENESS * alike[0]
            means.append((alike[0], sum(alike[:3]) / len(alike[:3]), sum(alike) / len(alike)))
        for name, true, false in zip(("most", "three", "all"), *means, strict=True):
            found[f"difference of {name}"] = LIKENESS * (true - false)
        found["question"] = LIKENESS * _cosine(self._vector(text), self._vector(one.question))
        found["length"] = LIKENESS * len(words) / 10
        found["always"] = 1.0
        return found

    def _vector(self, text: str) -> Vector:
        """Character n-grams by how often they stand there and how rare they are, of length 1."""
        if text not in self._vectors:
            weights = {
                gram: (1 + math.log(count)) * math.log(self._count / self._known[gram])
                for gram, count in _grams(text).items()
                if gram in self._known
            }
            norm = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
            self._vectors[text] = {gram: weight / norm for gram, weight in weights.items()}
        return self._vectors[text]


def _published(questions: Sequence[References]) -> list[Judged]:
    return [
        Judged(one.question, text, yes)
        for one in questions
        for yes, texts in ((True, one.true), (False, one.false))
        for text in texts
    ]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _grams(text: str) -> Counter[str]:
    text = f" {' '.join(_words(text))} "
    return Counter(text[i : i + n] for n in N_GRAMS for i in range(len(text) - n + 1))


def _cosine(a: Vector, b: Vector) -> float:
    if len(a) > len(b):
        a, b = b, a
    return sum(weight * b.get(gram, 0.0) for gram, weight in a.items())


def _score(weights: Mapping[str, float], features: Features) -> float:
    return sum(weights.get(name, 0.0) * value for name, value in features.items())


def _fit(examples: Sequence[tuple[Features, bool]]) -> dict[str, float]:
    """The weights of logistic regression with a penalty; features that occur once are left out."""
    counts = Counter(name for features, _ in examples for name in features)
    columns = {name: i for i, name in enumerate(sorted(name for name, count in counts.items() if count > 1))}
    kept = [[(columns[name], value) for name, value in one.items() if name in columns] for one, _ in examples]
    rows = torch.tensor([row for row, one in enumerate(kept) for _ in one])
    places = torch.tensor([place for one in kept for place, _ in one])
    values = torch.tensor([value for one in kept for _, value in one], dtype=torch.float64)
    labels_N = torch.tensor([float(label) for _, label in examples], dtype=torch.float64)
    weights = torch.zeros(len(columns), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=STEPS, line_search_fn="strong_wolfe")

    @torch.no_grad()
    def loss() -> torch.Tensor:
        scores_N = torch.zeros_like(labels_N).index_add_(0, rows, weights[places] * values)
        errors_N = torch.sigmoid(scores_N) - labels_N
        weights.grad = torch.zeros_like(weights).index_add_(0, places, errors_N[rows] * values) + PENALTY * weights
        total = F.binary_cross_entropy_with_logits(scores_N, labels_N, reduction="sum")
        return total + PENALTY * weights.square().sum() / 2

    optimizer.step(loss)
    return dict(zip(columns, weights.tolist(), strict=True))
