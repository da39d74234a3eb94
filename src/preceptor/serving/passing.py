"""The API over a backend: bodies are passed on as they come, and replies as they are written.

A client that leaves ends its request over there too.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, StrictBool, StrictStr
from starlette.types import Receive, Scope, Send

from preceptor.serving.backend import Backend, object_of
from preceptor.serving.bodies import read_body
from preceptor.serving.feedback import mount_feedback
from preceptor.serving.front.record import Record, record_of
from preceptor.serving.pages import mount_pages
from preceptor.serving.refusals import RefusalError, find_served, handle_refusals
from preceptor.serving.replies import EventStream, unless_left

EVENT_BYTES = 4 << 20  # a longer line is no event
OURS = ("best_of", "truncate")  # fields of a chat that a backend would ignore in silence


class Forwarded(BaseModel):
    """A request as it is passed on: what else is in it is for the backend to judge."""

    model_config = ConfigDict(extra="allow")

    model: StrictStr
    stream: StrictBool = False

    def body(self) -> dict[str, Any]:
        """What the backend gets. A stream is always to say what it cost, so that it can be charged."""
        body: dict[str, Any] = self.model_dump()
        body.pop("user", None)  # nothing that names a person goes on
        if body.get("top_k") == 0:
            body["top_k"] = -1  # "all", as every version of vLLM takes it
        if self.stream:
            body["stream_options"] = {**self._options, "include_usage": True}
        return body

    @property
    def wants_usage(self) -> bool:
        """Whether the client asks for the event that says so."""
        return self._options.get("include_usage") is True

    @property
    def _options(self) -> dict[str, Any]:
        options = (self.model_extra or {}).get("stream_options")
        return options if isinstance(options, dict) else {}


def create_passing_app(backend: Backend) -> FastAPI:
    """The app, with the chat page."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await backend.http.aclose()

    app = FastAPI(title="Preceptor", docs_url=None, redoc_url=None, lifespan=lifespan)
    handle_refusals(app)

    @app.get("/v1/models")
    async def models(request: Request) -> Response:
        return await _whole(request, backend, "GET", "models")

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """One of the models, out of the list: not every backend has an address for each."""
        return find_served(await backend.models(), name)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        """A reply to a conversation."""
        asked = await read_body(request, Forwarded)
        for name in OURS:
            if asked.model_extra and asked.model_extra.get(name):
                raise RefusalError(400, f"{name}: is not for a backend; leave it out", param=name)
        return await _reply(request, backend, "chat/completions", asked)

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        """How a text goes on."""
        return await _reply(request, backend, "completions", await read_body(request, Forwarded))

    @app.post("/v1/inspect")
    @app.post("/v1/inspect/attention")
    def inspect() -> None:
        """Nothing of a model but its text comes through a backend."""
        raise RefusalError(404, "a backend's models cannot be inspected; serve them with --model")

    mount_feedback(app, None)
    mount_pages(app)
    return app


async def _reply(request: Request, backend: Backend, path: str, asked: Forwarded) -> Response:
    label = await backend.label(asked.model)
    if not asked.stream:
        return await _whole(request, backend, "POST", path, asked, label)

    async def answer() -> AsyncIterator[httpx2.Response]:
        yield await backend.send("POST", path, asked.body())

    got = await unless_left(request, answer())
    if isinstance(got, Response):
        return got
    record_of(request).begins(label, 0)
    return _PassedStream(backend, got[0], asked, record_of(request))


async def _whole(
    request: Request, backend: Backend, method: str, path: str, asked: Forwarded | None = None, label: str = ""
) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        answer = await backend.send(method, path, asked.body() if asked else None)
        try:
            async for chunk in backend.bytes_of(answer):
                yield chunk
        finally:
            await answer.aclose()

    got = await unless_left(request, chunks())
    if isinstance(got, Response):
        return got
    body = b"".join(got)
    if asked is not None:
        record_of(request).begins(label, 0)
        _charge(record_of(request), object_of(body))
    return Response(body, media_type="application/json")


class _PassedStream(EventStream):
    """The events of a backend's answer, which is closed at the end, whatever happened before."""

    def __init__(self, backend: Backend, answer: httpx2.Response, asked: Forwarded, record: Record) -> None:
        super().__init__(_events(backend, answer, asked, record), lambda: None)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `EventStream`."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):  # also when the client has left
                await self._answer.aclose()


async def _events(
    backend: Backend, answer: httpx2.Response, asked: Forwarded, record: Record
) -> AsyncIterator[dict[str, Any]]:
    """The events up to ``[DONE]``, without that of the cost if nobody asked for it."""
    written: dict[int, int] = {}
    async for line in _lines(backend.bytes_of(answer)):
        if not line.startswith(b"data:"):
            continue
        if line[5:].strip() == b"[DONE]":
            return
        event = object_of(line[5:])
        for choice in event.get("choices") or []:  # an event is a token, until the backend counts them itself
            index = choice.get("index", 0)
            written[index] = written.get(index, 0) + bool(choice.get("text") or choice.get("delta", {}).get("content"))
            record.wrote(index, written[index])
        _charge(record, event)
        if event.get("choices") or "error" in event or asked.wants_usage:
            yield event
    raise RefusalError(502, f"the backend at {backend.url} broke off", code="backend_down")


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > EVENT_BYTES:
            raise RefusalError(502, "the backend does not send events", code="backend_failed")
        for line in whole:
            yield line


def _charge(record: Record, said: dict[str, Any]) -> None:
    """Count what the backend says that it cost."""
    usage = said.get("usage")
    if isinstance(usage, dict):
        read, wrote = usage.get("prompt_tokens"), usage.get("completion_tokens", 0)
        if isinstance(read, int) and isinstance(wrote, int):
            record.says(read, wrote)
