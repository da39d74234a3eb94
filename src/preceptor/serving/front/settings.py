"""What the front is told when it starts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FrontSettings:
    """Limits of the whole server; those of a key are in its file. Tests make them small."""

    hosts: tuple[str, ...] = ()  # names that it answers to, without port; empty: any. Keeps DNS rebinding out
    timeout: float = 600.0  # seconds for a request in all; what OpenAI's clients wait by default
    body_seconds: float = 30.0  # for its body to arrive
    requests_at_once: int = 512  # more are refused: better than all of them late
    wrong_keys: int = 30  # from one address in a window
    wrong_seconds: float = 60.0  # the window
