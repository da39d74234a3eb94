"""What a new store is given before anybody comes in: texts to show, and a way in for the first admin."""

from importlib import resources
from typing import Literal, get_args

from sqlalchemy import delete, select

from preceptor.feedback.store import Store
from preceptor.feedback.store.invitations import invite
from preceptor.feedback.store.published import NAMES, publish, published
from preceptor.feedback.store.tables import Invitation, Person

PageLanguage = Literal["en", "zh-Hans"]
LANGUAGES: tuple[PageLanguage, ...] = get_args(PageLanguage)
FIRST_ADMIN = "the first admin"
DAYS = 1.0


def first_texts(store: Store) -> None:
    """Publish the terms and guidelines that come with Preceptor, where the store has none yet."""
    for name in NAMES:
        if published(store, name) is None:
            publish(store, name, {language: built_in(name, language) for language in LANGUAGES})


def built_in(name: str, language: str = "en") -> str:
    """A text that comes with Preceptor, as Markdown."""
    file = resources.files("preceptor.feedback.app") / "texts" / f"{name}.{language}.md"
    return file.read_text(encoding="utf-8")


def first_invitation(store: Store) -> str | None:
    """A token for the first admin, as long as there is no admin; earlier ones of this kind end with it."""
    wanted = select(Person.id).where(
        Person.role == "admin", Person.status == "active", Person.password_hash.is_not(None)
    )
    with store.reading() as connection:
        if connection.execute(wanted.limit(1)).first() is not None:
            return None
    mine = (Invitation.note == FIRST_ADMIN) & Invitation.created_by.is_(None) & Invitation.used_by.is_(None)
    with store.writing() as connection:
        connection.execute(delete(Invitation).where(mine))
    return invite(store, role="admin", note=FIRST_ADMIN, days=DAYS)
