"""Sessions: a browser that is signed in, and who it belongs to."""

from datetime import timedelta

from sqlalchemy import bindparam, delete, func, insert, select

from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.errors import ForbiddenError
from preceptor.feedback.store.people import PERSON, PersonInfo, one_person
from preceptor.feedback.store.tables import Person, Published, SignIn
from preceptor.feedback.store.tokens import hashed_token, new_token

# Every request asks this: one statement, built once.
_TERMS = select(func.max(Published.version)).where(Published.name == "terms").scalar_subquery()
_SESSION = (
    PERSON.add_columns(_TERMS)
    .join(SignIn, SignIn.person_id == Person.id)
    .where(SignIn.token_hash == bindparam("hashed"), SignIn.expires_at > bindparam("now"), Person.status == "active")
)


def open_session(store: Store, person_id: int, *, days: float = 14.0) -> str:
    """Sign in: a token for the browser. Only its hash is kept. Suspended people are refused."""
    token, now = new_token(), store.now()
    with store.writing() as connection:
        if one_person(connection, PERSON.where(Person.id == person_id)).status != "active":
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


def session_and_terms(store: Store, token: str) -> tuple[PersonInfo | None, int | None]:
    """The person whose session this is, and the version of the terms that she has yet to agree to.

    Nobody, if the token is unknown or over or the person not active; no version, if there is nothing to agree to.
    """
    with store.reading() as connection:
        row = connection.execute(_SESSION, {"hashed": hashed_token(token), "now": store.now()}).one_or_none()
    if row is None:
        return None, None
    who, latest = PersonInfo(*row[:-1]), row[-1]
    return who, latest if latest and latest != who.consent_version else None


def close_session(store: Store, token: str) -> None:
    """Sign out."""
    with store.writing() as connection:
        connection.execute(delete(SignIn).where(SignIn.token_hash == hashed_token(token)))
