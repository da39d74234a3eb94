"""The reward model on comparisons it was not trained on: fresh ones in the built-in world, given ones otherwise.

Beside it on the same pairs: "the longer wins", and a weight for every word (word_baseline.py) fitted to the
training rankings of the same source. Beside these the agreement of the labelers, wherever two judged the same pair.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from preceptor.atlas.raters import SimulatedLabeler, labelers
from preceptor.evaluation.answers import Answer, Policy, Question
from preceptor.evaluation.calibration import calibration
from preceptor.evaluation.judges import GoldJudge
from preceptor.evaluation.reward_accuracy import (
    Accuracy,
    accuracy_gain,
    gold_accuracy,
    labeler_agreement,
    ranking_accuracy,
)
from preceptor.evaluation.scoring import reward_scores
from preceptor.evaluation.word_baseline import fit_word_baseline
from preceptor.feedback.schema import Ranking, Response
from preceptor.keyed import numpy_rng
from preceptor.models.heads import ScalarModel
from preceptor.text.conversation import render_replies
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.scoring import grouped_scores

Scores = Sequence[Sequence[float]]  # one list a ranking, one score a response


def on_the_world(
    model: ScalarModel,
    policies: Sequence[Policy],
    questions: Sequence[Question],
    gold: GoldJudge,
    *,
    trained: Sequence[Ranking],
    samples: int,
    seed: int,
    resamples: int,
) -> tuple[dict[str, Any], dict[str, list[list[Answer]]]]:
    """Sample answers, have two simulated labelers rank each prompt's, and compare everyone with everyone.

    ``policies`` should be those that the reward model's own comparisons came from, ``trained`` are those comparisons.
    Of equal texts one is kept: they are no comparison. Gives the figures and each policy's answers (lists as long as
    ``questions``).
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
    rankings = _rankings_of_two(asked, groups, gold, seed)
    lengths = [[float(len(answer.ids)) for answer in group] for group in groups]
    figures = _beside_rules(rankings, scores * 2, lengths * 2, _word_scores(rankings, trained), seed, resamples)
    figures |= _agreements(rankings, seed, resamples) | {
        "gold_accuracy": gold_accuracy(scores, golden, seed, resamples),
        "gold_on_labels": _accuracy(golden * 2, rankings, seed, resamples),
    }
    return _table(figures) | _calibrated(rankings, scores * 2, seed, resamples), drawn


def on_rankings(
    model: ScalarModel,
    tokenizer: Tokenizer,
    rankings: Sequence[Ranking],
    *,
    trained: Sequence[Ranking],
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """Figures on given rankings that no model has learnt from, all together and, under ``sources``, of each source.

    ``trained`` are rankings that were learnt from; the word baseline is fitted to them, and they tell, with the
    others, how far labelers agree. Without a strict comparison nothing is known, and the result is empty.
    """
    read = [_read(tokenizer, one, model.trunk.context) for one in rankings]
    # What several labelers ranked is scored once, and the prompt once for all of its responses.
    distinct = list(dict.fromkeys(tuple(sorted(set(group))) for group in read))
    flat = grouped_scores(model, distinct, tokenizer.pad_id).tolist()
    score_of = dict(zip(chain.from_iterable(distinct), flat, strict=True))
    scores = [[score_of[ids] for ids in group] for group in read]
    lengths = [[float(len(response.text.split())) for response in one.responses] for one in rankings]
    words = _word_scores(rankings, trained)

    def of(source: str | None) -> dict[str, Any]:
        own = [index for index, one in enumerate(rankings) if source in (None, one.source)]
        chosen, stated = [rankings[index] for index in own], [scores[index] for index in own]
        long = [lengths[index] for index in own]
        worded = None if words is None else [words[index] for index in own]
        figures = _beside_rules(chosen, stated, long, worded, seed, resamples)
        # No model has a part in agreement, so rankings that were learnt from tell as much of it.
        everyone = [*chosen, *(one for one in trained if source in (None, one.source))]
        figures |= _agreements(everyone, seed, resamples)
        return _table(figures) | _calibrated(chosen, stated, seed, resamples)

    whole = of(None)
    sources = {name: of(name) for name in sorted({one.source for one in rankings})}
    return whole | ({"sources": sources} if whole and set(sources) != {""} else {})


def _beside_rules(
    rankings: Sequence[Ranking], scores: Scores, lengths: Scores, words: Scores | None, seed: int, resamples: int
) -> dict[str, Accuracy | None]:
    """The reward model, the rules, and its lead over each of them."""
    prompts, ranks = [one.prompt_id for one in rankings], [one.ranks for one in rankings]
    figures = {"heldout_accuracy": _accuracy(scores, rankings, seed, resamples)}
    for rule, lead, values in (
        ("longer_wins", "over_longer", lengths),
        ("bag_of_words", "over_bag_of_words", words),
    ):
        if values is not None:
            figures[rule] = _accuracy(values, rankings, seed, resamples)
            figures[lead] = accuracy_gain(scores, values, ranks, seed, resamples, prompts)
    return figures


def _agreements(rankings: Sequence[Ranking], seed: int, resamples: int) -> dict[str, Accuracy | None]:
    return {
        "labeler_agreement": labeler_agreement(rankings, seed, resamples),
        "labeler_agreement_strict": labeler_agreement(rankings, seed, resamples, strict=True),
    }


def _accuracy(scores: Scores, rankings: Sequence[Ranking], seed: int, resamples: int) -> Accuracy | None:
    return ranking_accuracy(
        scores, [one.ranks for one in rankings], seed, resamples, [one.prompt_id for one in rankings]
    )


def _word_scores(rankings: Sequence[Ranking], trained: Sequence[Ranking]) -> list[list[float]] | None:
    """The word baseline's scores, each ranking's by the weights of its own source; None if there is nothing to fit."""
    of_source: dict[str, list[Ranking]] = {}
    for one in trained:
        of_source.setdefault(one.source, []).append(one)
    fitted = {source: fit_word_baseline(rows) for source, rows in of_source.items()}
    known = {source: baseline for source, baseline in fitted.items() if baseline is not None}
    missing = {one.source for one in rankings} - known.keys()
    if missing:
        anything = fit_word_baseline(trained)
        if anything is None:
            return None
        known |= dict.fromkeys(missing, anything)
    return [[known[one.source].score(response.text) for response in one.responses] for one in rankings]


def _calibrated(rankings: Sequence[Ranking], scores: Scores, seed: int, resamples: int) -> dict[str, Any]:
    figures = calibration(scores, [one.ranks for one in rankings], seed, resamples, [one.prompt_id for one in rankings])
    return {} if figures is None else {"calibration": figures}


def _rankings_of_two(
    questions: Sequence[Question], groups: Sequence[Sequence[Answer]], gold: GoldJudge, seed: int
) -> list[Ranking]:
    """Each prompt's answers as two different labelers rank them, drawn from the world's pool: all of the first, then
    all of the second ones."""
    pool = labelers(gold.world.config, gold.world.seed)
    first, second = [], []
    for question, group in zip(questions, groups, strict=True):
        pair = numpy_rng(seed, "evaluate", "labelers", question.id).choice(len(pool), size=2, replace=False)
        texts = [answer.text for answer in group]
        one, other = (_rank(pool[index], gold, question, texts, seed) for index in pair)
        first.append(one)
        second.append(other)
    return first + second


def _rank(labeler: SimulatedLabeler, gold: GoldJudge, question: Question, texts: Sequence[str], seed: int) -> Ranking:
    return Ranking(
        prompt_id=question.id,
        messages=list(question.messages),
        responses=[Response(text=text) for text in texts],
        ranks=labeler.rank(gold.world, gold.tasks[question.id], texts, seed, "evaluate", question.id),
        labeler=labeler.name,
    )


def _read(tokenizer: Tokenizer, ranking: Ranking, context: int) -> list[tuple[int, ...]]:
    """The responses of a ranking with their prompt as the reward model reads them: rendered whole, with its end."""
    texts = [response.text for response in ranking.responses]
    return [tuple(one.ids) for one in render_replies(tokenizer, ranking.messages, texts, context)]


def _nested(flat: Sequence[float], groups: Sequence[Sequence[Answer]]) -> list[list[float]]:
    values = iter(flat)
    return [[next(values) for _ in group] for group in groups]


def _table(figures: Mapping[str, Accuracy | None]) -> dict[str, Any]:
    """``{"heldout_accuracy": .72, ..., "details": {"heldout_accuracy": {value, low, high, n, pairs}, ...}}``."""
    known = {name: figure for name, figure in figures.items() if figure is not None}
    if "heldout_accuracy" not in known:
        return {}
    return {
        **{name: figure["value"] for name, figure in known.items()},
        "details": {name: dict(figure) for name, figure in known.items()},
    }
