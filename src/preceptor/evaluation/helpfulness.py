"""Helpfulness: blind comparison of two models' answers to the same held-out prompts (section 4.2)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from preceptor.evaluation.answers import Answer, Policy, Question
from preceptor.evaluation.judges import Judge
from preceptor.statistics import mean_with_interval, win_rate


def comparisons(policies: Sequence[str]) -> list[tuple[str, str]]:
    """Which model is held against which: sft/base, ppo/sft, ppo/base; any other policy against sft.

    Of several rounds, each policy also against that of the round before.
    """
    pairs = [("sft", "base"), ("ppo", "sft"), ("ppo", "base")]
    pairs += [(name, "sft") for name in policies if name not in ("base", "sft", "ppo")]
    rounds = [name for name in by_round(policies) if name == "ppo" or name.startswith("ppo_round_")]
    pairs += zip(rounds[1:], rounds, strict=False)
    return [(a, b) for a, b in pairs if a in policies and b in policies]


def by_round(policies: Iterable[str]) -> list[str]:
    """Names of policies, ``ppo_round_2`` before ``ppo_round_10`` and ``ppo``, the newest, behind all."""
    return sorted(policies, key=lambda name: (name == "ppo", len(name) if name.startswith("ppo_round_") else 0, name))


def win_rates(scores: Mapping[str, Sequence[float]], seed: int, resamples: int) -> dict[str, Any]:
    """``{"ppo_vs_sft": {win_rate, low, high, n}, ...}`` from each model's scores on the same prompts.

    Ties count half; the interval is a bootstrap over prompts.
    """
    return {f"{a}_vs_{b}": dict(win_rate(scores[a], scores[b], seed, resamples)) for a, b in comparisons(list(scores))}


def mean_scores(scores: Mapping[str, Sequence[float]], seed: int, resamples: int) -> dict[str, Any]:
    """``{"sft": {mean, low, high, n}, ...}``."""
    return {name: dict(mean_with_interval(values, seed, resamples)) for name, values in scores.items()}


def best_of(groups: Sequence[Sequence[Answer]], rewards: Sequence[float]) -> list[Answer]:
    """Of each prompt's answers the one that the reward model likes best (the first of equals).

    ``rewards`` has the scores of all answers, prompt after prompt.
    """
    best, start = [], 0
    for group in groups:
        here = rewards[start : start + len(group)]
        best.append(group[max(range(len(group)), key=lambda index: here[index])])
        start += len(group)
    return best


def best_base_format(
    base: Policy, formats: Sequence[str], questions: Sequence[Question], judge: Judge, *, temperature: float, seed: int
) -> tuple[str, dict[str, float]]:
    """The text format in which the base model answers best on development prompts, and each one's mean score.

    A base model continues text; to hold a chat model against it fairly it is asked in the way that
    suits it best, chosen where nobody measures (the paper's prompted GPT-3 baseline).
    """
    means: dict[str, float] = {}
    for name in formats:
        policy = Policy(base.name, base.model, base.tokenizer, base.max_new_tokens, base_format=name)
        groups = policy.answer(questions, temperature=temperature, seed=seed, part=f"format {name}")
        scores = judge.scores(questions, [group[0] for group in groups])
        means[name] = sum(scores) / len(scores)
    return max(means, key=lambda name: means[name]), means
