"""Handing out work: which slot a labeler gets next.

In one short transaction a free slot is found and taken, so nobody else can have it. Highest priority first,
then the item that came first, so items are finished one after another. Left out is what the labeler has done,
skipped, or written herself. What she let lapse or gave back comes again only when there is nothing else.

Every labeler asks this again and again, so the statements are built once, and are few.
"""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Select, bindparam, case, func, insert, literal_column, select, update
from sqlalchemy.exc import IntegrityError

from preceptor.feedback.store import Store
from preceptor.feedback.store.errors import ForbiddenError, NotFoundError
from preceptor.feedback.store.tables import (
    Assignment,
    Item,
    ItemAuthor,
    ItemResponse,
    Person,
    Published,
    Queue,
    StoredPrompt,
    StoredResponse,
)
from preceptor.feedback.store.words import findable
from preceptor.feedback.tasks.locks import LET_GO, LIVE, free_expired
from preceptor.feedback.tasks.shapes import Task, as_task
from preceptor.feedback.tasks.view import task
from preceptor.keyed import key_bits

TRIES = 20  # against others who are faster; each try means that somebody else got a slot


def next_task(store: Store, person_id: int, queue: str | None = None) -> Task | None:
    """The next task of a person in a queue, or in any open one by priority; None if there is nothing for her.

    Who holds a task in the queue gets that one again, in whatever browser: a reload loses nothing. The order of the
    outputs is shuffled by a key of item and person, and recorded.
    """
    places = _places(store, person_id, queue)
    if any(place.lapsed for place in places) and free_expired(store):
        places = _places(store, person_id, queue)
    for place in places:
        if place.held is not None:
            return task(store, person_id, place.held)
    for place in places:
        found = _claim(store, person_id, place)
        if found is not None:
            return found
    return None


# where a person stands ---------------------------------------------------------------------------

_MINE = (Assignment.person_id == bindparam("person")) & (Assignment.queue_id == Queue.id)
_QUEUES = select(
    Queue.id,
    Queue.name,
    Queue.kind,
    Queue.lock_seconds,
    Queue.honeypot_rate,
    select(Person.status).where(Person.id == bindparam("person")).scalar_subquery().label("status"),
    select(Assignment.id).where(_MINE, LIVE).correlate(Queue).scalar_subquery().label("held"),
    select(func.max(Published.version))
    .where(Published.name == Queue.kind)
    .correlate(Queue)
    .scalar_subquery()
    .label("guideline_version"),
    # How many tasks she has had there: which of them are honeypots is a draw for each.
    case(
        (Queue.honeypot_rate > 0, select(func.count()).where(_MINE).correlate(Queue).scalar_subquery()), else_=0
    ).label("turn"),
    select(Assignment.id).where(LIVE, Assignment.expires_at < bindparam("now")).exists().label("lapsed"),
)
_HELD = select(Assignment.id).where(_MINE, LIVE).correlate(Queue).exists()
_ALL_QUEUES = _QUEUES.where(Queue.open | _HELD).order_by(Queue.priority.desc(), Queue.id)
_ONE_QUEUE = _QUEUES.where(Queue.name == bindparam("queue"))
_HELD_BY_NOW = select(Assignment.id).where(
    Assignment.person_id == bindparam("person"), Assignment.queue_id == bindparam("queue"), LIVE
)  # another browser of hers may have been faster
_IS_OPEN = select(Queue.open).where(Queue.id == bindparam("queue"))


def _places(store: Store, person_id: int, queue: str | None) -> Sequence[Any]:
    """The queues that concern a person, and what she holds or is to get there."""
    with store.reading() as connection:
        given = {"person": person_id, "now": store.now()}
        if queue is None:
            rows = connection.execute(_ALL_QUEUES, given).all()
        else:
            rows = connection.execute(_ONE_QUEUE, {**given, "queue": queue}).all() if findable(queue) else []
            if not rows:
                raise NotFoundError(f"there is no queue {queue!r}")
    if rows and rows[0].status is None:
        raise NotFoundError("there is no such person")
    if rows and rows[0].status != "active":
        raise ForbiddenError("this account is suspended; ask the admin")
    return rows


# taking a slot -----------------------------------------------------------------------------------


def free_items(*, honeypots: bool, again: bool) -> Select[int]:
    """The free items of a ``queue`` for a ``person``, in no order; ``again``: also what she had and let go."""
    met = select(Assignment.item_id).where(Assignment.item_id == Item.id, Assignment.person_id == bindparam("person"))
    if again:
        met = met.where(Assignment.state.not_in(LET_GO))
    own = select(ItemAuthor.item_id).where(ItemAuthor.item_id == Item.id, ItemAuthor.person_id == bindparam("person"))
    return select(Item.id).where(
        Item.queue_id == bindparam("queue"),
        Item.honeypot.is_(honeypots),
        Item.taken < Item.overlap,
        ~met.correlate(Item).exists(),
        ~own.correlate(Item).exists(),
    )


def _best(items: Select[int]) -> Select[int]:
    return items.order_by(Item.priority.desc(), Item.id).limit(literal_column("1"))


_HONEYPOT = _best(free_items(honeypots=True, again=False))
_NEW, _AGAIN = (_best(free_items(honeypots=False, again=again)) for again in (False, True))
_LOCKING = {query: query.with_for_update(skip_locked=True, key_share=True) for query in (_HONEYPOT, _NEW, _AGAIN)}
_TAKE = update(Item).where(Item.id == bindparam("item")).values(taken=Item.taken + 1)
_RESPONSES = (
    select(ItemResponse.response_id, ItemResponse.place, StoredResponse.text_hash, StoredResponse.text)
    .join(StoredResponse, StoredResponse.id == ItemResponse.response_id)
    .where(ItemResponse.item_id == bindparam("item"))
    .order_by(ItemResponse.place)
)
_PROMPT = (
    select(Item.wish, StoredPrompt.messages)
    .outerjoin(StoredPrompt, StoredPrompt.id == Item.prompt_id)
    .where(Item.id == bindparam("item"))
)
# The state is asked for here again: PostgreSQL waits for the item's lock with what the query saw of the assignments
# before, and another browser of hers may have revived this one meanwhile. Then a new one is tried, and refused.
_LOCK_AGAIN = (
    update(Assignment)
    .where(
        Assignment.item_id == bindparam("item"),
        Assignment.person_id == bindparam("person"),
        Assignment.state.in_(LET_GO),
    )
    .values(
        state="locked",
        guideline_version=bindparam("version"),
        locked_at=bindparam("now"),
        expires_at=bindparam("until"),
        finished_at=None,
    )
    .returning(Assignment.id)
)
_LOCK = insert(Assignment)


def _claim(store: Store, person_id: int, place: Any) -> Task | None:
    """Take a slot of a queue; None if nothing is free for this person."""
    draw = key_bits(store.seed, "honeypot", place.id, person_id, place.turn) / 2**128 if place.honeypot_rate else 1.0
    queries = [_HONEYPOT, _NEW, _AGAIN] if draw < place.honeypot_rate else [_NEW, _AGAIN]
    for _ in range(TRIES):
        try:
            # A lock need not survive a power cut: nothing is said yet.
            with store.writing(durable=False) as connection:
                if not connection.execute(_IS_OPEN, {"queue": place.id}).scalar():
                    return None
                item, query = _find(connection, person_id, place.id, queries)
                if item is not None:
                    return _take(store, connection, person_id, place, item, seen=query is _AGAIN)
                if query is None:
                    held = connection.execute(_HELD_BY_NOW, {"person": person_id, "queue": place.id}).scalar()
                    return None if held is None else task(store, person_id, held, connection)
        except IntegrityError:  # another browser of hers was faster: what it holds is the task
            for other in _places(store, person_id, place.name):
                if other.held is not None:
                    return task(store, person_id, other.held)
    return None


def _find(
    connection: Connection, person_id: int, queue_id: int, queries: Sequence[Select[int]]
) -> tuple[int | None, Select[int] | None]:
    """A free item, locked against others until the transaction ends, and the query that found it.

    No item, but a query: one is free, and others are at it just now; try again.
    """
    given = {"person": person_id, "queue": queue_id}
    for query in queries:
        found = connection.execute(_LOCKING[query], given).scalar()
        if found is not None:
            return found, query
    if connection.dialect.name != "sqlite" and connection.execute(_AGAIN, given).scalar() is not None:
        return None, _AGAIN
    return None, None


def _take(store: Store, connection: Connection, person_id: int, place: Any, item: int, *, seen: bool) -> Task:
    """Lock an item. If this person may have ``seen`` it and did, her assignment is revived, with the order it had."""
    now = store.now()
    lock = {
        "item": item,
        "person": person_id,
        "version": place.guideline_version or 0,
        "now": now,
        "until": now + timedelta(seconds=place.lock_seconds),
    }
    connection.execute(_TAKE, {"item": item})
    revived = connection.execute(_LOCK_AGAIN, lock).scalar_one_or_none() if seen else None
    if revived is not None:
        return task(store, person_id, revived, connection)
    return _lock_new(store, connection, place, lock)


def _lock_new(store: Store, connection: Connection, place: Any, lock: dict[str, Any]) -> Task:
    """An assignment of an item that this person has not seen; the cards are shuffled by a key of item and person."""
    item, person = lock["item"], lock["person"]
    cards: dict[str, list[tuple[int, int]]] = {}
    texts: dict[int, str] = {}
    for response, at, text_hash, text in connection.execute(_RESPONSES, {"item": item}):
        cards.setdefault(text_hash, []).append((response, at))
        texts[response] = text
    shown = sorted(cards.values(), key=lambda card: key_bits(store.seed, "order", item, person, card[0][0]))
    row = {
        "id": secrets.token_hex(16),
        "item_id": item,
        "queue_id": place.id,
        "person_id": person,
        "state": "locked",
        "shown": shown,
        "guideline_version": lock["version"],
        "locked_at": lock["now"],
        "expires_at": lock["until"],
    }
    connection.execute(_LOCK, row)
    wish, messages = connection.execute(_PROMPT, {"item": item}).one()
    more = {"name": place.name, "kind": place.kind, "wish": wish, "messages": messages}
    return as_task(row | more, [texts[card[0][0]] for card in shown])
