"""People, invitations, sessions and consent. Passwords arrive hashed; tokens leave once and are kept as hashes."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.errors import ForbiddenError, InvalidError, NotFoundError, StaleError
from preceptor.feedback.store.published import latest_version
from preceptor.feedback.store.tables import Audit, Invitation, Person, SignIn
from preceptor.feedback.store.tables.people import PERSON_KINDS, ROLES
from preceptor.feedback.store.words import checked_text, findable

MAX_NAME = 100


@dataclass(frozen=True)
class PersonInfo:
    """A person as the rest of the program knows her. The password's hash is not part of it."""

    id: int
    name: str
    role: str  # labeler, reviewer, admin
    status: str  # active, suspended, forgotten
    kind: str  # person, simulated, model, imported
    language: str
    consent_version: int | None
    consent_at: datetime | None


_PERSON = select(
    Person.id,
    Person.name,
    Person.role,
    Person.status,
    Person.kind,
    Person.language,
    Person.consent_version,
    Person.consent_at,
)


def create_person(
    store: Store, name: str, *, role: str = "labeler", kind: str = "person", password_hash: str | None = None
) -> PersonInfo:
    """A new person. ``name`` is what she signs in with, in any case; :class:`StaleError` if it is taken."""
    with store.writing() as connection:
        return add_person(connection, store.now(), name, role=role, kind=kind, password_hash=password_hash)


def add_person(
    connection: Connection,
    now: datetime,
    name: str,
    *,
    role: str = "labeler",
    kind: str = "person",
    password_hash: str | None = None,
) -> PersonInfo:
    """:func:`create_person` inside a transaction."""
    if role not in ROLES or kind not in PERSON_KINDS:
        raise InvalidError(
            f"role {role!r}, kind {kind!r}: use one of {', '.join(ROLES)} and of {', '.join(PERSON_KINDS)}"
        )
    name = sign_in_name(name)
    values = {"name": name, "role": role, "kind": kind, "password_hash": password_hash, "created_at": now}
    try:
        with connection.begin_nested():
            number = connection.execute(insert(Person).values(values).returning(Person.id)).scalar_one()
    except IntegrityError:
        raise StaleError(f"the name {name} is taken; choose another") from None
    return _one(connection, _PERSON.where(Person.id == number))


def sign_in_name(name: str) -> str:
    """The form in which names are kept and compared: casefolded, without outer spaces."""
    name = checked_text(" ".join(name.split()).casefold(), "name", MAX_NAME)
    if not name:
        raise InvalidError("the name is empty; give one")
    return name


def person(store: Store, person_id: int) -> PersonInfo:
    """A person by number; :class:`NotFoundError` if there is none."""
    with store.reading() as connection:
        return _one(connection, _PERSON.where(Person.id == person_id))


def find_person(store: Store, name: str) -> PersonInfo | None:
    """A person by name, in any case."""
    if not findable(name):
        return None
    with store.reading() as connection:
        row = connection.execute(_PERSON.where(Person.name == " ".join(name.split()).casefold())).one_or_none()
    return None if row is None else PersonInfo(*row)


def people(store: Store) -> list[PersonInfo]:
    """Everybody, by number."""
    with store.reading() as connection:
        return [PersonInfo(*row) for row in connection.execute(_PERSON.order_by(Person.id))]


def password_hash(store: Store, person_id: int) -> str | None:
    """The hash that a password is to be checked against; None for those who have none and cannot sign in."""
    with store.reading() as connection:
        return connection.execute(select(Person.password_hash).where(Person.id == person_id)).scalar_one_or_none()


def set_password_hash(store: Store, person_id: int, password_hash: str) -> None:
    """A new password. All sessions of the person end."""
    _change(store, person_id, "password", password_hash=password_hash)
    close_sessions(store, person_id)


def set_language(store: Store, person_id: int, language: str) -> None:
    """The language that a person reads pages and guidelines in."""
    _change(store, person_id, None, language=checked_text(language, "language", 20))


def set_role(store: Store, person_id: int, role: str, *, by: int | None = None) -> None:
    """Make somebody labeler, reviewer or admin."""
    if role not in ROLES:
        raise InvalidError(f"role {role!r}: use one of {', '.join(ROLES)}")
    _change(store, person_id, "role", by=by, role=role)


def set_status(store: Store, person_id: int, status: str, *, by: int | None = None) -> None:
    """``suspended`` ends all sessions and gives no more tasks; ``active`` undoes it. Judgements stay."""
    if status not in ("active", "suspended"):
        raise InvalidError(f"status {status!r}: use active or suspended")
    _change(store, person_id, "status", by=by, status=status)
    if status == "suspended":
        close_sessions(store, person_id)


def consent(store: Store, person_id: int, version: int) -> None:
    """Record that a person agreed to this version of the terms. Only the latest can be agreed to."""
    with store.writing() as connection:
        latest = latest_version(connection, "terms")
        if version != latest:
            raise StaleError(f"version {version} of the terms is not the latest, {latest}; read that one")
        _one(connection, _PERSON.where(Person.id == person_id))
        now = store.now()
        connection.execute(update(Person).where(Person.id == person_id).values(consent_version=version, consent_at=now))
        audit(connection, now, person_id, "consent", version=version)


def must_consent(store: Store, person_id: int) -> int | None:
    """The version of the terms that a person has yet to agree to; None if there is none."""
    with store.reading() as connection:
        latest = latest_version(connection, "terms")
        agreed = _one(connection, _PERSON.where(Person.id == person_id)).consent_version
    return latest if latest and agreed != latest else None


# invitations -------------------------------------------------------------------------------------


def invite(store: Store, *, role: str = "labeler", note: str = "", days: float = 14.0, by: int | None = None) -> str:
    """A token for one person to come in with, valid for ``days``. It is not kept: only its hash is."""
    if role not in ROLES:
        raise InvalidError(f"role {role!r}: use one of {', '.join(ROLES)}")
    token, now = secrets.token_urlsafe(32), store.now()
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


# sessions ----------------------------------------------------------------------------------------


def open_session(store: Store, person_id: int, *, days: float = 14.0) -> str:
    """Sign in: a token for the browser. Only its hash is kept. Suspended people are refused."""
    token, now = secrets.token_urlsafe(32), store.now()
    with store.writing() as connection:
        if _one(connection, _PERSON.where(Person.id == person_id)).status != "active":
            raise ForbiddenError("this account is suspended; ask the admin")
        connection.execute(delete(SignIn).where(SignIn.expires_at < now))
        connection.execute(
            insert(SignIn).values(
                token_hash=hashed_token(token),
                person_id=person_id,
                created_at=now,
                expires_at=now + timedelta(days=days),
            )
        )
    return token


def session_person(store: Store, token: str) -> PersonInfo | None:
    """Who a browser's token belongs to; None if it is unknown or over, or the person not active."""
    wanted = _PERSON.join(SignIn, SignIn.person_id == Person.id).where(
        SignIn.token_hash == hashed_token(token), SignIn.expires_at > store.now(), Person.status == "active"
    )
    with store.reading() as connection:
        row = connection.execute(wanted).one_or_none()
    return None if row is None else PersonInfo(*row)


def close_session(store: Store, token: str) -> None:
    """Sign out."""
    with store.writing() as connection:
        connection.execute(delete(SignIn).where(SignIn.token_hash == hashed_token(token)))


def close_sessions(store: Store, person_id: int) -> None:
    """Sign out everywhere."""
    with store.writing() as connection:
        connection.execute(delete(SignIn).where(SignIn.person_id == person_id))


# -------------------------------------------------------------------------------------------------


def audit(connection: Connection, now: datetime, by: int | None, action: str, **detail: Any) -> None:
    """Write down who did what."""
    connection.execute(insert(Audit).values(at=now, person_id=by, action=action, detail=detail))


def _change(store: Store, person_id: int, action: str | None, *, by: int | None = None, **values: Any) -> None:
    with store.writing() as connection:
        changed = connection.execute(update(Person).where(Person.id == person_id).values(values))
        if not changed.rowcount:
            raise NotFoundError(f"there is no person {person_id}")
        if action is not None:
            shown = {} if action == "password" else values
            audit(connection, store.now(), by if by is not None else person_id, action, person=person_id, **shown)


def _one(connection: Connection, query: Any) -> PersonInfo:
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError("there is no such person")
    return PersonInfo(*row)


def hashed_token(token: str) -> str:
    """SHA-256 is enough: the token is 256 random bits, not a password."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
