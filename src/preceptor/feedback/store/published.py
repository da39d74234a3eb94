"""Texts that people are shown, by version: the guidelines of each kind of task, and what they agree to."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.errors import InvalidError
from preceptor.feedback.store.tables import Published
from preceptor.feedback.store.tables.queues import TASK_KINDS
from preceptor.feedback.store.words import checked_text, findable

# The terms of labeling; what is asked of people who chat with a model ("chat"); the guidelines of each kind of task.
NAMES = ("terms", "chat", *TASK_KINDS)


@dataclass(frozen=True)
class Text:
    """One version of a text in one language."""

    name: str
    version: int
    language: str
    text: str
    created_at: datetime


def publish(store: Store, name: str, texts: dict[str, str], *, by: int | None = None) -> int:
    """A new version of the guidelines of a kind of task, of the ``terms`` or of ``chat``; the number of the version.

    ``texts`` holds it by language (``{"en": ..., "zh-Hans": ...}``); "en" must be there, for whoever has no other.
    """
    if name not in NAMES:
        raise InvalidError(f"{name!r}: publish one of {', '.join(NAMES)}")
    if not texts.get("en", "").strip():
        raise InvalidError(f"{name}: give at least the English text")
    with store.writing() as connection:
        now, version = store.now(), latest_version(connection, name) + 1
        rows = [
            {
                "name": name,
                "version": version,
                "language": checked_text(language, "language", 20),
                "text": checked_text(text, name),
                "created_by": by,
                "created_at": now,
            }
            for language, text in texts.items()
        ]
        connection.execute(insert(Published), rows)
    return version


def published(store: Store, name: str, *, version: int | None = None, language: str = "en") -> Text | None:
    """The text of a version (default: the latest), in English if it is not there in the language; None if none is."""
    if not findable(name + language):
        return None
    with store.reading() as connection:
        wanted = version if version is not None else latest_version(connection, name)
        query = select(
            Published.name, Published.version, Published.language, Published.text, Published.created_at
        ).where(Published.name == name, Published.version == wanted, Published.language.in_([language, "en"]))
        found = {row.language: Text(*row) for row in connection.execute(query)}
    return found.get(language) or found.get("en")


def latest_version(connection: Connection, name: str) -> int:
    """The number of the latest version of a text; 0 if there is none."""
    return connection.execute(select(func.max(Published.version)).where(Published.name == name)).scalar() or 0
