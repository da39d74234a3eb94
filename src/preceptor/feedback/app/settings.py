"""What the server is told when it starts."""

from dataclasses import dataclass, field

from argon2 import PasswordHasher


@dataclass(frozen=True)
class AppSettings:
    """Limits of the server. The defaults are for a team of people; tests make them small."""

    hosts: tuple[str, ...] = ()  # names that it answers to, without port; empty: any. Keeps DNS rebinding out
    body_bytes: int = 4 << 20  # of JSON: a draft of a million characters fits, all of them escaped
    upload_bytes: int = 1 << 30  # of a file to import
    requests_at_once: int = 500  # more are answered 503: better than all of them late
    threads: int = 6  # that work on the database; more of them only wait for each other (measured: 4 to 20)
    sign_in_failures: int = 10  # of one name in a window
    address_failures: int = 50  # of one address, where a whole office may sit behind
    failure_seconds: float = 900.0  # the window
    hashings_at_once: int = 2  # each takes 64 MiB and a core for some 50 ms
    session_days: float = 14.0
    hasher: PasswordHasher = field(default_factory=PasswordHasher)  # argon2id, RFC 9106's second choice
