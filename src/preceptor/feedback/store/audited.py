"""The audit, as an admin reads it; and the changes that only an admin makes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.errors import InvalidError, NotFoundError
from preceptor.feedback.store.people import audit
from preceptor.feedback.store.tables import Audit, Person
from preceptor.feedback.store.tables.people import PERSON_KINDS


@dataclass(frozen=True)
class AuditEvent:
    """Who did what, when."""

    id: int
    at: datetime
    person: str | None
    action: str
    detail: Any


def audit_events(store: Store, *, limit: int = 100, before: int | None = None) -> list[AuditEvent]:
    """The latest events, those before an id if one is given, the newest first."""
    query = (
        select(Audit.id, Audit.at, Person.name, Audit.action, Audit.detail)
        .outerjoin(Person, Person.id == Audit.person_id)
        .order_by(Audit.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(Audit.id < before)
    with store.reading() as connection:
        return [AuditEvent(*row) for row in connection.execute(query)]


def record(store: Store, by: int | None, action: str, **detail: Any) -> None:
    """Write down something that an admin did."""
    with store.writing() as connection:
        audit(connection, store.now(), by, action, **detail)


def set_kind(store: Store, person_id: int, kind: str, *, by: int | None = None) -> None:
    """Say what somebody is: a person, or a program that judges in her stead. What was judged before stays as it was."""
    if kind not in PERSON_KINDS:
        raise InvalidError(f"kind {kind!r}: use one of {', '.join(PERSON_KINDS)}")
    with store.writing() as connection:
        if not connection.execute(update(Person).where(Person.id == person_id).values(kind=kind)).rowcount:
            raise NotFoundError(f"there is no person {person_id}")
        audit(connection, store.now(), by, "kind", person=person_id, kind=kind)
