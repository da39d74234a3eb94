"""Judgements: events that are only ever added. What counts now is a function of them (`store/current.py`).

Triggers in the database refuse to change or delete any of them; `forget` alone gets past, through the table
`forgetting`, which holds a row only inside its transaction.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, CheckConstraint, Float, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from preceptor.feedback.store.tables.base import Base, Json, Utc
from preceptor.feedback.store.tables.people import one_of

JUDGEMENT_KINDS = ("demonstration", "prompt", "ranking", "rating", "comparison", "skip", "withdrawal")


class Judgement(Base):
    """One event: who said what, when, after how long, under which guidelines, for which assignment."""

    __tablename__ = "judgements"
    __table_args__ = (
        one_of("kind", JUDGEMENT_KINDS),
        CheckConstraint("seconds IS NULL OR seconds >= 0", name="seconds"),
        Index("ix_judgements_kind_item_id", "kind", "item_id"),
        Index("ix_judgements_person_id_kind", "person_id", "kind"),
        Index("ix_judgements_prompt_id", "prompt_id"),
        Index("uq_judgements_supersedes", "supersedes", unique=True),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(20))
    # What makes the event the one it is: "<assignment>/<n>" for the n-th of an assignment (0: the first), or
    # "import/<digest>". Unique: no event is ever written twice.
    key: Mapped[str] = mapped_column(String(80), unique=True)
    idempotency_key: Mapped[str] = mapped_column(String(200), default="")  # the client's
    digest: Mapped[str] = mapped_column(String(64), default="")  # of the payload, to know a repetition
    assignment_id: Mapped[str | None] = mapped_column(ForeignKey("assignments.id"), index=True)
    item_id: Mapped[int | None] = mapped_column(ForeignKey("items.id"))
    prompt_id: Mapped[str | None] = mapped_column(ForeignKey("prompts.id"))
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    at: Mapped[datetime] = mapped_column(Utc, index=True)
    seconds: Mapped[float | None] = mapped_column(Float)  # on the task
    guideline_version: Mapped[int] = mapped_column(default=0)
    source: Mapped[str] = mapped_column(Text, default="")
    supersedes: Mapped[int | None] = mapped_column(ForeignKey("judgements.id"))
    all_bad: Mapped[bool] = mapped_column(Boolean, default=False)
    note: Mapped[str] = mapped_column(Text, default="")  # of the labeler; the reason of a skip
    detail: Mapped[Any] = mapped_column(Json, nullable=True)  # a prompt's parts as they were written


class WrittenDemonstration(Base):
    """The reply that a labeler wrote; the response by which others can judge it comes with it."""

    __tablename__ = "demonstrations"

    judgement_id: Mapped[int] = mapped_column(ForeignKey("judgements.id"), primary_key=True)
    response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), index=True)


class Ranked(Base):
    """The rank of one response in a ranking or comparison; 1 is best, equal ranks are a tie."""

    __tablename__ = "rankings"
    __table_args__ = (CheckConstraint("rank >= 1", name="rank"),)

    judgement_id: Mapped[int] = mapped_column(ForeignKey("judgements.id"), primary_key=True)
    response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True, index=True)
    ordinal: Mapped[int]  # which of the item's responses it is, from 0
    rank: Mapped[int]
    place: Mapped[int]  # where it was shown, from 0


class Rated(Base):
    """The rating of one response, 1 to 7, and the flags that were raised."""

    __tablename__ = "ratings"
    __table_args__ = (CheckConstraint("overall >= 1 AND overall <= 7", name="overall"),)

    judgement_id: Mapped[int] = mapped_column(ForeignKey("judgements.id"), primary_key=True)
    response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True, index=True)
    ordinal: Mapped[int]  # which of the item's responses it is, from 0
    overall: Mapped[int]
    flags: Mapped[Any] = mapped_column(Json)  # the names of those raised


class Forgetting(Base):
    """Holds a row while `forget` works, inside its own transaction only; the triggers look for it."""

    __tablename__ = "forgetting"

    token: Mapped[str] = mapped_column(String(32), primary_key=True)
