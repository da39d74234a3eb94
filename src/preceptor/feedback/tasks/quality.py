"""What reviewers and admins look at: agreement, habits, honeypots, disagreement, throughput."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from preceptor.feedback.agreement import share_alike
from preceptor.feedback.agreement_report import AgreementReport, agreement_report
from preceptor.feedback.bias import Bias, Shown, length_bias, position_bias
from preceptor.feedback.consensus import Consensus, consensus_of_all
from preceptor.feedback.schema import Response
from preceptor.feedback.screening import Score, ranking_agreement
from preceptor.feedback.store import Store
from preceptor.feedback.store.current import is_current
from preceptor.feedback.store.errors import InvalidError
from preceptor.feedback.store.judged import Judged, read_rankings, read_ratings
from preceptor.feedback.store.tables import Item, ItemResponse, Judgement, Person, Queue, StoredResponse
from preceptor.feedback.tasks.queueing import queue as overview
from preceptor.text.conversation import Message


@dataclass(frozen=True)
class Habits:
    """How often a labeler ranks best what she was shown first, and what is longest."""

    first_shown: Bias
    longest: Bias


@dataclass(frozen=True)
class Disagreement:
    """An item on which labelers differ, for a reviewer to read side by side."""

    item: int
    prompt_id: str
    messages: list[Message]
    responses: list[Response]
    judgements: list[Judged]  # each with a rank for each of the responses, in their order
    consensus: Consensus
    agreement: float  # share of pairs that two labelers judged alike


@dataclass(frozen=True)
class Throughput:
    """What a labeler got done."""

    name: str
    kind: str
    done: int
    seconds_median: float | None
    last: datetime | None


def agreement_of(store: Store, *, queue: str | None = None, seed: int = 0) -> AgreementReport:
    """Agreement over what counts now, of one queue or of all."""
    judged = list(read_rankings(store, queue=queue))
    judged += read_rankings(store, queue=queue, kind="comparison")
    cases = {one.ranking.prompt_id: one.kind for one in judged}
    ratings = [rating for rating, _ in read_ratings(store, queue=queue)]
    return agreement_report([one.ranking for one in judged], ratings, cases, seed=seed)


def habits(store: Store, *, queue: str | None = None, seed: int = 0) -> dict[str, Habits]:
    """The habits of each labeler, by name."""
    shown: dict[str, list[Shown]] = {}
    for judged in read_rankings(store, queue=queue):
        if judged.item is not None:  # a file does not say what was shown where
            shown.setdefault(judged.ranking.labeler, []).append(as_shown(judged))
    return {
        name: Habits(position_bias(rows, seed=seed), length_bias(rows, seed=seed))
        for name, rows in sorted(shown.items())
    }


def as_shown(judged: Judged) -> Shown:
    """A ranking in the order it was shown in, a card each."""
    cards = {
        place: (rank, len(response.text))
        for place, rank, response in zip(judged.places, judged.ranking.ranks, judged.ranking.responses, strict=True)
    }
    ordered = [cards[place] for place in sorted(cards)]
    return Shown(tuple(rank for rank, _ in ordered), tuple(length for _, length in ordered))


def honeypots(store: Store, *, queue: str | None = None) -> dict[str, Score]:
    """How each labeler did on the items whose answers are known: the share of pairs that she ordered right."""
    met: dict[str, list[tuple[list[int], list[int]]]] = {}
    for kind in ("ranking", "comparison"):
        for judged in read_rankings(store, queue=queue, kind=kind, honeypots=True):
            if judged.known is not None:
                met.setdefault(judged.ranking.labeler, []).append((judged.ranking.ranks, judged.known))
    scores = {name: ranking_agreement(pairs) for name, pairs in sorted(met.items())}
    return {name: score for name, score in scores.items() if score is not None}


def disagreements(store: Store, queue: str, *, limit: int = 50) -> list[Disagreement]:
    """The items of a queue that two labelers or more have judged, most disagreement first."""
    kind = overview(store, queue).kind
    if kind not in ("ranking", "comparison"):
        raise InvalidError(f"queue {queue}: labelers can disagree in rankings and comparisons only")
    of_item: dict[int, list[Judged]] = {}
    for judged in read_rankings(store, queue=queue, kind="ranking" if kind == "ranking" else "comparison"):
        if judged.item is not None:
            of_item.setdefault(judged.item, []).append(judged)
    found = [_disagreement(item, group) for item, group in of_item.items() if len(group) > 1]
    found.sort(key=lambda one: (one.agreement, one.item))
    return found[:limit]


def _disagreement(item: int, group: list[Judged]) -> Disagreement:
    first = group[0].ranking
    rankings = [judged.ranking.ranks for judged in group]
    alike = share_alike(rankings)
    return Disagreement(
        item,
        first.prompt_id,
        first.messages,
        first.responses,
        group,
        consensus_of_all(rankings),
        1.0 if alike is None else alike,
    )


def throughput(store: Store, *, days: float | None = None) -> list[Throughput]:
    """What each labeler has done, in all or in the last ``days``, most first."""
    since = Judgement.at >= store.now() - timedelta(days=days) if days is not None else Judgement.id.is_not(None)
    query = (
        select(Person.name, Judgement.kind, Judgement.seconds, Judgement.at)
        .join(Person, Person.id == Judgement.person_id)
        .where(is_current(), Judgement.assignment_id.is_not(None), Judgement.kind != "skip", since)
    )
    done: dict[tuple[str, str], list[tuple[float | None, datetime]]] = {}
    with store.reading() as connection:
        for name, kind, seconds, at in connection.execute(query):
            done.setdefault((name, kind), []).append((seconds, at))
    rows = []
    for (name, kind), given in done.items():
        times = sorted(seconds for seconds, _ in given if seconds is not None)
        median = times[len(times) // 2] if times else None
        rows.append(Throughput(name, kind, len(given), median, max(at for _, at in given)))
    return sorted(rows, key=lambda row: (-row.done, row.name, row.kind))


def win_rates(store: Store, queue: str) -> dict[tuple[str, str], tuple[float, int]]:
    """Blind comparisons: by (model, other model), how often the first was preferred, ties as half, and of how many.

    Items whose two outputs were one text were never shown; each is one tie.
    """
    points: dict[tuple[str, str], list[float]] = {}

    def add(models: list[str], score: float) -> None:
        pair = (models[0], models[1])
        if pair > pair[::-1]:
            pair, score = (models[1], models[0]), 1 - score
        points.setdefault(pair, []).append(score)

    for judged in read_rankings(store, queue=queue, kind="comparison"):
        (a, b), models = judged.ranking.ranks, [one.model for one in judged.ranking.responses]
        add(models, 1.0 if a < b else 0.0 if a > b else 0.5)
    for models in _identical(store, queue):
        add(models, 0.5)
    return {pair: (sum(given) / len(given), len(given)) for pair, given in sorted(points.items())}


def _identical(store: Store, queue: str) -> list[list[str]]:
    query = (
        select(Item.id, StoredResponse.model)
        .join(Queue, Queue.id == Item.queue_id)
        .join(ItemResponse, ItemResponse.item_id == Item.id)
        .join(StoredResponse, StoredResponse.id == ItemResponse.response_id)
        .where(Queue.name == queue, Item.identical)
        .order_by(Item.id, ItemResponse.place)
    )
    models: dict[int, list[str]] = {}
    with store.reading() as connection:
        for item, model in connection.execute(query):
            models.setdefault(item, []).append(model)
    return list(models.values())
