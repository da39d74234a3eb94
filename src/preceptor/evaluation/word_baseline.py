"""What a reward model must beat to have understood anything: a weight for every word.

Logistic regression on pairs: P(i preferred to j) = sigmoid(w . (counts of words in i - counts of words in j)). Since
that is sigmoid(s_i - s_j) with s = w . counts, it is a reward model too, and is compared like one. Words it never saw
count nothing.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from preceptor.feedback.pairs import SECOND, TIE, pairs_from_ranks
from preceptor.feedback.schema import Ranking

MAX_RANKINGS = 20_000  # more change the weights little and the time much
STEPS = 60  # of L-BFGS, each with up to two looks at all pairs


@dataclass(frozen=True)
class WordBaseline:
    """A weight a word."""

    weights: dict[str, float]

    def score(self, text: str) -> float:
        """The sum of the weights of a text's words, each as often as it stands there."""
        return sum(self.weights.get(word, 0.0) * count for word, count in word_counts(text).items())


def word_counts(text: str) -> Counter[str]:
    """How often each word occurs, without regard to case."""
    return Counter(re.findall(r"\w+", text.casefold()))


def fit_word_baseline(rankings: Sequence[Ranking]) -> WordBaseline | None:
    """The weights that fit the strict pairs of the rankings best, under a Gaussian prior N(0, 1) on each.

    Minimises the sum over pairs of -ln sigmoid(s_better - s_worse) + |w|^2 / 2, which has one minimum. Of more than
    ``MAX_RANKINGS`` rankings, as many spread evenly over them are used. None if there is no strict pair.
    """
    if len(rankings) > MAX_RANKINGS:
        rankings = [rankings[i * len(rankings) // MAX_RANKINGS] for i in range(MAX_RANKINGS)]
    pairs, texts = _strict_pairs(rankings)
    counts = [word_counts(text) for text in texts]
    words = {word: index for index, word in enumerate(sorted({word for one in counts for word in one}))}
    if not pairs or not words:
        return None
    better, worse = (torch.tensor(side) for side in zip(*pairs, strict=True))
    times = torch.tensor(list(pairs.values()), dtype=torch.float64)
    weights = _fit(_Bags(counts, words), better, worse, times)
    return WordBaseline(dict(zip(words, weights.tolist(), strict=True)))


def _strict_pairs(rankings: Iterable[Ranking]) -> tuple[Counter[tuple[int, int]], list[str]]:
    """(better, worse) and how often it was said, as places in the list of texts."""
    places: dict[str, int] = {}
    pairs: Counter[tuple[int, int]] = Counter()
    for ranking in rankings:
        own = [places.setdefault(response.text, len(places)) for response in ranking.responses]
        for (a, b), judgement in pairs_from_ranks(ranking.ranks).items():
            if judgement != TIE:
                pairs[(own[b], own[a]) if judgement == SECOND else (own[a], own[b])] += 1
    return pairs, list(places)


class _Bags:
    """Word counts of texts, as a sparse matrix (texts, words)."""

    def __init__(self, counts: Sequence[Counter[str]], words: dict[str, int]):
        self.texts, self.words = len(counts), len(words)
        self.text_N = torch.tensor([place for place, one in enumerate(counts) for _ in one])
        self.word_N = torch.tensor([words[word] for one in counts for word in one])
        self.count_N = torch.tensor([count for one in counts for count in one.values()], dtype=torch.float64)

    def scores(self, weights: Tensor) -> Tensor:
        """(texts,)"""
        zeros = weights.new_zeros(self.texts)
        return zeros.index_add_(0, self.text_N, weights[self.word_N] * self.count_N)

    def gradient(self, of_scores: Tensor) -> Tensor:
        """(words,), from the gradient of the scores."""
        zeros = of_scores.new_zeros(self.words)
        return zeros.index_add_(0, self.word_N, of_scores[self.text_N] * self.count_N)


def _fit(bags: _Bags, better: Tensor, worse: Tensor, times: Tensor) -> Tensor:
    """Weights (words,), float64."""
    weights = torch.zeros(bags.words, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=STEPS, line_search_fn="strong_wolfe")

    @torch.no_grad()
    def loss() -> Tensor:
        scores = bags.scores(weights)
        margins = scores[better] - scores[worse]
        of_margins = -times * torch.sigmoid(-margins)
        of_scores = torch.zeros_like(scores).index_add_(0, better, of_margins).index_add_(0, worse, -of_margins)
        weights.grad = bags.gradient(of_scores) + weights
        return (times * F.softplus(-margins)).sum() + weights.square().sum() / 2

    optimizer.step(loss)
    return weights.detach()
