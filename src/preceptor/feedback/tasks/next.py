"""Handing out work: which slot a labeler gets next.

In one short transaction a free slot is found and taken, so nobody else can have it. Highest priority first,
then the item that came first, so items are finished one after another. Left out is what the labeler has done,
skipped, or written herself. What she let lapse or gave back comes again only when there is nothing else.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from preceptor.feedback.store import Store
from preceptor.feedback.store.errors import ForbiddenError, NotFoundError
from preceptor.feedback.store.published import latest_version
from preceptor.feedback.store.settings import seed
from preceptor.feedback.store.tables import (
    Assignment,
    Item,
    ItemAuthor,
    ItemResponse,
    Person,
    Queue,
    StoredResponse,
)
from preceptor.feedback.tasks.locks import free_expired
from preceptor.feedback.tasks.shapes import Task
from preceptor.feedback.tasks.view import task
from preceptor.keyed import key_bits

TRIES = 20  # against others who are faster; each try means that somebody else got a slot


def next_task(store: Store, person_id: int, queue: str | None = None) -> Task | None:
    """The next task of a person in a queue, or in any open one by priority; None if there is nothing for her.

    Who holds a task in the queue gets that one again, in whatever browser: a reload loses nothing. The order of the
    outputs is shuffled by a key of item and person, and recorded.
    """
    free_expired(store)
    for place in _places(store, person_id, queue):
        held = place.held or _claim(store, person_id, place)
        if held is not None:
            return task(store, person_id, held)
    return None


@dataclass(frozen=True)
class _Place:
    """A queue as one person stands to it."""

    queue_id: int
    kind: str
    lock_seconds: int
    guideline_version: int
    held: str | None  # the assignment that she holds there
    honeypot: bool  # her next task there is to be one


def _places(store: Store, person_id: int, queue: str | None) -> list[_Place]:
    with store.reading() as connection:
        status = connection.execute(select(Person.status).where(Person.id == person_id)).scalar_one_or_none()
        if status is None:
            raise NotFoundError("there is no such person")
        if status != "active":
            raise ForbiddenError("this account is suspended; ask the admin")
        wanted = select(Queue.id, Queue.name, Queue.kind, Queue.lock_seconds, Queue.honeypot_rate, Queue.open)
        if queue is None:
            live = select(Assignment.queue_id).where(Assignment.person_id == person_id, Assignment.state == "locked")
            wanted = wanted.where(Queue.open | Queue.id.in_(live)).order_by(Queue.priority.desc(), Queue.id)
        else:
            wanted = wanted.where(Queue.name == queue)
        rows = connection.execute(wanted).all()
        if queue is not None and not rows:
            raise NotFoundError(f"there is no queue {queue!r}")
        places = []
        for row in rows:
            mine = (Assignment.person_id == person_id) & (Assignment.queue_id == row.id)
            held = connection.execute(select(Assignment.id).where(mine, Assignment.state == "locked")).scalar()
            if held is None and not row.open:
                continue
            turn = _turn(connection, mine) if row.honeypot_rate else 0
            drawn = key_bits(seed(store), "honeypot", row.id, person_id, turn) / 2**128
            places.append(
                _Place(
                    row.id,
                    row.kind,
                    row.lock_seconds,
                    latest_version(connection, row.kind),
                    held,
                    drawn < row.honeypot_rate,
                )
            )
    return sorted(places, key=lambda place: place.held is None)  # what she holds anywhere goes first


def _turn(connection: Connection, mine: ColumnElement[bool]) -> int:
    """How many tasks of a queue a person has had."""
    return len(connection.execute(select(Assignment.id).where(mine)).all())


def _claim(store: Store, person_id: int, place: _Place) -> str | None:
    """Take a slot; the assignment, or None if nothing is free for this person."""
    for _ in range(TRIES):
        try:
            with store.writing() as connection:
                found = _find(connection, person_id, place)
                if found is None:
                    return None
                if found != 0:
                    return _take(store, connection, person_id, place, found)
        except IntegrityError:  # another browser of hers was faster: what it holds is the task
            with store.reading() as connection:
                held = connection.execute(
                    select(Assignment.id).where(
                        Assignment.person_id == person_id,
                        Assignment.queue_id == place.queue_id,
                        Assignment.state == "locked",
                    )
                ).scalar()
            if held is not None:
                return str(held)
    return None


def _find(connection: Connection, person_id: int, place: _Place) -> int | None:
    """A free item, locked against others until the transaction ends; 0 if one is there but others are at it."""
    seen = select(Assignment.item_id).where(Assignment.item_id == Item.id, Assignment.person_id == person_id)
    settled = seen.where(Assignment.state.in_(("done", "skipped", "withdrawn")))
    kinds = (True, False) if place.honeypot else (False,)
    wanted = [(honeypot, seen) for honeypot in kinds] + [(False, settled)]
    for honeypot, left_out in wanted:
        query = _free(person_id, place.queue_id, honeypot, left_out)
        found = connection.execute(query.with_for_update(skip_locked=True, key_share=True)).scalar()
        if found is not None:
            return int(found)
    if connection.dialect.name != "sqlite" and connection.execute(query).scalar() is not None:
        return 0
    return None


def _free(person_id: int, queue_id: int, honeypot: bool, left_out: Any) -> Any:
    own = select(ItemAuthor.item_id).where(ItemAuthor.item_id == Item.id, ItemAuthor.person_id == person_id)
    return (
        select(Item.id)
        .where(
            Item.queue_id == queue_id,
            Item.honeypot.is_(honeypot),
            Item.taken < Item.overlap,
            ~left_out.correlate(Item).exists(),
            ~own.correlate(Item).exists(),
        )
        .order_by(Item.priority.desc(), Item.id)
        .limit(1)
    )


def _take(store: Store, connection: Connection, person_id: int, place: _Place, item_id: int) -> str:
    now = store.now()
    connection.execute(update(Item).where(Item.id == item_id).values(taken=Item.taken + 1))
    lock = {
        "state": "locked",
        "guideline_version": place.guideline_version,
        "locked_at": now,
        "expires_at": now + timedelta(seconds=place.lock_seconds),
        "finished_at": None,
    }
    again = (
        update(Assignment)
        .where(Assignment.item_id == item_id, Assignment.person_id == person_id)
        .values(lock)
        .returning(Assignment.id)
    )
    held = connection.execute(again).scalar()
    if held is not None:
        return str(held)
    assignment = secrets.token_hex(16)
    new = {
        "id": assignment,
        "item_id": item_id,
        "queue_id": place.queue_id,
        "person_id": person_id,
        "shown": _shuffled(connection, seed(store), item_id, person_id),
        **lock,
    }
    connection.execute(insert(Assignment).values(new))
    return assignment


def _shuffled(connection: Connection, seed: int, item_id: int, person_id: int) -> Sequence[list[int]]:
    """The cards of an item, each the responses of one text, in the order in which this person sees them."""
    query = (
        select(ItemResponse.response_id, StoredResponse.text_hash)
        .join(StoredResponse, StoredResponse.id == ItemResponse.response_id)
        .where(ItemResponse.item_id == item_id)
        .order_by(ItemResponse.place)
    )
    cards: dict[str, list[int]] = {}
    for response_id, text_hash in connection.execute(query):
        cards.setdefault(text_hash, []).append(response_id)
    return sorted(cards.values(), key=lambda card: key_bits(seed, "order", item_id, person_id, card[0]))
