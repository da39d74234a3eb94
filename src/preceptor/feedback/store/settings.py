"""What a store knows of itself: the key of its pseudonyms and the seed of its draws, made with it."""

import hashlib
import secrets
from datetime import datetime

from sqlalchemy import Connection, insert, select

from preceptor.feedback.store.tables import Forgotten, Setting

PSEUDONYM_BYTES = 12


def first_settings(connection: Connection) -> None:
    """Write the key and the seed of a new store."""
    values = {"pseudonym_key": secrets.token_hex(32), "seed": str(secrets.randbits(63))}
    there = set(connection.execute(select(Setting.name)).scalars())
    rows = [{"name": name, "value": value} for name, value in values.items() if name not in there]
    if rows:
        connection.execute(insert(Setting), rows)


def setting(connection: Connection, name: str) -> str:
    """The value of a setting that every store has."""
    return connection.execute(select(Setting.value).where(Setting.name == name)).scalar_one()


def pseudonym(key: str, kind: str, name: str) -> str:
    """A name that stands for another: the same in every export with this key, and untold without it."""
    said = f"{kind}\x1f{name}".encode("utf-8", "replace")
    keyed = hashlib.blake2b(said, key=hashlib.sha256(key.encode()).digest(), digest_size=PSEUDONYM_BYTES)
    return f"{kind}-{keyed.hexdigest()}"


def is_forgotten(connection: Connection, user: str) -> bool:
    """Whether this user of prompts asked to be forgotten."""
    if connection.execute(select(Forgotten.digest).limit(1)).first() is None:
        return False
    digest = pseudonym(setting(connection, "pseudonym_key"), "forgotten", user)
    return connection.execute(select(Forgotten.digest).where(Forgotten.digest == digest)).first() is not None


def remember_forgotten(connection: Connection, now: datetime, user: str) -> None:
    """Write down a keyed hash of a user, so that no import brings her back."""
    if not is_forgotten(connection, user):
        digest = pseudonym(setting(connection, "pseudonym_key"), "forgotten", user)
        connection.execute(insert(Forgotten).values(digest=digest, at=now))
