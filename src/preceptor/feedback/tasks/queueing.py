"""Queues: making them, and what they say of themselves."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from preceptor.feedback.store import Store
from preceptor.feedback.store.errors import InvalidError, NotFoundError, StaleError
from preceptor.feedback.store.tables import Assignment, Item, Queue
from preceptor.feedback.store.tables.queues import TASK_KINDS, TaskKind
from preceptor.feedback.store.words import checked_text, findable

# Time to finish one task before its slot goes to somebody else. A page extends its lock while somebody works.
LOCK_SECONDS = {"demonstration": 3600, "prompt": 3600, "ranking": 1800, "comparison": 900}


@dataclass(frozen=True)
class QueueInfo:
    """A queue and how far it is. Honeypots are not counted."""

    name: str
    kind: TaskKind
    overlap: int  # labelers an item
    lock_seconds: int
    honeypot_rate: float
    priority: int
    open: bool
    items: int
    complete: int  # items that as many have judged as the overlap says
    slots: int  # judgements wanted in all
    done: int  # judgements there are
    locked: int  # being worked on
    honeypots: int

    @property
    def finished(self) -> bool:
        """Every item has its overlap."""
        return self.complete == self.items


def create_queue(
    store: Store,
    name: str,
    kind: TaskKind,
    *,
    overlap: int = 1,
    lock_seconds: int | None = None,
    honeypot_rate: float = 0.0,
    priority: int = 0,
) -> None:
    """A new queue; :class:`StaleError` if the name is taken.

    ``overlap``: how many labelers do each item. ``honeypot_rate``: the share of a labeler's tasks that are honeypots,
    as long as there are some she has not met. ``priority``: queues with more of it are offered first.
    """
    if kind not in TASK_KINDS:
        raise InvalidError(f"queue {name}: kind {kind!r}; use one of {', '.join(TASK_KINDS)}")
    seconds = LOCK_SECONDS[kind] if lock_seconds is None else lock_seconds
    if not 1 <= overlap <= 1000 or not 1 <= seconds <= 7 * 86400 or not 0 <= honeypot_rate <= 0.9:
        raise InvalidError(
            f"queue {name}: overlap {overlap}, lock of {seconds} s, honeypot rate {honeypot_rate}; "
            "use 1 to 1000, 1 s to 7 days, 0 to 0.9"
        )
    if honeypot_rate and kind not in ("ranking", "comparison"):
        raise InvalidError(
            f"queue {name}: only rankings and comparisons have answers that can be known; no honeypot rate"
        )
    values = {
        "name": checked_text(name, "queue", 200),
        "kind": kind,
        "overlap": overlap,
        "lock_seconds": seconds,
        "honeypot_rate": honeypot_rate,
        "priority": priority,
        "created_at": store.now(),
    }
    try:
        with store.writing() as connection:
            connection.execute(insert(Queue).values(values))
    except IntegrityError:
        raise StaleError(f"there is a queue {name} already; choose another name") from None


def change_queue(store: Store, name: str, *, priority: int | None = None, open: bool | None = None) -> None:
    """Offer a queue sooner or later than others, or close it: then its items wait. Running locks are honoured."""
    given = {"priority": priority, "open": open}
    values = {key: value for key, value in given.items() if value is not None}
    with store.writing() as connection:
        queue_id = queue_row(connection, name).id
        if values:
            connection.execute(update(Queue).where(Queue.id == queue_id).values(values))


def queues(store: Store) -> list[QueueInfo]:
    """All queues in the order in which they are offered."""
    with store.reading() as connection:
        return [QueueInfo(*row) for row in connection.execute(_overview())]


def queue(store: Store, name: str) -> QueueInfo:
    """One queue; :class:`NotFoundError` if there is none of this name."""
    with store.reading() as connection:
        row = connection.execute(_overview().where(Queue.name == name)).one_or_none() if findable(name) else None
    if row is None:
        raise NotFoundError(f"there is no queue {name!r}")
    return QueueInfo(*row)


def _overview() -> Any:
    real = (Item.queue_id == Queue.id) & ~Item.honeypot & ~Item.identical

    def of_items(what: Any) -> Any:
        return select(func.coalesce(what, 0)).where(real).correlate(Queue).scalar_subquery()

    locked = select(func.count()).where(Assignment.queue_id == Queue.id, Assignment.state == "locked")
    honeypots = select(func.count()).where(Item.queue_id == Queue.id, Item.honeypot)
    return select(
        Queue.name,
        Queue.kind,
        Queue.overlap,
        Queue.lock_seconds,
        Queue.honeypot_rate,
        Queue.priority,
        Queue.open,
        of_items(func.count(Item.id)),
        of_items(func.count(Item.id).filter(Item.done >= Item.overlap)),
        of_items(func.sum(Item.overlap)),
        of_items(func.sum(Item.done)),
        locked.correlate(Queue).scalar_subquery(),
        honeypots.correlate(Queue).scalar_subquery(),
    ).order_by(Queue.priority.desc(), Queue.id)


def queue_row(connection: Connection, name: str) -> Queue:
    """The columns of a queue; :class:`NotFoundError` if there is none of this name."""
    found = (
        connection.execute(select(Queue.__table__).where(Queue.name == name)).one_or_none() if findable(name) else None
    )
    if found is None:
        raise NotFoundError(f"there is no queue {name!r}")
    return found  # type: ignore[return-value]  # a row with the same attributes
