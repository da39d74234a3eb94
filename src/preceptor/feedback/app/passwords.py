"""Passwords: argon2id hashes, and as long a wait for a name that is not there as for a wrong password."""

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from preceptor.feedback.store.errors import InvalidError

MIN_PASSWORD = 10
MAX_PASSWORD = 200


class Passwords:
    """Makes hashes and checks them."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self._hasher = hasher
        self._nobodys = hasher.hash("nobody has this password")

    def hash(self, password: str) -> str:
        """The hash to keep; :class:`InvalidError` if the password is too short or too long."""
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise InvalidError(f"password: {len(password)} characters; choose {MIN_PASSWORD} to {MAX_PASSWORD}")
        return self._hasher.hash(password)

    def fits(self, kept: str | None, password: str) -> bool:
        """Whether the password is that of the hash. ``None`` (no such person) takes as long, and never fits."""
        try:
            return self._hasher.verify(kept or self._nobodys, password[:MAX_PASSWORD]) and kept is not None
        except (Argon2Error, InvalidHashError):
            return False

    def is_old(self, kept: str) -> bool:
        """Whether the hash was made with other settings than today's."""
        return self._hasher.check_needs_rehash(kept)
