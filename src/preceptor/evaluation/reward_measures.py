"""The reward model on comparisons it was not trained on: fresh ones in the built-in world, given ones otherwise."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preceptor.atlas.raters import SimulatedLabeler, labelers
from preceptor.evaluation.answers import Answer, Policy, Question
from preceptor.evaluation.judges import GoldJudge
from preceptor.evaluation.reward_accuracy import Accuracy, gold_accuracy, labeler_agreement, ranking_accuracy
from preceptor.evaluation.scoring import reward_scores
from preceptor.feedback.schema import Ranking
from preceptor.files import read_jsonl
from preceptor.keyed import numpy_rng
from preceptor.models.heads import ScalarModel
from preceptor.text.conversation import Message, render
from preceptor.text.tokenizer import Tokenizer


def on_the_world(
    model: ScalarModel,
    policies: Sequence[Policy],
    questions: Sequence[Question],
    gold: GoldJudge,
    *,
    samples: int,
    seed: int,
    resamples: int,
) -> tuple[dict[str, Any], dict[str, list[list[Answer]]]]:
    """Sample answers, have two simulated labelers rank each prompt's, and compare everyone with everyone.

    ``policies`` should be those that the reward model's own comparisons came from. Of equal texts one is
    kept: they are no comparison. Gives the figures and each policy's answers (lists as long as ``questions``).
    """
    drawn = {
        policy.name: policy.answer(questions, temperature=1.0, seed=seed, part="reward", samples=samples)
        for policy in policies
    }
    asked, groups = [], []
    for index, question in enumerate(questions):
        different = {answer.text: answer for groups_of in drawn.values() for answer in groups_of[index]}
        if len(different) > 1:
            asked.append(question)
            groups.append(list(different.values()))
    flat = reward_scores(model, [answer for group in groups for answer in group])
    scores = _nested(flat, groups)
    golden = [gold.scores([question] * len(group), group) for question, group in zip(asked, groups, strict=True)]
    first, second = _ranks_of_two(asked, groups, gold, seed)
    lengths = [[float(len(answer.ids)) for answer in group] for group in groups]
    prompts = [question.id for question in asked]

    def with_labelers(values: list[list[float]]) -> Accuracy | None:
        return ranking_accuracy(values * 2, first + second, seed, resamples, prompts * 2)

    figures = {
        "heldout_accuracy": with_labelers(scores),
        "gold_accuracy": gold_accuracy(scores, golden, seed, resamples),
        "gold_on_labels": with_labelers(golden),
        "labeler_agreement": labeler_agreement(first, second, seed, resamples),
        "longer_wins": with_labelers(lengths),
    }
    return _table(figures), drawn


def _ranks_of_two(
    questions: Sequence[Question], groups: Sequence[Sequence[Answer]], gold: GoldJudge, seed: int
) -> tuple[list[list[int]], list[list[int]]]:
    """The ranks that two different labelers give each prompt's answers, drawn from the world's pool."""
    pool = labelers(gold.world.config, gold.world.seed)
    first, second = [], []
    for question, group in zip(questions, groups, strict=True):
        pair = numpy_rng(seed, "evaluate", "labelers", question.id).choice(len(pool), size=2, replace=False)
        texts = [answer.text for answer in group]
        one, other = (_rank(pool[index], gold, question, texts, seed) for index in pair)
        first.append(one)
        second.append(other)
    return first, second


def _rank(labeler: SimulatedLabeler, gold: GoldJudge, question: Question, texts: Sequence[str], seed: int) -> list[int]:
    return labeler.rank(gold.world, gold.tasks[question.id], texts, seed, "evaluate", question.id)


def on_rankings(
    model: ScalarModel,
    tokenizer: Tokenizer,
    paths: Sequence[Path],
    heldout_ids: set[str],
    *,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """Accuracy on given rankings of prompts that were held out, and what "longer wins" scores there.

    Where two labelers ranked the same responses, their agreement is measured too. Without a
    strict comparison on a held-out prompt nothing is known, and the result is empty.
    """
    rankings = [one for path in paths for one in read_jsonl(path, Ranking) if one.prompt_id in heldout_ids]
    answers = [_answers(tokenizer, one, model.trunk.config.max_position_embeddings) for one in rankings]
    scores = _nested(reward_scores(model, [answer for group in answers for answer in group]), answers)
    ranks, prompts = [one.ranks for one in rankings], [one.prompt_id for one in rankings]
    lengths = [[float(len(answer.text.split())) for answer in group] for group in answers]
    return _table(
        {
            "heldout_accuracy": ranking_accuracy(scores, ranks, seed, resamples, prompts),
            "longer_wins": ranking_accuracy(lengths, ranks, seed, resamples, prompts),
            "labeler_agreement": _agreement(rankings, seed, resamples),
        }
    )


def _answers(tokenizer: Tokenizer, ranking: Ranking, context: int) -> list[Answer]:
    """The responses of a ranking as the reward model reads them: one rendered whole, end token included."""
    answers = []
    for response in ranking.responses:
        turns = [*ranking.messages, Message(role="assistant", content=response.text)]
        answers.append(Answer(response.text, [], list(render(tokenizer, turns, context).ids), True))
    return answers


def _agreement(rankings: Sequence[Ranking], seed: int, resamples: int) -> Accuracy | None:
    """Agreement of every two labelers who ranked the same responses to a prompt, shown in the same order."""
    compared: list[tuple[Ranking, Ranking]] = []
    shown: dict[tuple[str, ...], list[Ranking]] = {}
    for one in rankings:
        group = shown.setdefault((one.prompt_id, *(response.text for response in one.responses)), [])
        compared += [(other, one) for other in group if one.labeler != other.labeler]
        group.append(one)
    first, second = [a.ranks for a, _ in compared], [b.ranks for _, b in compared]
    return labeler_agreement(first, second, seed, resamples, [a.prompt_id for a, _ in compared])


def _nested(flat: Sequence[float], groups: Sequence[Sequence[Answer]]) -> list[list[float]]:
    values = iter(flat)
    return [[next(values) for _ in group] for group in groups]


def _table(figures: Mapping[str, Accuracy | None]) -> dict[str, Any]:
    """``{"heldout_accuracy": .72, ..., "details": {"heldout_accuracy": {value, low, high, n, pairs}, ...}}``."""
    known = {name: figure for name, figure in figures.items() if figure is not None}
    return (
        {
            **{name: figure["value"] for name, figure in known.items()},
            "details": {name: dict(figure) for name, figure in known.items()},
        }
        if known
        else {}
    )
