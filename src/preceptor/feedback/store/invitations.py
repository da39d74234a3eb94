"""Invitations as an admin sees them: the open and the used ones, and taking an open one back."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select

from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.errors import NotFoundError, StaleError
from preceptor.feedback.store.people import audit
from preceptor.feedback.store.tables import Invitation, Person


@dataclass(frozen=True)
class InvitationInfo:
    """An invitation. Its token is not part of it: nobody has it but whoever got the link."""

    id: int
    role: str
    note: str
    created_at: datetime
    expires_at: datetime
    used_by: str | None  # the name


def invitations(store: Store) -> list[InvitationInfo]:
    """All invitations, the newest first."""
    query = (
        select(
            Invitation.id,
            Invitation.role,
            Invitation.note,
            Invitation.created_at,
            Invitation.expires_at,
            Person.name,
        )
        .outerjoin(Person, Person.id == Invitation.used_by)
        .order_by(Invitation.id.desc())
    )
    with store.reading() as connection:
        return [InvitationInfo(*row) for row in connection.execute(query)]


def revoke_invitation(store: Store, invitation: int, *, by: int | None = None) -> None:
    """Take back an invitation that nobody has used; :class:`StaleError` if somebody has."""
    with store.writing() as connection:
        gone = connection.execute(
            delete(Invitation).where(Invitation.id == invitation, Invitation.used_by.is_(None))
        ).rowcount
        if gone:
            audit(connection, store.now(), by, "revoke invitation", invitation=invitation)
            return
        if connection.execute(select(Invitation.id).where(Invitation.id == invitation)).first() is None:
            raise NotFoundError(f"there is no invitation {invitation}")
        raise StaleError("this invitation is used; suspend the person instead")
