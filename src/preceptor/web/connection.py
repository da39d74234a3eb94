"""What uvicorn leaves open: how long a head may take, how large it may be, and clients that stop reading.

Without this a client that sends a byte a minute, or nothing, keeps its connection for ever; and one that asks for a
long answer and reads none of it keeps the answer in memory.
"""

from asyncio import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0  # from the first byte that could be a request's, or from connecting, to the end of its head
HEAD_BYTES = 64 << 10
STALLED_SECONDS = 30.0  # that a client may take to read on, once what is buffered for it is full


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with these limits. Give it to ``uvicorn.Config(http=...)``."""

    head_seconds, head_bytes, stalled_seconds = HEAD_SECONDS, HEAD_BYTES, STALLED_SECONDS

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._heading: TimerHandle | None = None  # runs while a head is awaited
        self._stalling: TimerHandle | None = None  # runs while the client does not read
        self._head_size = 0

    def connection_made(self, transport: Any) -> None:
        """A client has come."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, error: Exception | None) -> None:
        """It has left."""
        for timer in (self._heading, self._stalling):
            if timer is not None:
                timer.cancel()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request. The first after an answer begin the time of the next head."""
        if self._heading is None and (self.cycle is None or self.cycle.response_complete):
            self._await_head()
        self._head_size += len(data)
        super().data_received(data)
        if self._heading is not None and self._head_size > self.head_bytes:
            self._refuse("the head of the request is too long")

    def on_headers_complete(self) -> None:
        """The head is there; uvicorn starts the app."""
        if self._heading is not None:
            self._heading.cancel()
            self._heading = None
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """An answer was written. If the connection ends with it, a client that reads no further does not keep it."""
        super().on_response_complete()
        if self.transport.is_closing():
            self.loop.call_later(self.stalled_seconds, self.transport.abort)

    def pause_writing(self) -> None:
        """The client reads more slowly than it is written to."""
        super().pause_writing()
        self._stalling = self.loop.call_later(self.stalled_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read on."""
        super().resume_writing()
        if self._stalling is not None:
            self._stalling.cancel()
            self._stalling = None

    def _await_head(self) -> None:
        self._head_size = 0
        self._heading = self.loop.call_later(self.head_seconds, self._refuse, "the head of the request took too long")

    def _refuse(self, why: str) -> None:
        if self.transport.is_closing():
            return
        if self._head_size == 0:
            self.transport.close()  # in silence: a browser would take words for the answer to its next request
        else:
            self.send_400_response(why)
            self.loop.call_later(self.stalled_seconds, self.transport.abort)
