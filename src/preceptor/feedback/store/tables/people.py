"""People, and how they come in: invitations and sessions. Tokens are kept as hashes only."""

from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import CheckConstraint, Float, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from preceptor.feedback.store.tables.base import Base, Json, Utc

Role = Literal["labeler", "reviewer", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
STATUSES = ("active", "suspended", "forgotten")
# Who judges: a person; a simulated labeler; a language model asked for its opinion; somebody who cannot sign in here,
# out of a file or of the chat page.
PERSON_KINDS = ("person", "simulated", "model", "imported")


def one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    """A column that knows these words only."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


class Person(Base):
    """Someone who signs in and judges, or whose judgements came from a file."""

    __tablename__ = "people"
    __table_args__ = (one_of("role", ROLES), one_of("status", STATUSES), one_of("kind", PERSON_KINDS))

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(Text, unique=True)  # as signed in with, casefolded
    role: Mapped[str] = mapped_column(String(20), default="labeler")
    status: Mapped[str] = mapped_column(String(20), default="active")
    kind: Mapped[str] = mapped_column(String(20), default="person")
    password_hash: Mapped[str | None] = mapped_column(Text)
    language: Mapped[str] = mapped_column(String(20), default="en")
    consent_version: Mapped[int | None]  # of the terms agreed to
    consent_at: Mapped[datetime | None] = mapped_column(Utc)
    created_at: Mapped[datetime] = mapped_column(Utc)


class Invitation(Base):
    """A link by which one person may come in, once."""

    __tablename__ = "invitations"
    __table_args__ = (one_of("role", ROLES),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(20), default="labeler")
    note: Mapped[str] = mapped_column(Text, default="")  # whom it is for
    created_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(Utc)
    expires_at: Mapped[datetime] = mapped_column(Utc)
    used_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    used_at: Mapped[datetime | None] = mapped_column(Utc)


class SignIn(Base):
    """A browser that is signed in."""

    __tablename__ = "sessions"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(Utc)
    expires_at: Mapped[datetime] = mapped_column(Utc, index=True)


class Screening(Base):
    """What a labeler reached in one criterion of the screening. Never changed: a later one counts."""

    __tablename__ = "screenings"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    criterion: Mapped[str] = mapped_column(String(40))
    value: Mapped[float] = mapped_column(Float)
    cutoff: Mapped[float] = mapped_column(Float)
    detail: Mapped[Any] = mapped_column(Json, default=dict)
    recorded_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    at: Mapped[datetime] = mapped_column(Utc)


class Audit(Base):
    """Who did what to the store, apart from judging. Never changed."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(Utc)
    person_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    action: Mapped[str] = mapped_column(String(40))
    detail: Mapped[Any] = mapped_column(Json, default=dict)


class Published(Base):
    """A text that people are shown: guidelines of a kind of task, or the terms. A new version is a new row."""

    __tablename__ = "published"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)  # "terms", "chat", or the kind of task
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    language: Mapped[str] = mapped_column(String(20), primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    created_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(Utc)


class Setting(Base):
    """What the store knows of itself: the key of the pseudonyms, the seed of its draws."""

    __tablename__ = "settings"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Forgotten(Base):
    """A keyed hash of a user who was forgotten, so that no later import brings her back."""

    __tablename__ = "forgotten"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime] = mapped_column(Utc)
