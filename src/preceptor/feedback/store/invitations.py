"""Invitations: making one, coming in by it, and what an admin sees of them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, select, update

from preceptor.feedback.store.audited import audit
from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.errors import InvalidError, NotFoundError, StaleError
from preceptor.feedback.store.people import PersonInfo, add_person
from preceptor.feedback.store.tables import Invitation, Person
from preceptor.feedback.store.tables.people import ROLES
from preceptor.feedback.store.tokens import hashed_token, new_token
from preceptor.feedback.store.words import checked_text


@dataclass(frozen=True)
class InvitationInfo:
    """An invitation. Its token is not part of it: nobody has it but whoever got the link."""

    id: int
    role: str
    note: str
    created_at: datetime
    expires_at: datetime
    used_by: str | None  # the name


def invite(store: Store, *, role: str = "labeler", note: str = "", days: float = 14.0, by: int | None = None) -> str:
    """A token for one person to come in with, valid for ``days``. It is not kept: only its hash is."""
    if role not in ROLES:
        raise InvalidError(f"role {role!r}: use one of {', '.join(ROLES)}")
    token, now = new_token(), store.now()
    values = {
        "token_hash": hashed_token(token),
        "role": role,
        "note": checked_text(note, "note", 1000),
        "created_by": by,
        "created_at": now,
        "expires_at": now + timedelta(days=days),
    }
    with store.writing() as connection:
        connection.execute(insert(Invitation).values(values))
        audit(connection, now, by, "invite", role=role)
    return token


def invitation_role(store: Store, token: str) -> str:
    """The role that an invitation gives; :class:`NotFoundError` if it is unknown, used or over."""
    with store.reading() as connection:
        role = connection.execute(select(Invitation.role).where(*_is_open(store, token))).scalar_one_or_none()
    return role or _no_invitation()


def accept_invitation(store: Store, token: str, name: str, password_hash: str) -> PersonInfo:
    """Come in: the person is made and the invitation used up, both or neither."""
    with store.writing() as connection:
        now = store.now()
        number, role = (
            connection.execute(
                select(Invitation.id, Invitation.role).where(*_is_open(store, token)).with_for_update()
            ).one_or_none()
            or _no_invitation()
        )
        new = add_person(connection, now, name, role=role, password_hash=password_hash)
        connection.execute(update(Invitation).where(Invitation.id == number).values(used_by=new.id, used_at=now))
        return new


def _is_open(store: Store, token: str) -> tuple[Any, ...]:
    return (
        Invitation.token_hash == hashed_token(token),
        Invitation.used_by.is_(None),
        Invitation.expires_at > store.now(),
    )


def _no_invitation() -> Any:
    raise NotFoundError("this invitation is unknown, used or over; ask for a new one")


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
