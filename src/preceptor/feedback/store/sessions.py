"""Who a browser's session belongs to, for every request: one statement, built once."""

from sqlalchemy import bindparam, func, select

from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.people import PersonInfo, hashed_token
from preceptor.feedback.store.tables import Person, Published, SignIn

_TERMS = select(func.max(Published.version)).where(Published.name == "terms").scalar_subquery()
_SESSION = (
    select(
        Person.id,
        Person.name,
        Person.role,
        Person.status,
        Person.kind,
        Person.language,
        Person.consent_version,
        Person.consent_at,
        _TERMS,
    )
    .join(SignIn, SignIn.person_id == Person.id)
    .where(SignIn.token_hash == bindparam("hashed"), SignIn.expires_at > bindparam("now"), Person.status == "active")
)


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
