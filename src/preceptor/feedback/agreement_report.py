"""All there is to say of how far labelers agree: overall, each with the others, and in each use case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from preceptor.feedback.agreement import Judged, compared, judged_twice
from preceptor.feedback.reliability import (
    Coefficient,
    Floats,
    fleiss_kappa,
    krippendorff_alpha,
    pair_units,
    rank_units,
    rating_units,
)
from preceptor.feedback.schema import Ranking, Rating
from preceptor.statistics import bootstrap_of_sums


@dataclass(frozen=True)
class Shares:
    """Pairs of responses judged alike, as `agreement` counts them, with intervals over prompts."""

    share: float | None
    low: float | None
    high: float | None
    strict_share: float | None  # among the pairs that both prefer one of
    pairs: int
    prompts: int


@dataclass(frozen=True)
class AgreementReport:
    """Agreement of the labelers."""

    overall: Shares
    by_labeler: dict[str, Shares]  # each with all the others
    by_use_case: dict[str, Shares]
    pair_kappa: Coefficient  # Fleiss
    pair_alpha: Coefficient  # Krippendorff, nominal
    rank_alpha: Coefficient  # Krippendorff, ordinal
    rating_alpha: Coefficient  # Krippendorff, ordinal


def agreement_report(
    rankings: Sequence[Ranking], ratings: Sequence[Rating], use_cases: Mapping[str, str], *, seed: int = 0
) -> AgreementReport:
    """The report over rankings and ratings that count; ``use_cases`` names that of each prompt id."""
    twice = judged_twice(rankings)
    everyone: dict[str, Judged] = {}
    of_labeler: dict[str, dict[str, Judged]] = {}
    of_case: dict[str, dict[str, Judged]] = {}
    for one, other, judged in compared(twice):
        prompt = one.prompt_id
        places = [everyone, of_case.setdefault(use_cases.get(prompt, "other"), {})]
        places += [of_labeler.setdefault(name, {}) for name in (one.labeler, other.labeler) if name]
        for place in places:
            place[prompt] = place.get(prompt, Judged()) + judged
    pairs = pair_units(twice)
    return AgreementReport(
        overall=_shares(everyone, seed),
        by_labeler={name: _shares(found, seed) for name, found in sorted(of_labeler.items())},
        by_use_case={name: _shares(found, seed) for name, found in sorted(of_case.items())},
        pair_kappa=fleiss_kappa(pairs, seed=seed),
        pair_alpha=krippendorff_alpha(pairs, "nominal", seed=seed),
        rank_alpha=krippendorff_alpha(rank_units(twice), "ordinal", seed=seed),
        rating_alpha=krippendorff_alpha(rating_units(ratings), "ordinal", seed=seed),
    )


def _shares(of_prompt: Mapping[str, Judged], seed: int) -> Shares:
    counted = [judged for judged in of_prompt.values() if judged.pairs]
    total = sum(counted, Judged())
    if not total.pairs:
        return Shares(None, None, None, None, 0, 0)
    rows = np.asarray([(judged.same, judged.pairs) for judged in counted], dtype=np.float64)
    low, high = bootstrap_of_sums(rows, _ratio, seed) or (None, None)
    strict = total.strict_same / total.strict_pairs if total.strict_pairs else None
    return Shares(total.same / total.pairs, low, high, strict, total.pairs, len(counted))


def _ratio(sums: Floats) -> float | None:
    return float(sums[0] / sums[1]) if sums[1] else None
