"""A front before an app whose replies are written here, and servers that run in a thread of the test."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from preceptor.serving.front.record import record_of
from preceptor.serving.front.served import Load
from preceptor.serving.pages import mount_pages
from preceptor.serving.refusals import handle_refusals

CHAT = "/v1/chat/completions"
HEAD = {"id": "c", "created": 1, "model": "big"}
LONG = {"slow": 300, "steady": 15}  # rounds of three words, 0.06 s each


class FakeServed:
    """Models that are as well as the test says."""

    broken = False
    why: str | None = None

    async def trouble(self) -> str | None:
        return self.why

    def loads(self) -> Sequence[Load]:
        return [Load("tiny", 3, 2)]


class FakeModels:
    """The app behind the front. ``left`` counts the replies that were ended before their end."""

    def __init__(self) -> None:
        self.left = 0
        self.app = FastAPI()
        handle_refusals(self.app)
        self.app.add_api_route("/v1/models", lambda: {"data": []})
        self.app.add_api_route(CHAT, self.complete, methods=["POST"], response_model=None)
        mount_pages(self.app)

    async def complete(self, request: Request) -> Response:
        """``tokens`` tokens, one every ``pause`` seconds, ``size`` bytes each."""
        asked = await request.json()
        if asked.get("fail"):
            raise RuntimeError("broken on purpose")
        record = record_of(request)
        record.begins("tiny", 5)
        tokens, pause, size = asked.get("tokens", 3), asked.get("pause", 0.0), asked.get("size", 1)

        async def events() -> AsyncIterator[str]:
            done = 0
            try:
                for done in range(1, tokens + 1):
                    await asyncio.sleep(pause)
                    record.wrote(0, done)
                    yield f"data: {json.dumps({'text': 'x' * size})}\n\n"
                yield "data: [DONE]\n\n"
            finally:
                self.left += done < tokens

        if asked.get("stream"):
            return StreamingResponse(events(), media_type="text/event-stream")
        return JSONResponse([event async for event in events()])


class FakeBackend:
    """Answers as vLLM does. The model's name says how."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.authorization: list[str | None] = []
        self.left = 0
        self.app = FastAPI()
        self.app.add_api_route("/v1/models", self.models)
        for path in ("/v1/chat/completions", "/v1/completions"):
            self.app.add_api_route(path, self.complete, methods=["POST"], response_model=None)

    def models(self, request: Request) -> dict[str, Any]:
        self.authorization.append(request.headers.get("authorization"))
        return {"object": "list", "data": [{"id": "big", "object": "model", "created": 1, "owned_by": "vllm"}]}

    async def complete(self, request: Request) -> Response:
        asked = await request.json()
        self.asked.append(asked)
        self.authorization.append(request.headers.get("authorization"))
        name = asked["model"]
        if name.isdecimal():
            error = {"message": f"says {name}", "type": "x", "param": "messages", "code": "y"}
            return JSONResponse({"error": error}, int(name), headers={"Retry-After": "7"})
        if asked.get("stream"):
            return StreamingResponse(self.events(name), media_type="text/event-stream")
        try:
            await asyncio.sleep(60 if name == "slow" and not await gone(request) else 0)
        except asyncio.CancelledError:
            self.left += 1
            raise
        self.left += name == "slow"
        choice = {"index": 0, "message": {"role": "assistant", "content": "Lima."}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
        return JSONResponse(
            {"id": "c", "object": "chat.completion", "created": 1, "model": name, "choices": [choice], "usage": usage}
        )

    async def events(self, name: str) -> AsyncIterator[str]:
        whole = False
        try:
            for word in ["Li", "ma", "."] * LONG.get(name, 1):
                await asyncio.sleep(0.02 if name in LONG else 0)
                yield event({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
            if name != "torn":
                yield event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
                yield event({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}})
                yield "data: [DONE]\n\n"
            whole = True
        finally:
            self.left += not whole


async def gone(request: Request) -> bool:
    """Waits until the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return True


def event(data: dict[str, Any]) -> str:
    return (
        f"data: {json.dumps({'id': 'c', 'object': 'chat.completion.chunk', 'created': 1, 'model': 'big'} | data)}\n\n"
    )


@contextmanager
def running(server: uvicorn.Server) -> Iterator[str]:
    """A server in a thread; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
    assert not thread.is_alive()
