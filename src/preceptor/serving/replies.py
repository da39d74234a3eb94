"""Replies, whatever they answer: pieces gathered or streamed, and what they cost."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from time import time
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from preceptor.serving.logprobs import TokenLog
from preceptor.serving.refusals import RefusalError, failed
from preceptor.serving.worker import BrokenError, Job
from preceptor.serving.writer import Chosen, Piece

T = TypeVar("T")


class Reply:
    """A reply in the making: its pieces, what it has cost so far, and what the client is told of it.

    ``notes`` stand under ``preceptor`` in the reply, where there are any; they are complete with the first piece
    that ends a choice.
    """

    def __init__(self, prefix: str, kind: str, model: str, job: Job) -> None:
        self.job, self.notes = job, dict[str, Any]()
        self.head = {"id": f"{prefix}-{secrets.token_hex(12)}", "object": kind, "created": int(time()), "model": model}
        self._written = [0] * job.order.samples
        self._logs = [TokenLog() for _ in range(job.order.samples)]

    async def pieces(self) -> AsyncIterator[Piece]:
        """The pieces of all samples until the last is complete."""
        left = self.job.order.samples
        while left:
            piece = await self.job.pieces.get()
            if isinstance(piece, BrokenError):
                raise piece
            left -= piece.finish_reason is not None
            self._written[piece.sample] = piece.tokens
            yield piece

    def told(self, piece: Piece) -> list[Chosen]:
        """The tokens whose text the piece holds; for a job that asks for them."""
        return self._logs[piece.sample].push(piece)

    @property
    def usage(self) -> dict[str, int]:
        """What the reply cost, in tokens; every response counts, be it sent or not."""
        read, written = sum(map(len, self.job.order.prompts)), sum(self._written)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def body(self, choices: list[dict[str, Any]], *, usage: bool = False, notes: bool = False) -> dict[str, Any]:
        """The reply's body, or one of its events."""
        more = {"usage": self.usage} if usage else {}
        return self.head | {"choices": choices} | more | ({"preceptor": self.notes} if notes and self.notes else {})


class EventStream(StreamingResponse):
    """Server-sent events, the last of them ``[DONE]``. ``release`` is called at the end, whatever happened before.

    A client that goes away cancels the stream, be it before its first event, when ``events`` has not begun to run and
    nothing in it is ever reached.
    """

    def __init__(self, events: AsyncIterator[dict[str, Any]], release: Callable[[], None]) -> None:
        super().__init__(_written(events), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See Starlette."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._release()


async def _written(events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    try:
        async for event in events:
            yield _event(event)
        yield "data: [DONE]\n\n"
    except BrokenError:
        yield _event(failed().body)
    except RefusalError as refusal:
        yield _event(refusal.body)


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


async def unless_left(request: Request, work: AsyncIterator[T]) -> list[T] | Response:
    """All that ``work`` gives, or the answer that nobody reads if the client goes away before it is complete."""

    async def gather() -> list[T]:
        return [one async for one in work]

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    gathering, leaving = asyncio.create_task(gather()), asyncio.create_task(leave())
    try:
        await asyncio.wait((gathering, leaving), return_when=asyncio.FIRST_COMPLETED)
        return gathering.result() if gathering.done() else Response(status_code=499)
    except BrokenError:
        raise failed() from None
    finally:
        for task in (gathering, leaving):
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
