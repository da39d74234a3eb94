"""What a reviewer reads: an item with all that was said of it, judgements by their newest, and accepting one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from preceptor.feedback.agreement import share_alike
from preceptor.feedback.consensus import Consensus, consensus_of_all
from preceptor.feedback.schema import Response
from preceptor.feedback.store import Store
from preceptor.feedback.store.audited import audit
from preceptor.feedback.store.current import is_current
from preceptor.feedback.store.errors import NotFoundError
from preceptor.feedback.store.tables import (
    Audit,
    Item,
    ItemResponse,
    Judgement,
    Person,
    Queue,
    Ranked,
    Rated,
    StoredPrompt,
    StoredResponse,
    WrittenDemonstration,
)
from preceptor.feedback.store.words import checked_text
from preceptor.feedback.tasks.locks import MAX_NOTE
from preceptor.feedback.tasks.mine import excerpt
from preceptor.text.conversation import Message

ACCEPT = "accept judgement"


@dataclass(frozen=True)
class Rating:
    """What was said of one response by itself."""

    overall: int
    flags: list[str]


@dataclass(frozen=True)
class JudgementView:
    """A judgement that counts, with whose it is. Lists are in the order of the item's responses."""

    judgement: int
    kind: str
    labeler: str
    person: int
    at: datetime
    seconds: float | None
    guideline_version: int
    source: str
    item: int | None
    queue: str | None
    prompt_id: str | None
    excerpt: str
    note: str
    all_bad: bool
    reason: str | None  # of a skip
    text: str | None = None  # of a demonstration, or of a prompt that was written
    ranks: list[int] | None = None
    places: list[int] | None = None
    ratings: list[Rating] | None = None
    accepted_by: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ItemView:
    """An item, side by side."""

    item: int
    queue: str
    kind: str
    prompt_id: str | None
    messages: list[Message]
    responses: list[Response]
    honeypot: bool
    known: list[int] | None
    agreement: float | None  # share of pairs that two labelers judged alike
    consensus: Consensus | None
    judgements: list[JudgementView]


def item_view(store: Store, item: int) -> ItemView:
    """An item with all judgements that count; :class:`NotFoundError` if there is none of this number."""
    query = (
        select(Item.id, Queue.name, Queue.kind, Item.prompt_id, Item.honeypot, Item.known, StoredPrompt.messages)
        .join(Queue, Queue.id == Item.queue_id)
        .outerjoin(StoredPrompt, StoredPrompt.id == Item.prompt_id)
        .where(Item.id == item)
    )
    given = (
        select(StoredResponse.text, StoredResponse.model)
        .join(ItemResponse, ItemResponse.response_id == StoredResponse.id)
        .where(ItemResponse.item_id == item)
        .order_by(ItemResponse.place)
    )
    with store.reading() as connection:
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no item {item}")
        responses = [Response(text=one.text, model=one.model) for one in connection.execute(given)]
        judgements = _views(connection, Judgement.item_id == item, limit=None)
    rankings = [one.ranks for one in judgements if one.ranks is not None]
    return ItemView(
        row.id,
        row.name,
        row.kind,
        row.prompt_id,
        [Message(role=one["role"], content=one["content"]) for one in row.messages or []],
        responses,
        row.honeypot,
        row.known["ranks"] if row.known else None,
        share_alike(rankings),
        consensus_of_all(rankings) if rankings else None,
        judgements,
    )


def judgement_views(
    store: Store,
    *,
    queue: str | None = None,
    kind: str | None = None,
    person_id: int | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[JudgementView]:
    """Judgements that count, the newest first."""
    condition = Judgement.kind != "withdrawal"
    if queue is not None:
        condition &= Judgement.item_id.in_(select(Item.id).join(Queue).where(Queue.name == queue))
    if kind is not None:
        condition &= Judgement.kind == kind
    if person_id is not None:
        condition &= Judgement.person_id == person_id
    if before is not None:
        condition &= Judgement.id < before
    with store.reading() as connection:
        return _views(connection, condition, limit=limit)


def accept(store: Store, reviewer_id: int, judgement: int, note: str = "") -> None:
    """A reviewer has read a judgement and finds it right. Written down in the audit; twice is once."""
    checked_text(note, "note", MAX_NOTE)
    with store.writing() as connection:
        found = select(Judgement.id).where(Judgement.id == judgement, is_current())
        if connection.execute(found).first() is None:
            raise NotFoundError(f"there is no judgement {judgement} that counts")
        said = select(Audit.id).where(
            Audit.action == ACCEPT, Audit.person_id == reviewer_id, Audit.detail["judgement"].as_integer() == judgement
        )
        if connection.execute(said).first() is None:
            audit(connection, store.now(), reviewer_id, ACCEPT, judgement=judgement, note=note)


# -------------------------------------------------------------------------------------------------


def _views(connection: Connection, condition: Any, *, limit: int | None) -> list[JudgementView]:
    query = (
        select(
            Judgement.id,
            Judgement.kind,
            Person.name,
            Judgement.person_id,
            Judgement.at,
            Judgement.seconds,
            Judgement.guideline_version,
            Judgement.source,
            Judgement.item_id,
            Queue.name.label("queue"),
            Judgement.prompt_id,
            StoredPrompt.messages,
            Judgement.note,
            Judgement.all_bad,
            Judgement.detail,
            StoredResponse.text,
        )
        .join(Person, Person.id == Judgement.person_id)
        .outerjoin(Item, Item.id == Judgement.item_id)
        .outerjoin(Queue, Queue.id == Item.queue_id)
        .outerjoin(StoredPrompt, StoredPrompt.id == Judgement.prompt_id)
        .outerjoin(WrittenDemonstration, WrittenDemonstration.judgement_id == Judgement.id)
        .outerjoin(StoredResponse, StoredResponse.id == WrittenDemonstration.response_id)
        .where(is_current(), condition)
        .order_by(Judgement.id.desc())
        .limit(limit)
    )
    views = [
        JudgementView(
            judgement=row.id,
            kind=row.kind,
            labeler=row.name,
            person=row.person_id,
            at=row.at,
            seconds=row.seconds,
            guideline_version=row.guideline_version,
            source=row.source,
            item=row.item_id,
            queue=row.queue,
            prompt_id=row.prompt_id,
            excerpt=excerpt(row.messages),
            note=row.note,
            all_bad=row.all_bad,
            reason=(row.detail or {}).get("reason") if row.kind == "skip" else None,
            text=row.messages[-1]["content"] if row.kind == "prompt" and row.messages else row.text,
        )
        for row in connection.execute(query)
    ]
    return _with_marks(connection, views)


def _with_marks(connection: Connection, views: Sequence[JudgementView]) -> list[JudgementView]:
    """The views with ranks, places, ratings, and who has accepted them."""
    numbers = [view.judgement for view in views]
    ranked: dict[int, list[Any]] = {}
    query = select(Ranked.judgement_id, Ranked.rank, Ranked.place).where(Ranked.judgement_id.in_(numbers))
    for row in connection.execute(query.order_by(Ranked.judgement_id, Ranked.ordinal)):
        ranked.setdefault(row.judgement_id, []).append(row)
    rated: dict[int, list[Rating]] = {}
    said = select(Rated.judgement_id, Rated.overall, Rated.flags).where(Rated.judgement_id.in_(numbers))
    for row in connection.execute(said.order_by(Rated.judgement_id, Rated.ordinal)):
        rated.setdefault(row.judgement_id, []).append(Rating(row.overall, list(row.flags)))
    accepted: dict[int, list[str]] = {}
    judgement = Audit.detail["judgement"].as_integer()
    who = (
        select(judgement, Person.name)
        .join(Person, Person.id == Audit.person_id)
        .where(Audit.action == ACCEPT, judgement.in_(numbers))
        .order_by(Audit.id)
    )
    for number, name in connection.execute(who):
        accepted.setdefault(number, []).append(name)
    return [
        replace(
            view,
            ranks=[row.rank for row in ranked[view.judgement]] if view.judgement in ranked else None,
            places=[row.place for row in ranked[view.judgement]] if view.judgement in ranked else None,
            ratings=rated.get(view.judgement),
            accepted_by=accepted.get(view.judgement, []),
        )
        for view in views
    ]
