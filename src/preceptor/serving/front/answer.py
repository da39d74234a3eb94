"""An answer on its way out: its headers, what becomes of it, and how it is ended early."""

import json

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import Message, Scope, Send

from preceptor.serving.front.record import Record
from preceptor.serving.refusals import RefusalError
from preceptor.web.headers import SECURITY_HEADERS

REQUEST_ID = "X-Request-Id"
CLIENT_LEFT = 499  # a status that nobody reads


class Answer:
    """Passes messages on. Every answer gets the security headers and the request's id."""

    def __init__(self, scope: Scope, send: Send, record: Record) -> None:
        self._scope, self._out, self._record = scope, send, record
        self._is_stream = self._complete = False

    async def send(self, message: Message) -> None:
        """ASGI's ``send``."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers[name] = value
            headers[REQUEST_ID] = self._record.id
            headers.setdefault("Cache-Control", "no-store")
            self._is_stream = headers.get("content-type", "").startswith("text/event-stream")
            self._record.status = message["status"]
        elif not message.get("more_body", False):
            self._complete = True
        await self._out(message)
        if self._complete and self._record.ended == "left" and self._record.status != CLIENT_LEFT:
            self._record.ended = "complete"

    async def refuse(self, refusal: RefusalError) -> None:
        """End with an error: an answer of its own, or the last event of a stream. A page that is half out breaks off.

        The connection ends with it, since the body may not have been read.
        """
        self._record.refused = self._record.refused or str(refusal.body["error"]["code"] or "refused")
        if not self._record.status:
            headers = {**refusal.headers, "Connection": "close"}
            await JSONResponse(refusal.body, refusal.status, headers)(self._scope, _nothing, self.send)
        elif not self._complete:
            self._record.ended = "cut"
            if self._is_stream:
                event = f"data: {json.dumps(refusal.body)}\n\n".encode()
                await self.send({"type": "http.response.body", "body": event, "more_body": False})


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
