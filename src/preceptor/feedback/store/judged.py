"""Reading what people gave, as records of the public formats, a batch at a time. Labelers bear their names here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, func, select

from preceptor.feedback.schema import CHAT, FLAGS, Demonstration, Prompt, Ranking, Rating, Response
from preceptor.feedback.store.current import is_current
from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.tables import (
    Item,
    Judgement,
    Person,
    Queue,
    Ranked,
    Rated,
    StoredPrompt,
    StoredResponse,
    WrittenDemonstration,
)
from preceptor.text.conversation import Message

BATCH = 500


@dataclass(frozen=True)
class Judged:
    """A ranking with what a file of rankings does not say."""

    id: int
    ranking: Ranking
    kind: str  # the use case of the prompt
    places: tuple[int, ...]  # where each response was shown, from 0
    seconds: float | None
    at: datetime
    all_bad: bool
    note: str
    item: int | None
    known: list[int] | None  # a honeypot's ranks, in the order of the responses


def read_prompts(store: Store) -> Iterator[Prompt]:
    """All prompts, by id; of those that labelers wrote, the ones that count now."""
    written = select(Judgement.prompt_id).where(Judgement.kind == "prompt", is_current())
    last = ""
    while True:
        query = (
            select(StoredPrompt)
            .where(StoredPrompt.id > last, StoredPrompt.author_id.is_(None) | StoredPrompt.id.in_(written))
            .order_by(StoredPrompt.id)
            .limit(BATCH)
        )
        with store.reading() as connection:
            rows = connection.execute(query).all()
        for row in rows:
            yield _prompt(row)
        if len(rows) < BATCH:
            return
        last = rows[-1].id


def read_demonstrations(store: Store) -> Iterator[tuple[Demonstration, str]]:
    """The current demonstrations with their sources, in the order they were written in."""
    for row in _judgements(store, ("demonstration",), Judgement.id.is_not(None)):
        messages = [*_messages(row.messages), Message(role="assistant", content=row.text)]
        yield Demonstration(prompt_id=row.prompt_id, messages=messages, labeler=row.name), row.source


def read_rankings(
    store: Store,
    *,
    queue: str | None = None,
    kind: Literal["ranking", "comparison"] = "ranking",
    honeypots: bool = False,
) -> Iterator[Judged]:
    """The current rankings (or blind comparisons, as rankings of two), of one queue or of all, oldest first.

    ``honeypots`` gives those and nothing else; without it there are none.
    """
    is_honeypot = select(Item.id).where(Item.id == Judgement.item_id, Item.honeypot).correlate(Judgement).exists()
    condition = is_honeypot if honeypots else ~is_honeypot
    if queue is not None:
        condition &= Judgement.item_id.in_(select(Item.id).join(Queue).where(Queue.name == queue))
    for batch in _batches(store, (kind,), condition):
        ranked = _of_batch(store, batch, Ranked, Ranked.rank, Ranked.place)
        for row in batch:
            marks = ranked[row.id]
            ranking = Ranking(
                prompt_id=row.prompt_id,
                messages=_messages(row.messages),
                responses=[Response(text=mark.text, model=mark.model) for mark in marks],
                ranks=[mark.rank for mark in marks],
                labeler=row.name,
                source=row.source,
            )
            yield Judged(
                row.id,
                ranking,
                row.use_case,
                tuple(mark.place for mark in marks),
                row.seconds,
                row.at,
                row.all_bad,
                row.note,
                row.item_id,
                row.known["ranks"] if row.known is not None else None,
            )


def read_ratings(store: Store, *, queue: str | None = None) -> Iterator[tuple[Rating, str]]:
    """The current ratings with the use cases of their prompts, those of honeypots left out."""
    is_honeypot = select(Item.id).where(Item.id == Judgement.item_id, Item.honeypot).correlate(Judgement).exists()
    condition = ~is_honeypot
    if queue is not None:
        condition &= Judgement.item_id.in_(select(Item.id).join(Queue).where(Queue.name == queue))
    for batch in _batches(store, ("ranking", "rating"), condition):
        rated = _of_batch(store, batch, Rated, Rated.overall, Rated.flags)
        for row in batch:
            for mark in rated.get(row.id, []):
                rating = Rating(
                    prompt_id=row.prompt_id,
                    response=mark.text,
                    model=mark.model,
                    overall=mark.overall,
                    flags={flag: flag in mark.flags for flag in FLAGS} if row.source != CHAT else {},
                    labeler=row.name,
                    source=row.source,
                )
                yield rating, row.use_case


# -------------------------------------------------------------------------------------------------


def _judgements(store: Store, kinds: Sequence[str], condition: ColumnElement[bool]) -> Iterator[Row[Any]]:
    for batch in _batches(store, kinds, condition, demonstrations=True):
        yield from batch


def _batches(
    store: Store, kinds: Sequence[str], condition: ColumnElement[bool], *, demonstrations: bool = False
) -> Iterator[Sequence[Row[Any]]]:
    """The current judgements of these kinds with their prompts and people, a batch a transaction."""
    last = 0
    while True:
        query = (
            select(
                Judgement.id,
                Judgement.prompt_id,
                Judgement.item_id,
                Judgement.source,
                Judgement.seconds,
                Judgement.at,
                Judgement.all_bad,
                Judgement.note,
                Person.name,
                StoredPrompt.messages,
                StoredPrompt.kind.label("use_case"),
                Item.known,
            )
            .join(Person, Person.id == Judgement.person_id)
            .join(StoredPrompt, StoredPrompt.id == Judgement.prompt_id)
            .outerjoin(Item, Item.id == Judgement.item_id)
            .where(Judgement.id > last, Judgement.kind.in_(kinds), is_current(), condition)
            .order_by(Judgement.id)
            .limit(BATCH)
        )
        if demonstrations:
            query = (
                query.add_columns(StoredResponse.text)
                .join(WrittenDemonstration, WrittenDemonstration.judgement_id == Judgement.id)
                .join(StoredResponse, StoredResponse.id == WrittenDemonstration.response_id)
            )
        with store.reading() as connection:
            rows = connection.execute(query).all()
        if rows:
            yield rows
        if len(rows) < BATCH:
            return
        last = rows[-1].id


def _of_batch(store: Store, batch: Sequence[Row[Any]], table: Any, *columns: Any) -> dict[int, list[Row[Any]]]:
    """What was said of each response, by judgement, in the order in which the item or the file gave the responses."""
    query = (
        select(table.judgement_id, StoredResponse.id, StoredResponse.text, StoredResponse.model, *columns)
        .join(StoredResponse, StoredResponse.id == table.response_id)
        .where(table.judgement_id.in_([row.id for row in batch]))
        .order_by(table.judgement_id, table.ordinal)
    )
    found: dict[int, list[Row[Any]]] = {}
    with store.reading() as connection:
        for mark in connection.execute(query):
            found.setdefault(mark.judgement_id, []).append(mark)
    return found


def count_judgements(store: Store) -> dict[str, int]:
    """How many judgements of each kind count now."""
    query = select(Judgement.kind, func.count().label("total")).where(is_current()).group_by(Judgement.kind)
    with store.reading() as connection:
        return {row.kind: row.total for row in connection.execute(query)}


def _messages(stored: Any) -> list[Message]:
    return [Message(role=one["role"], content=one["content"]) for one in stored]


def _prompt(row: Any) -> Prompt:
    return Prompt(
        id=row.id,
        user=row.user,
        messages=_messages(row.messages),
        source=row.source,
        kind=row.kind,
        created=row.created,
    )
