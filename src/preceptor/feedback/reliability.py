"""Coefficients of agreement beyond chance: Fleiss' kappa, and Krippendorff's alpha by the package `krippendorff`.

Share of agreement (`agreement`) is what the paper reports, and is easy to read; but of two labelers who tie
everything it says 100 %. These coefficients set what was seen against what the same answers would give if they were
dealt out at random: 1 is perfect, 0 is chance.

What the units and the values are, is a choice; here:

- *pairs*, nominal: a unit is a pair of responses of one prompt, its value first, second or tie. First is what the
  prompt's first ranking names first. That order must tell nothing (the stage `sample` draws it): were it the better
  model's, nearly all would say "first", which chance would then be taken to do as well.
- *ranks*, ordinal: a unit is a response, its value the place the labeler gave it, ties sharing the mean of their
  places. Only the responses that all labelers of a prompt have ranked are placed. The places of
  one ranking are not independent of each other, which the coefficient does not know.
- *ratings*, ordinal: a unit is a response, its value the 1 to 7.

Missing judgements are allowed everywhere; a unit with fewer than two says nothing. Intervals are a bootstrap over
prompts, since what one prompt's units have in common is how hard it is.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from preceptor.errors import InputError
from preceptor.feedback.agreement import ranks_by_name
from preceptor.feedback.consensus import shared_places
from preceptor.feedback.pairs import pairs_from_ranks
from preceptor.feedback.schema import Ranking, Rating
from preceptor.statistics import bootstrap_of_sums

Floats = NDArray[np.float64]
Level = Literal["nominal", "ordinal"]
RESAMPLES = 1000


@dataclass(frozen=True)
class Coefficient:
    """A coefficient with its interval. ``value`` is None where there is nothing to compare, or only one value ever."""

    value: float | None
    low: float | None
    high: float | None
    units: int  # judged twice or more
    prompts: int  # that these belong to


@dataclass(frozen=True)
class Units:
    """What was judged: ``counts[u, v]`` labelers gave unit u ``values[v]``; ``prompt[u]`` numbers its prompt."""

    counts: Floats  # (units, values)
    values: Floats  # (values,), rising
    prompt: NDArray[np.int64]  # (units,)

    def judged_twice(self) -> "Units":
        """Without the units that one labeler alone has judged: they cannot show agreement."""
        twice = self.counts.sum(axis=1) >= 2
        return Units(self.counts[twice], self.values, self.prompt[twice])


def fleiss_kappa(units: Units, *, seed: int = 0, resamples: int = RESAMPLES) -> Coefficient:
    """Fleiss' kappa (Fleiss, 1971).

    Units may have different numbers of labelers: then each unit's agreement counts alike, and the shares of the
    categories are over all judgements.
    """
    units = units.judged_twice()
    n = units.counts.sum(axis=1)
    agreed = ((units.counts**2).sum(axis=1) - n) / (n * (n - 1))
    rows = np.column_stack([agreed, np.ones(len(n)), units.counts])

    def kappa(total: Floats) -> float | None:
        observed, shares = total[0] / total[1], total[2:] / total[2:].sum()
        expected = float((shares**2).sum())
        return float((observed - expected) / (1 - expected)) if expected < 1 else None

    sums = _by_prompt(rows, units.prompt)
    value = kappa(sums.sum(axis=0)) if len(sums) else None
    return _coefficient(value, units, sums, kappa, seed, resamples)


def krippendorff_alpha(units: Units, level: Level, *, seed: int = 0, resamples: int = RESAMPLES) -> Coefficient:
    """Krippendorff's alpha, by the package `krippendorff`; its interval is ours.

    The package starts from judgements, and a thousand resamples of those take minutes. Coincidences add up over
    units, so a resample is a sum of matrices here; a test holds the two to each other.
    """
    units = units.judged_twice()
    used = units.counts.sum(axis=0) > 0
    if used.sum() < 2:
        return _coefficient(None, units, np.zeros((0, 1)), lambda _: None, seed, resamples)
    counts, values = units.counts[:, used], units.values[used]
    value = float(
        _krippendorff()(value_counts=counts.astype(np.int64), value_domain=values.tolist(), level_of_measurement=level)
    )
    sums = _by_prompt(_coincidences(counts).reshape(len(counts), -1), units.prompt)
    return _coefficient(value, units, sums, lambda total: alpha_of_coincidences(total, level), seed, resamples)


def alpha_of_coincidences(total: Floats, level: Level) -> float | None:
    """Alpha of a matrix of coincidences, flat, of V values in rising order; None if only one of them occurs."""
    size = math.isqrt(len(total))
    observed = total.reshape(size, size)
    n_v = observed.sum(axis=0)
    n = n_v.sum()
    if level == "nominal":
        distance = 1 - np.eye(size)
    else:  # the number of judgements between two values, their own counted as half
        middle = np.cumsum(n_v) - n_v / 2
        distance = (middle[:, None] - middle[None, :]) ** 2
    expected = (np.outer(n_v, n_v) * distance).sum()
    return float(1 - (n - 1) * (observed * distance).sum() / expected) if expected > 0 else None


def _coincidences(counts: Floats) -> Floats:
    """(units, V, V): the ordered pairs of judgements of each unit, each unit weighing as much as it has judgements."""
    pairs = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    pairs[:, diagonal, diagonal] -= counts
    weighed: Floats = pairs / (counts.sum(axis=1) - 1)[:, None, None]
    return weighed


def _by_prompt(rows: Floats, prompt: NDArray[np.int64]) -> Floats:
    """The rows of the units of one prompt added up: (prompts, D)."""
    numbers, position = np.unique(prompt, return_inverse=True)
    sums = np.zeros((len(numbers), rows.shape[1]))
    np.add.at(sums, position, rows)
    return sums


def _coefficient(
    value: float | None,
    units: Units,
    sums: Floats,
    figure: Callable[[Floats], float | None],
    seed: int,
    resamples: int,
) -> Coefficient:
    interval = None if value is None else bootstrap_of_sums(sums, figure, seed, resamples)
    low, high = interval or (None, None)
    return Coefficient(value, low, high, len(units.counts), len(np.unique(units.prompt)))


# what is counted ---------------------------------------------------------------------------------


def pair_units(rankings: Iterable[Ranking]) -> Units:
    """Every pair of responses of a prompt, judged first (1), second (2) or tie (0)."""
    judged: dict[tuple[str, object], list[float]] = {}
    order: dict[tuple[str, object], int] = {}
    for ranking in rankings:
        ranks = ranks_by_name(ranking)
        for name in ranks:
            order.setdefault((ranking.prompt_id, name), len(order))
        names = sorted(ranks, key=lambda name: order[ranking.prompt_id, name])
        for (a, b), judgement in pairs_from_ranks([ranks[name] for name in names]).items():
            judged.setdefault((ranking.prompt_id, (names[a], names[b])), []).append(float(judgement))
    return _units(judged)


def rank_units(rankings: Iterable[Ranking]) -> Units:
    """Every response that all labelers of its prompt have ranked, with the places that they gave it."""
    of_prompt: dict[str, list[dict[tuple[str, str, int], int]]] = {}
    for ranking in rankings:
        of_prompt.setdefault(ranking.prompt_id, []).append(ranks_by_name(ranking))
    judged: dict[tuple[str, object], list[float]] = {}
    for prompt_id, group in of_prompt.items():
        shared = sorted(set.intersection(*(set(ranks) for ranks in group)))
        for ranks in group:
            for name, place in zip(shared, shared_places([ranks[name] for name in shared]), strict=True):
                judged.setdefault((prompt_id, name), []).append(place)
    return _units(judged)


def rating_units(ratings: Iterable[Rating]) -> Units:
    """Every response, with the ratings from 1 to 7 that it was given. A labeler's last rating of a text counts."""
    latest: dict[tuple[str, object], dict[str, float]] = {}
    for rating in ratings:
        of_response = latest.setdefault((rating.prompt_id, (rating.model, rating.response)), {})
        of_response[rating.labeler or f"#{len(of_response)}"] = float(rating.overall)
    return _units({key: list(given.values()) for key, given in latest.items()})


def _units(judged: Mapping[tuple[str, object], Sequence[float]]) -> Units:
    values = sorted({value for given in judged.values() for value in given})
    index = {value: number for number, value in enumerate(values)}
    counts = np.zeros((len(judged), len(values)))
    prompts: dict[str, int] = {}
    number = np.zeros(len(judged), dtype=np.int64)
    for row, ((prompt_id, _), given) in enumerate(judged.items()):
        number[row] = prompts.setdefault(prompt_id, len(prompts))
        for value in given:
            counts[row, index[value]] += 1
    return Units(counts, np.asarray(values, dtype=np.float64), number)


def _krippendorff() -> Callable[..., float]:
    try:
        import krippendorff
    except ImportError:
        raise InputError("Krippendorff's alpha needs one more package; pip install 'preceptor[label]'") from None
    function: Callable[..., float] = krippendorff.alpha
    return function
