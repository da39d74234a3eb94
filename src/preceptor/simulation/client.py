"""One person's connection to the labeling app: her session, patience when the server is away, and a stop-watch."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx2

from preceptor.errors import InputError

PATIENCE = 60.0  # seconds to go on trying while the server is away or busy
TIMEOUT = 30.0


@dataclass
class Watch:
    """What was measured, of all clients together."""

    seconds: dict[str, list[float]] = field(default_factory=dict)  # by route, of requests that were answered
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    away: int = 0  # requests that found no server

    def note(self, route: str, seconds: float, status: int) -> None:
        """One request was answered."""
        self.seconds.setdefault(route, []).append(seconds)
        self.statuses[route, status] += 1


class Client:
    """A session with the server at ``url``. Use it as an async context manager."""

    def __init__(self, url: str, watch: Watch, patience: float = PATIENCE) -> None:
        try:
            self._http = httpx2.AsyncClient(base_url=url, timeout=TIMEOUT)
        except httpx2.InvalidURL:
            raise InputError(f"--url {url}: is no address; give it as http://127.0.0.1:8000") from None
        self._watch = watch
        self.patience = patience
        self._url = url
        self._csrf = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    def measure(self, watch: Watch) -> None:
        """From now on measure here."""
        self._watch = watch

    async def come_in(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Sign in, or accept an invitation; then agree to the terms, if there are any to agree to."""
        session = await self.call("POST", path, body)
        self._csrf = session["csrf"]
        if session["must_consent"] is not None:
            session = await self.call("POST", "/api/consent", {"version": session["must_consent"]})
        return session

    async def call(self, method: str, path: str, body: Any = None, route: str = "") -> Any:
        """The answer to a request; an :class:`InputError` if the server refuses it.

        Tried again while the server is away or busy: everything here may be sent twice, submissions by their keys.
        """
        answer = await self.ask(method, path, body, route)
        if answer.is_success:
            return answer.json() if answer.content else None
        raise InputError(f"{self._url}{path}: {answer.status_code}, {said(answer)}")

    async def ask(self, method: str, path: str, body: Any = None, route: str = "") -> httpx2.Response:
        """:meth:`call`, whatever the answer is."""
        until = time.monotonic() + self.patience
        pause = 0.05
        while True:
            begun = time.perf_counter()
            try:
                answer = await self._http.request(method, path, json=body, headers={"X-CSRF-Token": self._csrf})
            except httpx2.UnsupportedProtocol:
                raise InputError(f"--url {self._url}: is no address; give it as http://127.0.0.1:8000") from None
            except httpx2.TransportError as error:
                self._watch.away += 1
                if time.monotonic() > until:
                    raise InputError(f"{self._url}: no answer ({error or type(error).__name__}); start it") from None
            else:
                self._watch.note(f"{method} {route or path}", time.perf_counter() - begun, answer.status_code)
                if answer.status_code not in (429, 503) or time.monotonic() > until:
                    return answer
            await asyncio.sleep(pause)
            pause = min(2.0, 2 * pause)

    async def lines(self, path: str) -> AsyncIterator[str]:
        """The lines of a download, as they come."""
        async with self._http.stream("GET", path) as answer:
            if not answer.is_success:
                await answer.aread()
                raise InputError(f"{self._url}{path}: {answer.status_code}, {said(answer)}")
            async for line in answer.aiter_lines():
                if line:
                    yield line


def said(answer: httpx2.Response) -> str:
    """The server's word on a refusal."""
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "and no word on why; is this the labeling app?"
