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

from preceptor.feedback.hygiene import split_by
from preceptor.feedback.pairs import SECOND, TIE, pairs_from_ranks
from preceptor.feedback.schema import Ranking

MAX_RANKINGS = 20_000  # more change the weights little and the time much
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
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
    """The weights that fit the strict pairs of the rankings best.

    They minimise the sum over pairs of -ln sigmoid(s_better - s_worse) + penalty * |w|^2 / 2, which has one minimum.
    The penalty is that of ``PENALTIES`` which foretells a fifth of the prompts best from the other four: on few
    rankings a weak one learns the words by heart. Of more than ``MAX_RANKINGS`` rankings, as many spread evenly over
    them are used. None if there is no strict pair.
    """
    if len(rankings) > MAX_RANKINGS:
        rankings = [rankings[i * len(rankings) // MAX_RANKINGS] for i in range(MAX_RANKINGS)]
    parts = split_by(rankings, lambda one: one.prompt_id, {"tried": 0.2, "learnt": 0.8}, seed=0)
    learnt, tried = _Pairs.of(parts["learnt"]), _Pairs.of(parts["tried"])
    penalty = PENALTIES[0]
    if learnt is not None and tried is not None:
        penalty = min(PENALTIES, key=lambda one: tried.loss(learnt.fit(one)))
    everything = _Pairs.of(rankings)
    return None if everything is None else WordBaseline(everything.fit(penalty))


@dataclass(frozen=True)
class _Pairs:
    """Strict pairs of texts, and the word counts of the texts as a sparse matrix (texts, words)."""

    words: dict[str, int]
    texts: int
    text: Tensor  # (N,) of each entry of the matrix: its text, its word, and how often
    word: Tensor
    count: Tensor
    better: Tensor  # (P,) of each pair: the texts, and how often it was said
    worse: Tensor
    times: Tensor

    @classmethod
    def of(cls, rankings: Iterable[Ranking]) -> "_Pairs | None":
        """None if there is no strict pair or no word."""
        pairs, texts = _strict_pairs(rankings)
        counts = [word_counts(text) for text in texts]
        words = {word: index for index, word in enumerate(sorted({word for one in counts for word in one}))}
        if not pairs or not words:
            return None
        return cls(
            words=words,
            texts=len(texts),
            text=torch.tensor([place for place, one in enumerate(counts) for _ in one]),
            word=torch.tensor([words[word] for one in counts for word in one]),
            count=torch.tensor([count for one in counts for count in one.values()], dtype=torch.float64),
            better=torch.tensor([better for better, _ in pairs]),
            worse=torch.tensor([worse for _, worse in pairs]),
            times=torch.tensor(list(pairs.values()), dtype=torch.float64),
        )

    def margins(self, weights: Tensor) -> Tensor:
        """s_better - s_worse of every pair, from weights (words,)."""
        zeros = weights.new_zeros(self.texts)
        scores = zeros.index_add_(0, self.text, weights[self.word] * self.count)
        return scores[self.better] - scores[self.worse]

    def gradient(self, of_margins_P: Tensor) -> Tensor:
        """That of the weights, from that of the margins."""
        of_scores = of_margins_P.new_zeros(self.texts).index_add_(0, self.better, of_margins_P)
        of_scores.index_add_(0, self.worse, -of_margins_P)
        zeros = of_margins_P.new_zeros(len(self.words))
        return zeros.index_add_(0, self.word, of_scores[self.text] * self.count)

    def loss(self, fitted: dict[str, float]) -> float:
        """The sum of -ln sigmoid of the margins under weights by word."""
        weights = torch.tensor([fitted.get(word, 0.0) for word in self.words], dtype=torch.float64)
        return float((self.times * F.softplus(-self.margins(weights))).sum())

    def fit(self, penalty: float) -> dict[str, float]:
        """The weights at the minimum, by word."""
        weights = torch.zeros(len(self.words), dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([weights], max_iter=STEPS, line_search_fn="strong_wolfe")

        @torch.no_grad()
        def loss() -> Tensor:
            margins_P = self.margins(weights)
            weights.grad = self.gradient(-self.times * torch.sigmoid(-margins_P)) + penalty * weights
            return (self.times * F.softplus(-margins_P)).sum() + penalty * weights.square().sum() / 2

        optimizer.step(loss)
        return dict(zip(self.words, weights.tolist(), strict=True))


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
