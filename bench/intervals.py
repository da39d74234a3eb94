"""How often the 95 % intervals hold the truth in simulated studies: means, shares, win rates, Bradley-Terry ratings.

    python bench/intervals.py [studies] [prompts]

Every study draws its prompts anew; asked are 93 to 97 %. One standard error of a figure is sqrt(.95 * .05 / studies).
"""

import sys

import numpy as np

from preceptor.evaluation.bradley_terry import rating_rows
from preceptor.statistics import mean_with_interval, share_with_interval, win_rate

TRUTH = np.array([-0.8, -0.2, 0.3, 0.7])
NAMES = [str(at) for at in range(len(TRUTH))]
RESAMPLES = 1000


def main(studies: int = 1000, prompts: int = 200) -> None:
    """Print one line a kind of interval."""
    chance = 1 / (1 + np.exp(TRUTH[None, :] - TRUTH[:, None]))
    rng = np.random.default_rng(0)
    held: dict[str, list[bool]] = {"win rate": [], "share": [], "mean": [], "Bradley-Terry rating": []}
    for study in range(studies):
        won = np.triu(rng.random((prompts, len(TRUTH), len(TRUTH))) < chance, k=1)
        outcomes = won + np.swapaxes(np.triu(~won, k=1), 1, 2)
        a = outcomes[:, 3, 0]
        rate = win_rate(a, 1 - a, study, RESAMPLES)
        held["win rate"].append(rate["low"] <= chance[3, 0] <= rate["high"])
        share = share_with_interval(a)
        held["share"].append(share["low"] <= chance[3, 0] <= share["high"])
        mean = mean_with_interval(rng.exponential(size=prompts), study, RESAMPLES)
        held["mean"].append(mean["low"] <= 1.0 <= mean["high"])
        rows = rating_rows(NAMES, outcomes, study, RESAMPLES)
        held["Bradley-Terry rating"] += [row["low"] <= TRUTH[int(row["model"])] <= row["high"] for row in rows]
    for name, flags in held.items():
        print(
            f"{name}: the 95 % interval holds the truth in {np.mean(flags):.1%} "
            f"of {studies} studies of {prompts} prompts"
        )


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
