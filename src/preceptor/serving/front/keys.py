"""API keys: a file with a line for each, which holds no key but its hash."""

import hashlib
import logging
import secrets
from datetime import UTC, datetime
from hmac import compare_digest
from pathlib import Path
from time import monotonic

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field

from preceptor.errors import InputError
from preceptor.files import read_jsonl, write_jsonl
from preceptor.serving.front.log import LOGGER

LOOK_SECONDS = 1.0  # how long a key that was taken out of the file may still work


class Key(BaseModel):
    """A line of the file. A limit that is not there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[\w.@-]{1,64}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created: datetime
    requests_per_minute: int | None = Field(None, ge=1)
    tokens_per_minute: int | None = Field(None, ge=1)  # read and written
    at_once: int | None = Field(None, ge=1)


def hash_of(key: str) -> str:
    """What is kept of a key.

    Plain SHA-256 is right here, and a slow hash such as argon2 would be wrong: a key is 256 random bits, which nobody
    finds by trying, however fast the hash; and it is computed for every request.
    """
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def new_key(path: Path, name: str, **limits: int | None) -> str:
    """Make a key and add it to the file, which is made if need be. The key is returned, and kept nowhere."""
    key = f"preceptor-{secrets.token_urlsafe(32)}"
    try:
        line = Key(name=name, sha256=hash_of(key), created=datetime.now(UTC).replace(microsecond=0), **limits)
    except ValueError:
        raise InputError(f"{name!r}: is no name for a key; use up to 64 letters, digits and . _ - @") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        keys = _read(path) if path.exists() else []
        if any(one.name == name for one in keys):
            raise InputError(f"{path}: has a key called {name}; take its line out, or choose another name")
        write_jsonl(path, [*keys, line])
        path.chmod(0o600)
    return key


class KeyRing:
    """The keys of a file, which is read again when it changes: no restart lets somebody in or out."""

    def __init__(self, path: Path) -> None:
        self._path, self._looked = path, monotonic()
        self._state, self._keys = _state(path), _read(path)

    def find(self, given: str) -> Key | None:
        """The key that was given, if it is one of these. Takes as long for any that is not."""
        self._look()
        digest, found = hash_of(given), None
        for key in self._keys:
            if compare_digest(key.sha256, digest):
                found = key
        return found

    def _look(self) -> None:
        if monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = monotonic()
        try:
            state = _state(self._path)
            if state != self._state:
                self._state, self._keys = state, _read(self._path)
        except InputError as error:
            logging.getLogger(LOGGER).error("the keys stay as they were: %s", error)


def _state(path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0, 0)  # reading says what is wrong
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _read(path: Path) -> list[Key]:
    keys = read_jsonl(path, Key)
    names = [key.name for key in keys]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path}: two keys are called {twice}; rename one")
    return keys
