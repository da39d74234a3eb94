"""How long a request may take: for its body to arrive, and in all. One clock, which is set anew as it gets on."""

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from preceptor.serving.front.settings import FrontSettings
from preceptor.serving.refusals import RefusalError


class Times:
    """The clock of one request. Made in the task that answers it."""

    def __init__(self, settings: FrontSettings) -> None:
        self._settings = settings
        self._start = asyncio.get_running_loop().time()
        self._end = self._start + settings.timeout
        self._timer = asyncio.timeout_at(self._end)
        self._body_is_here = True
        self._stopping = False

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the app answer. Raises a refusal when time is up; the app is cancelled then, and frees what it holds."""

        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                self._body_is_here = True
                self._set(self._end)
            return message

        headers = Headers(scope=scope)
        try:
            async with self._timer:
                if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
                    self._body_is_here = False
                    self._set(min(self._end, self._start + self._settings.body_seconds))
                await app(scope, receiving, send)
        except TimeoutError:
            if not self._timer.expired():
                raise
            raise self._refusal() from None

    def hurry(self, end: float) -> None:
        """The server stops: the request ends by then, in the loop's time."""
        if end < self._end:
            self._end, self._stopping = end, True
            self._set(min(end, self._timer.when() or end))

    def _set(self, when: float) -> None:
        with suppress(RuntimeError):  # it has run out already
            self._timer.reschedule(when)

    def _refusal(self) -> RefusalError:
        if self._stopping:
            return RefusalError(503, "the server is stopping, and the request was not done in time", code="stopping")
        if not self._body_is_here:
            return RefusalError(
                408, f"the body did not arrive within {self._settings.body_seconds:g} s", code="body_timeout"
            )
        return RefusalError(
            504, f"the request took longer than {self._settings.timeout:g} s; ask for fewer tokens", code="timeout"
        )
