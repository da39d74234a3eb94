"""Who is preferred to whom, from rankings of models' outputs: by people, a judge, a reward model or a rubric.

Helpfulness as InstructGPT measures it (section 3.6: preference over a baseline), for any number of models. Shapes: P
prompts, M models, N comparisons, R bootstrap draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preceptor.errors import InputError
from preceptor.evaluation.bradley_terry import rating_rows
from preceptor.evaluation.logistic import fit
from preceptor.feedback.pairs import FIRST, TIE, pairs_from_ranks
from preceptor.feedback.schema import Ranking
from preceptor.keyed import numpy_rng
from preceptor.statistics import LEVEL, mean_with_interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """One judgement on outputs of two models, which are named by their indices, a < b."""

    prompt: str
    a: int
    b: int
    won: float  # by a: 1, 1/2 for a tie, 0
    longer: int  # characters that a's output has more than b's
    a_first: bool  # a's output was listed before b's


def preferences(rankings: Sequence[Ranking], seed: int, resamples: int = 1000) -> dict[str, Any]:
    """Win rates and ratings of the models whose outputs were ranked.

    Returns ``models``; ``prompts``, their number; ``ratings``, Bradley-Terry's, best first (:func:`rating_rows`); and
    ``pairs``, a row for each two models a, b that met:

    - ``win_rate``, ``low``, ``high``, ``n``: of a, ties as half, a bootstrap over the n prompts
    - ``ties``: share of the comparisons that were ties
    - ``length_controlled``: ``{win_rate, low, high}`` of :func:`length_controlled`
    - ``first_place``: how often the output that is listed first was preferred; .5 for a judge that favours no place

    Raises :class:`InputError` if fewer than two models are named.
    """
    names = sorted({response.model for ranking in rankings for response in ranking.responses})
    if len(names) < 2 or "" in names:
        raise InputError(f"rankings of outputs by {names}: name a model for each output, and at least two models")
    met = comparisons(rankings, names)
    pairs = []
    for a, b in combinations(range(len(names)), 2):
        here = [one for one in met if (one.a, one.b) == (a, b)]
        if here:
            pairs.append({"a": names[a], "b": names[b], **_pair(here, seed, resamples)})
    outcomes = _outcomes(met, len(names))
    ratings = rating_rows(names, outcomes, seed, resamples)
    return {"models": names, "prompts": len(outcomes), "pairs": pairs, "ratings": ratings}


def comparisons(rankings: Sequence[Ranking], names: Sequence[str]) -> list[Comparison]:
    """Every two outputs of different models in every ranking; of the models in ``names`` by their indices there."""
    index = {name: at for at, name in enumerate(names)}
    found = []
    for ranking in rankings:
        models = [index[response.model] for response in ranking.responses]
        lengths = [len(response.text) for response in ranking.responses]
        for (i, j), judgement in pairs_from_ranks(ranking.ranks).items():
            if models[i] == models[j]:
                continue
            won = 0.5 if judgement == TIE else float(judgement == FIRST)
            longer = lengths[i] - lengths[j]
            if models[i] < models[j]:
                found.append(Comparison(ranking.prompt_id, models[i], models[j], won, longer, True))
            else:
                found.append(Comparison(ranking.prompt_id, models[j], models[i], 1 - won, -longer, False))
    return found


def length_controlled(
    won_N: Floats, longer_N: Floats, prompts: Sequence[str], seed: int, resamples: int
) -> dict[str, float]:
    """``{win_rate, low, high}`` of a, had both outputs been equally long, with a bootstrap over prompts.

    log odds of a = strength + slope * tanh(longer / its standard deviation); the figure is that at longer = 0. After
    Dubois et al. 2024 (length-controlled AlpacaEval), without their term for the difficulty of an instruction.
    """
    spread = float(longer_N.std()) or 1.0
    x_N2 = np.stack([np.ones(len(won_N)), np.tanh(longer_N / spread)], axis=1)
    _, unit_N = np.unique(prompts, return_inverse=True)
    count = int(unit_N.max()) + 1
    drawn_RP = numpy_rng(seed, "length-controlled").multinomial(count, np.full(count, 1 / count), size=resamples)
    counts_RN = np.concatenate([np.ones((1, len(won_N))), drawn_RP[:, unit_N]])
    strength_R = fit(x_N2, won_N, counts_RN)[:, 0]
    rates = 1 / (1 + np.exp(-strength_R))
    low, high = np.quantile(rates[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"win_rate": float(rates[0]), "low": float(low), "high": float(high)}


def _pair(met: Sequence[Comparison], seed: int, resamples: int) -> dict[str, Any]:
    """A row of ``pairs``. Several comparisons on one prompt count as one by their mean."""
    by_prompt: dict[str, list[float]] = {}
    for one in met:
        by_prompt.setdefault(one.prompt, []).append(one.won)
    mean = mean_with_interval([sum(won) / len(won) for won in by_prompt.values()], seed, resamples)
    won_N = np.array([one.won for one in met])
    longer_N = np.array([float(one.longer) for one in met])
    first = [one.won if one.a_first else 1 - one.won for one in met]
    return {
        "win_rate": mean["mean"],
        "low": mean["low"],
        "high": mean["high"],
        "n": mean["n"],
        "ties": float((won_N == 0.5).mean()),
        "length_controlled": length_controlled(won_N, longer_N, [one.prompt for one in met], seed, resamples),
        "first_place": sum(first) / len(first),
    }


def _outcomes(met: Sequence[Comparison], models: int) -> Floats:
    """(P, M, M): how far each model was preferred to each other on each prompt, a mean over its comparisons."""
    places = {prompt: at for at, prompt in enumerate(dict.fromkeys(one.prompt for one in met))}
    wins, seen = np.zeros((2, len(places), models, models))
    for one in met:
        place = places[one.prompt]
        wins[place, one.a, one.b] += one.won
        wins[place, one.b, one.a] += 1 - one.won
        seen[place, [one.a, one.b], [one.b, one.a]] += 1
    return np.asarray(wins / np.maximum(seen, 1))
