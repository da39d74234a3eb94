"""The audit: writing down who did what, and reading it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.tables import Audit, Person


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


def audit(connection: Connection, now: datetime, by: int | None, action: str, **detail: Any) -> None:
    """Write down who did what."""
    connection.execute(insert(Audit).values(at=now, person_id=by, action=action, detail=detail))


def record(store: Store, by: int | None, action: str, **detail: Any) -> None:
    """Write down something that an admin did."""
    with store.writing() as connection:
        audit(connection, store.now(), by, action, **detail)
