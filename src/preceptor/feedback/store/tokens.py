"""Secrets that stand in a link or a cookie. They leave once and are kept as hashes."""

import hashlib
import secrets


def new_token() -> str:
    """256 random bits, for a URL and for a command line: none begins with "-", which would look like an option."""
    return secrets.token_hex(32)


def hashed_token(token: str) -> str:
    """SHA-256 is enough: the token is 256 random bits, not a password."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
