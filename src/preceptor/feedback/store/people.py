"""People and what they agreed to. Passwords arrive hashed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from preceptor.feedback.store.audited import audit
from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.errors import InvalidError, NotFoundError, StaleError
from preceptor.feedback.store.published import latest_version
from preceptor.feedback.store.tables import Person, SignIn
from preceptor.feedback.store.tables.people import PERSON_KINDS, ROLES
from preceptor.feedback.store.words import checked_text, findable

MAX_NAME = 100
PARTICIPANT = "chat-"  # begins the names of those of the chat page (`store/participants.py`)


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


# The columns of a PersonInfo, in its order.
PERSON = select(
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
    return one_person(connection, PERSON.where(Person.id == number))


def sign_in_name(name: str) -> str:
    """The form in which names are kept and compared: casefolded, without outer spaces."""
    name = checked_text(folded(name), "name", MAX_NAME)
    if not name:
        raise InvalidError("the name is empty; give one")
    return name


def folded(name: str) -> str:
    """A name without case and outer spaces, as names are kept."""
    return " ".join(name.split()).casefold()


def person(store: Store, person_id: int) -> PersonInfo:
    """A person by number; :class:`NotFoundError` if there is none."""
    with store.reading() as connection:
        return one_person(connection, PERSON.where(Person.id == person_id))


def find_person(store: Store, name: str) -> PersonInfo | None:
    """A person by name, in any case."""
    if not findable(name):
        return None
    with store.reading() as connection:
        row = connection.execute(PERSON.where(Person.name == folded(name))).one_or_none()
    return None if row is None else PersonInfo(*row)


def people(store: Store) -> list[PersonInfo]:
    """Everybody who may be asked to judge, or came out of a file, by number. Not who chats: those may be thousands."""
    chats = (Person.kind == "imported") & Person.name.startswith(PARTICIPANT)
    with store.reading() as connection:
        return [PersonInfo(*row) for row in connection.execute(PERSON.where(~chats).order_by(Person.id))]


def password_hash(store: Store, person_id: int) -> str | None:
    """The hash that a password is to be checked against; None for those who have none and cannot sign in."""
    with store.reading() as connection:
        return connection.execute(select(Person.password_hash).where(Person.id == person_id)).scalar_one_or_none()


def set_password_hash(store: Store, person_id: int, password_hash: str) -> None:
    """A new password. All sessions of the person end."""
    _change(store, person_id, "password", end_sessions=True, password_hash=password_hash)


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
    _change(store, person_id, "status", by=by, end_sessions=status == "suspended", status=status)


def set_kind(store: Store, person_id: int, kind: str, *, by: int | None = None) -> None:
    """Say what somebody is: a person, or a program that judges in her stead. What was judged before stays as it was."""
    if kind not in PERSON_KINDS:
        raise InvalidError(f"kind {kind!r}: use one of {', '.join(PERSON_KINDS)}")
    _change(store, person_id, "kind", by=by, kind=kind)


def consent(store: Store, person_id: int, version: int) -> None:
    """Record that a person agreed to this version of the terms. Only the latest can be agreed to."""
    with store.writing() as connection:
        latest = latest_version(connection, "terms")
        if version != latest:
            raise StaleError(f"version {version} of the terms is not the latest, {latest}; read that one")
        one_person(connection, PERSON.where(Person.id == person_id))
        now = store.now()
        connection.execute(update(Person).where(Person.id == person_id).values(consent_version=version, consent_at=now))
        audit(connection, now, person_id, "consent", version=version)


# -------------------------------------------------------------------------------------------------


def _change(
    store: Store,
    person_id: int,
    action: str | None,
    *,
    by: int | None = None,
    end_sessions: bool = False,
    **values: Any,
) -> None:
    with store.writing() as connection:
        changed = connection.execute(update(Person).where(Person.id == person_id).values(values))
        if not changed.rowcount:
            raise NotFoundError(f"there is no person {person_id}")
        if action is not None:
            shown = {} if action == "password" else values
            audit(connection, store.now(), by if by is not None else person_id, action, person=person_id, **shown)
        if end_sessions:
            connection.execute(delete(SignIn).where(SignIn.person_id == person_id))


def one_person(connection: Connection, query: Any) -> PersonInfo:
    """The one row of a query for ``PERSON``; :class:`NotFoundError` if there is none."""
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError("there is no such person")
    return PersonInfo(*row)
