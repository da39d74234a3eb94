"""People who talk to a model and let what they do be kept: what they agreed to, under a name that is nobody's.

A participant is known by a token that her browser alone has. The store has a keyed hash of it, which is her name among
the ``people`` and the user of her prompts. She cannot sign in, and no list of labelers shows her.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from preceptor.feedback.store.audited import audit
from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.errors import NotFoundError, StaleError
from preceptor.feedback.store.forget import Forgot, forget
from preceptor.feedback.store.people import add_person
from preceptor.feedback.store.published import latest_version
from preceptor.feedback.store.settings import pseudonym, setting
from preceptor.feedback.store.tables import Person
from preceptor.feedback.store.tokens import new_token

TEXT = "chat"  # the published text that is agreed to


@dataclass(frozen=True)
class Consent:
    """What a participant agreed to, and when. It holds as long as no newer version of the text is published."""

    person: int
    user: str
    version: int
    at: datetime
    latest: int  # version of the text

    @property
    def holds(self) -> bool:
        """Whether anything may be kept."""
        return self.version == self.latest


def agree(store: Store, version: int, token: str | None = None) -> tuple[str, Consent]:
    """Agree to a version of the text, the latest. The participant's token, a new one if she has none that counts.

    :class:`StaleError` if there is a newer version, which has to be read first.
    """
    with store.writing() as connection:
        latest, now = latest_version(connection, TEXT), store.now()
        if version != latest:
            raise StaleError(f"version {version} is not the latest of the text, {latest}; read that one")
        known = consent_of(connection, token) if token is not None else None
        if token is None or known is None:
            token = new_token()
            person = add_person(connection, now, user_of(connection, token), kind="imported").id
        else:
            person = known.person
        given = {"consent_version": version, "consent_at": now}
        connection.execute(update(Person).where(Person.id == person).values(given))
        audit(connection, now, person, "consent", text=TEXT, version=version)
        consent = consent_of(connection, token)
        assert consent is not None
    return token, consent


def consent_of(connection: Connection, token: str) -> Consent | None:
    """What the bearer of a token agreed to; None if the token is nobody's, or she withdrew or was shut out.

    In a transaction that writes it stays so until the end: a withdrawal waits, and then sees what was written.
    """
    query = select(Person.id, Person.name, Person.consent_version, Person.consent_at).where(
        Person.name == user_of(connection, token), Person.status == "active", Person.consent_at.is_not(None)
    )
    row = connection.execute(query.with_for_update(read=True)).one_or_none()
    if row is None:
        return None
    number, user, version, at = row
    assert version is not None and at is not None  # written together
    return Consent(number, user, version, at, latest_version(connection, TEXT))


def find_consent(store: Store, token: str) -> Consent | None:
    """:func:`consent_of` in a transaction of its own."""
    with store.reading() as connection:
        return consent_of(connection, token)


def withdraw_consent(store: Store, token: str) -> Forgot:
    """Take consent back: all that was kept of the participant is deleted, and her token is worth nothing any more.

    :class:`NotFoundError` if nobody who agreed has this token.
    """
    with store.writing() as connection:  # first, so that nothing new comes in while the old is deleted
        user = user_of(connection, token)
        person = connection.execute(select(Person.id).where(Person.name == user)).scalar()
        if person is None:
            raise NotFoundError("nobody has agreed to anything under this token; there is nothing to withdraw")
        nothing = {"consent_version": None, "consent_at": None}
        connection.execute(update(Person).where(Person.id == person).values(nothing))
        audit(connection, store.now(), person, "withdraw consent", text=TEXT)
    return forget(store, user, by=person)


def user_of(connection: Connection, token: str) -> str:
    """The name that a token's bearer has in the store."""
    return pseudonym(setting(connection, "pseudonym_key"), TEXT, token)
