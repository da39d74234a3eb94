"""What is known of a request in the end: one line of the log, and what the figures count. Never what was said in it."""

import secrets
from dataclasses import dataclass, field
from time import monotonic

from starlette.requests import Request
from starlette.types import Scope

_PLACE = "preceptor.record"  # in an ASGI scope


@dataclass(eq=False)
class Record:
    """A request. Routes say which model is asked and how much it writes; all else the front sees by itself."""

    method: str = ""
    id: str = field(default_factory=lambda: f"req-{secrets.token_hex(12)}")
    started: float = field(default_factory=monotonic)
    route: str = "other"  # as the app spells it, with its gaps: never a path that somebody made up
    key: str | None = None  # the name of the key
    model: str | None = None  # one that is served; a name that is not is never kept
    status: int = 0
    refused: str | None = None  # why, in a word
    ended: str = "left"  # or "complete", or "cut" by the server
    prompt_tokens: int = 0
    first_token: float | None = None  # seconds from the start
    _written: dict[int, int] = field(default_factory=dict)

    def begins(self, model: str, prompt_tokens: int) -> None:
        """A model has taken the request on."""
        self.model, self.prompt_tokens = model, prompt_tokens

    def wrote(self, sample: int, tokens: int) -> None:
        """One of its responses has so many tokens now."""
        if self.first_token is None and tokens:
            self.first_token = self.age
        self._written[sample] = tokens

    def says(self, prompt_tokens: int, completion_tokens: int) -> None:
        """What another server counted itself, in place of what was counted here."""
        self.prompt_tokens, self._written = prompt_tokens, {0: completion_tokens}

    @property
    def completion_tokens(self) -> int:
        """Tokens written, of all responses."""
        return sum(self._written.values())

    @property
    def age(self) -> float:
        """Seconds since it came."""
        return monotonic() - self.started


def put_record(scope: Scope, record: Record) -> None:
    """Have the routes find it."""
    scope[_PLACE] = record


def record_of(request: Request) -> Record:
    """The record of a request; one that nobody reads, if no front stands before the app."""
    record: Record = request.scope.setdefault(_PLACE, Record())
    return record
