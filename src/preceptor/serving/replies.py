"""Replies, whatever they answer: jobs taken on, their pieces gathered or streamed, and freed whoever goes away."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from time import time
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from preceptor.serving.refusals import RefusalError, failed
from preceptor.serving.worker import BrokenError, Job, Piece, Worker

T = TypeVar("T")


def find_worker(workers: Mapping[str, Worker], name: str) -> Worker:
    """The worker of the model that a request names."""
    if name not in workers:
        raise RefusalError(
            404, f"no such model here; there are: {', '.join(workers)}", code="model_not_found", param="model"
        )
    return workers[name]


def take_on(worker: Worker, job: Job) -> None:
    """Give a job to its worker, or refuse it."""
    try:
        if not worker.submit(job):
            raise RefusalError(429, "the server has as many requests as it can take; try again in a second")
    except BrokenError:
        raise failed() from None


def new_head(prefix: str, model: str) -> dict[str, Any]:
    """What every part of a reply begins with."""
    return {"id": f"{prefix}-{secrets.token_hex(12)}", "created": int(time()), "model": model}


async def pieces_of(job: Job) -> AsyncIterator[Piece]:
    """The pieces of all samples until the last is complete."""
    left = job.samples
    while left:
        piece = await job.pieces.get()
        if isinstance(piece, BrokenError):
            raise piece
        left -= piece.finish_reason is not None
        yield piece


def usage(job: Job, written: int) -> dict[str, int]:
    """What a reply cost, in tokens."""
    return {
        "prompt_tokens": len(job.prompt),
        "completion_tokens": written,
        "total_tokens": len(job.prompt) + written,
    }


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
            task.cancel()
            with suppress(asyncio.CancelledError, BrokenError):
                await task
