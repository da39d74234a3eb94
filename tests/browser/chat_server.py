"""A small OpenAI-compatible server with the chat page, whose models say what is written here."""

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from preceptor.feedback.store import Store
from preceptor.serving.feedback import mount_feedback
from preceptor.serving.pages import mount_pages
from preceptor.serving.refusals import handle_refusals

HOSTILE = """<script>window.ran = 1</script> <img src=x onerror="window.ran = 2">

[click](javascript:window.ran=3) and [fine](https://example.org/a) and ![pic](https://example.org/p.png)

```html
<script>window.ran = 4</script>
```

| a | **b** |
|---|---|
| <b>1</b> | `2` |

- one
  - inner
- two"""
WORDS = {"plain": "Grüße, 你好 🙂 **bold**", "other": "Another reply.", "hostile": HOSTILE, "failing": "Half a"}


class FakeServer:
    """What was asked, whether clients went away, and the key that is needed."""

    def __init__(self, store: Store | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.cut = 0
        self.key: str | None = None
        self.url = ""
        self.app = FastAPI()
        handle_refusals(self.app)
        self.app.add_api_route("/v1/models", self.models, methods=["GET"], response_model=None)
        self.app.add_api_route("/v1/chat/completions", self.complete, methods=["POST"], response_model=None)
        mount_feedback(self.app, store)
        mount_pages(self.app)

    def models(self, request: Request) -> Response:
        """The list of models."""
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return JSONResponse({"error": {"message": "no key"}}, 401)
        return JSONResponse({"object": "list", "data": [{"id": name} for name in [*WORDS, "slow", "full"]]})

    async def complete(self, request: Request) -> Response:
        """A reply, its bytes three at a time, so that characters are cut."""
        body = await request.json()
        self.asked.append(body)
        if body["model"] == "full":
            return JSONResponse({"error": {"message": "the server is full; try again in 2 s"}}, 429)
        return StreamingResponse(self.bytes_of(body["model"]), media_type="text/event-stream")

    async def bytes_of(self, model: str) -> AsyncIterator[bytes]:
        """The events of a model's reply."""
        if model == "slow":
            try:
                for k in range(1000):
                    yield event({"choices": [{"index": 0, "delta": {"content": f"w{k} "}, "finish_reason": None}]})
                    await asyncio.sleep(0.02)
            finally:
                self.cut += 1
            return
        head = {"id": f"chatcmpl-{secrets.token_hex(12)}"}
        said = event(head | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        for k in range(0, len(WORDS[model]), 7):
            delta = {"content": WORDS[model][k : k + 7]}
            said += event(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        if model == "failing":
            said += event({"error": {"message": "the engine broke"}})
        else:
            said += (
                event(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + b"data: [DONE]\n\n"
            )
        for k in range(0, len(said), 3):
            yield said[k : k + 3]
            await asyncio.sleep(0)


def event(data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


@contextmanager
def fake_server(store: Store | None = None) -> Iterator[FakeServer]:
    """The server, in a thread; with a store it keeps what people agree to."""
    fake = FakeServer(store)
    server = uvicorn.Server(uvicorn.Config(fake.app, log_level="critical", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield fake
        finally:
            server.should_exit = True
            thread.join(30)
    assert not thread.is_alive()
