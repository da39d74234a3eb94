"""Which held-out prompts the report shows: a fixed rule, so that nobody can pick the nice ones."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.reporting.read import Row
from preceptor.statistics import is_number

SPREAD = 10  # prompts spread over the kinds
EXTREMES = 5  # prompts where the newest model gains most, and as many where it loses most


@dataclass(frozen=True)
class Example:
    """One prompt with an answer of each model."""

    prompt_id: str
    kind: str
    why: str
    messages: list[Row]
    answers: list[Row]  # one a model: model, text, gold, reward, finished


def rule(models: Sequence[str], judge: str) -> str:
    """The rule in words, for the page."""
    if len(models) < 2:
        return f"The first {SPREAD} prompts, taken from each kind in turn, in the order of their ids."
    new, old = models[-1], models[-2]
    return (
        f"{SPREAD} prompts taken from each kind in turn, in the order of their ids; then, of all others, the "
        f"{EXTREMES} where {new} gains most over {old} by the {judge} and the {EXTREMES} where it loses most (ties in "
        f"the order of ids). Each answer is the first sample at the headline temperature; nothing was drawn again."
    )


def choose(rows: list[Row], models: Sequence[str], score: str) -> list[Example]:
    """Apply the rule to the rows of responses.jsonl of the helpfulness part.

    ``models``: the models to show, oldest first; ``score``: the key, "gold" or "reward", that says
    who gains. A prompt that one of them did not answer is left out.
    """
    answers: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        if row.get("part") == "helpfulness" and row.get("model") in models:
            answers[row["prompt_id"]].setdefault(row["model"], row)
    complete = {key: value for key, value in answers.items() if all(model in value for model in models)}
    why = dict.fromkeys(_spread(complete, SPREAD), "spread over kinds")
    if len(models) > 1:
        rest = [key for key in sorted(complete) if key not in why]
        gains = {key: gain for key in rest if (gain := _gain(complete[key], models, score)) is not None}
        losers = sorted(gains, key=lambda key: gains[key])[:EXTREMES]
        winners = sorted((key for key in gains if key not in losers), key=lambda key: -gains[key])[:EXTREMES]
        why |= dict.fromkeys(winners, "gains most") | dict.fromkeys(losers, "loses most")
    return [_example(key, complete[key], models, reason) for key, reason in why.items()]


def _spread(answers: dict[str, dict[str, Row]], count: int) -> list[str]:
    """Ids taken from each kind in turn (kinds by name, ids in order)."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for key in sorted(answers):
        kinds[_kind(answers[key])].append(key)
    turns = [ids[turn] for turn in range(count) for _, ids in sorted(kinds.items()) if turn < len(ids)]
    return turns[:count]


def _kind(by_model: dict[str, Row]) -> str:
    return str(next(iter(by_model.values())).get("kind") or "other")


def _gain(by_model: dict[str, Row], models: Sequence[str], score: str) -> float | None:
    new, old = (by_model[model].get(score) for model in (models[-1], models[-2]))
    return new - old if is_number(new) and is_number(old) else None


def _example(key: str, by_model: dict[str, Row], models: Sequence[str], why: str) -> Example:
    first = by_model[models[0]]
    messages: list[dict[str, Any]] = [
        {"role": str(message.get("role", "")), "content": str(message.get("content", ""))}
        for message in first.get("messages", [])
    ]
    return Example(key, _kind(by_model), why, messages, [by_model[model] for model in models])
