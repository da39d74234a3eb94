"""Work to be done: queues, their items, and who holds which slot of an item.

An item has as many slots as its overlap says. A slot is taken while somebody's lock on it runs, and for good once
it is done. ``taken`` is kept beside the assignments, so that finding a free slot is one step along an index; it
changes in the same transaction as they do.
"""

from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import Boolean, CheckConstraint, Float, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from preceptor.feedback.store.tables.base import Base, Json, Utc
from preceptor.feedback.store.tables.people import one_of

TaskKind = Literal["demonstration", "prompt", "ranking", "comparison"]
TASK_KINDS: tuple[TaskKind, ...] = get_args(TaskKind)
STATES = ("locked", "done", "skipped", "released", "expired", "withdrawn")
UNBOUNDED = 10**9  # the overlap of a honeypot: everybody meets it


class Queue(Base):
    """Items of one kind, under one rule of overlap."""

    __tablename__ = "queues"
    __table_args__ = (
        one_of("kind", TASK_KINDS),
        CheckConstraint("overlap >= 1", name="overlap"),
        CheckConstraint("honeypot_rate >= 0 AND honeypot_rate < 1", name="honeypot_rate"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    overlap: Mapped[int]  # labelers an item
    lock_seconds: Mapped[int]
    honeypot_rate: Mapped[float] = mapped_column(Float, default=0.0)
    priority: Mapped[int] = mapped_column(default=0)  # among queues; the highest is offered first
    open: Mapped[bool] = mapped_column(Boolean, default=True)
    created_at: Mapped[datetime] = mapped_column(Utc)


class Item(Base):
    """One thing to be worked on."""

    __tablename__ = "items"
    __table_args__ = (
        CheckConstraint("taken >= 0 AND taken <= overlap", name="taken"),
        CheckConstraint("done >= 0 AND done <= taken", name="done"),
        Index("uq_items_queue_id_digest", "queue_id", "digest", unique=True),
        Index("ix_items_prompt_id", "prompt_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"))
    prompt_id: Mapped[str | None] = mapped_column(ForeignKey("prompts.id"))
    digest: Mapped[str] = mapped_column(String(32))  # of what it is: adding it twice adds it once
    priority: Mapped[int] = mapped_column(default=0)
    overlap: Mapped[int]
    taken: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    honeypot: Mapped[bool] = mapped_column(Boolean, default=False)
    identical: Mapped[bool] = mapped_column(Boolean, default=False)  # its outputs are one text: nothing to judge
    known: Mapped[Any] = mapped_column(
        Json, nullable=True
    )  # a honeypot's answer: {"ranks": [...], "flags": [[...]...] or null}, by place
    wish: Mapped[Any] = mapped_column(Json, nullable=True)  # what prompt is to be written
    added_at: Mapped[datetime] = mapped_column(Utc)


# The free slots of a queue, best first. The condition must be the one that the query states.
Index(
    "ix_items_free",
    Item.queue_id,
    Item.honeypot,
    Item.priority.desc(),
    Item.id,
    sqlite_where=text("taken < overlap"),
    postgresql_where=text("taken < overlap"),
)


class ItemResponse(Base):
    """The responses of an item, in the order they were given in."""

    __tablename__ = "item_responses"

    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # from 0
    response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), index=True)


class ItemAuthor(Base):
    """Who wrote one of an item's responses, and so may not judge it."""

    __tablename__ = "item_authors"

    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), primary_key=True)


class Assignment(Base):
    """One person and one item: there is never a second. ``id`` is what a page knows, and cannot be guessed."""

    __tablename__ = "assignments"
    __table_args__ = (
        one_of("state", STATES),
        Index("uq_assignments_item_id_person_id", "item_id", "person_id", unique=True),
        Index("ix_assignments_person_id_queue_id", "person_id", "queue_id"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"))
    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"))
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    state: Mapped[str] = mapped_column(String(20))
    # A card each, in the order shown: [[[response id, its place in the item], ...], ...]
    shown: Mapped[Any] = mapped_column(Json)
    guideline_version: Mapped[int] = mapped_column(default=0)
    locked_at: Mapped[datetime] = mapped_column(Utc)
    expires_at: Mapped[datetime] = mapped_column(Utc)
    finished_at: Mapped[datetime | None] = mapped_column(Utc)


_LOCKED = text("state = 'locked'")
# Two browsers of one person cannot hold two items of a queue.
Index(
    "uq_assignments_live",
    Assignment.person_id,
    Assignment.queue_id,
    unique=True,
    sqlite_where=_LOCKED,
    postgresql_where=_LOCKED,
)
Index("ix_assignments_expiring", Assignment.expires_at, sqlite_where=_LOCKED, postgresql_where=_LOCKED)


class Draft(Base):
    """What a person has typed so far."""

    __tablename__ = "drafts"

    assignment_id: Mapped[str] = mapped_column(ForeignKey("assignments.id"), primary_key=True)
    payload: Mapped[Any] = mapped_column(Json)
    saved_at: Mapped[datetime] = mapped_column(Utc)
