"""The section about the rounds: which rows and charts there are, in which order, from which figures."""

from typing import Any

import pytest

from preceptor.evaluation.helpfulness import by_round, comparisons
from preceptor.reporting.read import RunRecord
from preceptor.reporting.rounds import section


def record(rounds: int, *, gold: bool = True, probes: bool = True) -> RunRecord:
    """A run of several rounds, of which each is a little better than the one before."""
    names = [*(f"ppo_round_{number}" for number in range(1, rounds)), "ppo"]
    share = {name: 0.5 + 0.01 * place for place, name in enumerate(["sft", *names])}
    win = {
        f"{a}_vs_{b}": {"win_rate": share[a] - share[b] + 0.5, "low": 0.4, "high": 0.7, "n": 100}
        for a, b in comparisons(["sft", *names])
    }
    scores = {
        name: {"mean": value, "low": value - 0.05, "high": value + 0.05, "n": 100} for name, value in share.items()
    }
    evaluation: dict[str, Any] = {
        "judge": "gold" if gold else "reward model",
        "helpfulness": win,
        "reward_score": scores,
        "kl": {name: {"mean": 0.7, "low": 0.6, "high": 0.8, "n": 100} for name in names},
        "mean_length": dict.fromkeys(["base", "sft", *names], 10.0),
    }
    if gold:
        evaluation["gold"] = scores
    if probes:
        evaluation["truthfulness"] = {name: {"invented": {"false": 0.1, "n": 50}} for name in share}
        evaluation["harmlessness"] = {"none": {**dict.fromkeys(share, 0.02), "n": 50}}
    learnt = {"sample": {"prompts": 600}, "rank": {"rankings": 2400}, "reward": {"heldout_accuracy": 0.65}}
    told = [learnt, *([learnt | {"given": {"prompts": 570, "rankings": 12}}] * (rounds - 1))]
    return RunRecord("run", "", {}, {"rounds": told}, evaluation)


def test_each_round_stands_beside_sft_and_the_round_before() -> None:
    shown = section(record(3))
    results, given = shown["results"], shown["given"]
    assert [row[0] for row in results.rows] == ["SFT", "round 1", "round 2", "round 3"]
    columns = list(zip(*results.rows, strict=True))
    over = dict(zip(results.head, columns, strict=True))
    assert over["over SFT"] == ("–", *(f"{value} % [40.0, 70.0]" for value in ("51.0", "52.0", "53.0")))
    assert over["over the round before"] == ("–", "–", "51.0 % [40.0, 70.0]", "51.0 % [40.0, 70.0]")
    assert over["invented names: false"] == ("10.0 %",) * 4
    assert "known facts: true" not in over, "which was not measured"
    assert [row[1:5] for row in given.rows] == [["–", "600", "2,400", "–"], *[["570", "600", "2,400", "12"]] * 2]
    first, second = (str(chart) for chart in shown["charts"])
    assert "Preferred over SFT, ties as half: –, 51.0 %, 52.0 %, 53.0 %" in first
    assert "False claims about invented names" in second and "Rude answers" in second


def test_without_gold_the_reward_model_says_how_good() -> None:
    shown = section(record(2, gold=False, probes=False))
    assert "reward-model score" in shown["results"].head
    assert "Rude" not in str(shown["charts"][1])


@pytest.mark.parametrize("rounds", [1, 0])
def test_one_round_needs_no_section(rounds: int) -> None:
    one = record(1)
    assert section(one if rounds else RunRecord("run", "", {}, {}, {})) == {}


def test_the_tenth_round_comes_behind_the_second() -> None:
    names = ["ppo", "ppo_round_10", "ppo_round_2", "other"]
    assert by_round(names) == ["other", "ppo_round_2", "ppo_round_10", "ppo"]
    assert comparisons(names)[-2:] == [("ppo_round_10", "ppo_round_2"), ("ppo", "ppo_round_10")]
