"""Locks: extending one, giving it back, skipping with a reason, drafts, and taking back what has lapsed."""

import json
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import Connection, bindparam, delete, insert, literal_column, select, update

from preceptor.feedback.store import Store
from preceptor.feedback.store.errors import InvalidError, NotFoundError, StaleError
from preceptor.feedback.store.tables import Assignment, Draft, Item, Judgement, Person, Queue
from preceptor.feedback.store.words import checked_text, findable

SkipReason = Literal["unclear", "language", "knowledge", "personal data", "disturbing", "broken", "other"]
SKIP_REASONS: tuple[str, ...] = get_args(SkipReason)
# Written out, and not a parameter: the indices on what is locked are for this condition only.
LIVE = Assignment.state == literal_column("'locked'")
MAX_DRAFT = 1_000_000  # characters of JSON
MAX_NOTE = 10_000
MAX_SECONDS = 30 * 86400.0
SETTLED = ("done", "skipped", "withdrawn")
LET_GO = ("released", "expired")  # the same person may have it again


def extend(store: Store, person_id: int, assignment: str) -> datetime:
    """Work goes on: the lock runs anew; until when. :class:`StaleError` if the slot is another's by now."""
    with store.writing(durable=False) as connection:
        row = owned(connection, person_id, assignment)
        if row.state in SETTLED:
            raise StaleError(f"this task is {row.state}; take the next one")
        retake(connection, row)
        until: datetime = store.now() + timedelta(seconds=row.lock_seconds)
        if row.state != "locked" and _holds_another(connection, row):
            raise StaleError("you hold another task of this queue; finish that one first")
        connection.execute(
            update(Assignment).where(Assignment.id == assignment).values(state="locked", expires_at=until)
        )
    return until


def release(store: Store, person_id: int, assignment: str) -> None:
    """Give a task back without a word; somebody else gets the slot. Its draft stays. Twice is once."""
    with store.writing(durable=False) as connection:
        row = owned(connection, person_id, assignment)
        if row.state in SETTLED:
            raise StaleError(f"this task is {row.state} already")
        if row.state == "locked":
            _leave(connection, row, "released", store.now())


def skip(store: Store, person_id: int, assignment: str, reason: str, *, seconds: float = 0.0, note: str = "") -> None:
    """Never see this item again, and say why. Somebody else gets the slot. Twice is once."""
    if reason not in SKIP_REASONS:
        raise InvalidError(f"reason {reason[:50]!r}: use one of {', '.join(SKIP_REASONS)}")
    checked_text(note, "note", MAX_NOTE)
    seconds = checked_seconds(seconds)
    with store.writing() as connection:
        row = owned(connection, person_id, assignment)
        if row.state == "skipped":
            return
        if row.state in SETTLED:
            raise StaleError(f"this task is {row.state} already")
        now = store.now()
        if row.state == "locked":
            _leave(connection, row, "skipped", now)
        else:
            connection.execute(update(Assignment).where(Assignment.id == assignment).values(state="skipped"))
        event = {
            "kind": "skip",
            "key": f"{assignment}/skip",
            "assignment_id": assignment,
            "item_id": row.item_id,
            "prompt_id": row.prompt_id,
            "person_id": person_id,
            "at": now,
            "seconds": seconds,
            "guideline_version": row.guideline_version,
            "source": row.person_kind,
            "note": note,
            "detail": {"reason": reason},
        }
        connection.execute(insert(Judgement).values(event))
        connection.execute(delete(Draft).where(Draft.assignment_id == assignment))


def save_draft(store: Store, person_id: int, assignment: str, payload: Any) -> datetime:
    """Keep what has been typed so far; the last one saved counts. Also for a lock that lapsed: no word is lost."""
    try:
        size = len(json.dumps(payload, allow_nan=False))
    except (TypeError, ValueError):
        raise InvalidError("the draft is not JSON") from None
    if size > MAX_DRAFT:
        raise InvalidError(f"the draft is too long, {size:,} characters; shorten it to {MAX_DRAFT:,}")
    with store.writing(durable=False) as connection:
        row = owned(connection, person_id, assignment)
        if row.state in SETTLED:
            raise StaleError(f"this task is {row.state}; there is nothing to draft")
        now = store.now()
        saved = update(Draft).where(Draft.assignment_id == assignment).values(payload=payload, saved_at=now)
        if not connection.execute(saved).rowcount:
            connection.execute(insert(Draft).values(assignment_id=assignment, payload=payload, saved_at=now))
    return now


def free_expired(store: Store) -> int:
    """Take back the slots whose locks have lapsed; how many."""
    lapsed = LIVE & (Assignment.expires_at < store.now())
    with store.writing(durable=False) as connection:
        wanted = (
            select(Assignment.id, Assignment.item_id).where(lapsed).with_for_update(skip_locked=True, key_share=True)
        )
        rows = connection.execute(wanted).all()
        for row in sorted(rows, key=lambda row: row.item_id):  # in one order, so that no two wait for each other
            _leave(connection, row, "expired", None)
    return len(rows)


_OWNED = (
    select(
        Assignment.id,
        Assignment.item_id,
        Assignment.queue_id,
        Assignment.person_id,
        Assignment.state,
        Assignment.shown,
        Assignment.guideline_version,
        Queue.kind,
        Queue.lock_seconds,
        Item.prompt_id,
        Item.wish,
        Person.kind.label("person_kind"),
        Draft.assignment_id.label("draft"),
    )
    .join(Queue, Queue.id == Assignment.queue_id)
    .join(Item, Item.id == Assignment.item_id)
    .join(Person, Person.id == Assignment.person_id)
    .outerjoin(Draft, Draft.assignment_id == Assignment.id)
    .where(Assignment.id == bindparam("assignment"), Assignment.person_id == bindparam("person"))
    .with_for_update(of=Assignment, key_share=True)
)


def owned(connection: Connection, person_id: int, assignment: str) -> Any:
    """The row of this person's assignment, locked until the transaction ends; else :class:`NotFoundError`."""
    given = {"assignment": assignment, "person": person_id}
    row = connection.execute(_OWNED, given).one_or_none() if findable(assignment) else None
    if row is None:
        raise NotFoundError("there is no such task")
    return row


def retake(connection: Connection, row: Any) -> None:
    """Take the slot of a lapsed or released assignment again if it is free; :class:`StaleError` if it is not."""
    if row.state not in LET_GO:
        return
    free = update(Item).where(Item.id == row.item_id, Item.taken < Item.overlap).values(taken=Item.taken + 1)
    if not connection.execute(free).rowcount:
        raise StaleError(
            "the time for this task was over, and somebody else has it now; keep your text and take the next"
        )


def checked_seconds(seconds: float) -> float:
    """Time on a task: a number from 0, and no more than a month."""
    if not 0 <= seconds <= MAX_SECONDS:
        raise InvalidError(f"{seconds} seconds on the task: give a number from 0")
    return float(seconds)


def _holds_another(connection: Connection, row: Any) -> bool:
    query = select(Assignment.id).where(
        Assignment.person_id == row.person_id, Assignment.queue_id == row.queue_id, LIVE
    )
    return connection.execute(query).first() is not None


def _leave(connection: Connection, row: Any, state: str, now: datetime | None) -> None:
    connection.execute(update(Assignment).where(Assignment.id == row.id).values(state=state, finished_at=now))
    connection.execute(update(Item).where(Item.id == row.item_id).values(taken=Item.taken - 1))
