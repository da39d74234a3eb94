"""What every request passes before any route sees it: host, origin, kind and size of the body, and how many at once."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from preceptor.feedback.app.errors import ProblemError, problem_response
from preceptor.feedback.app.settings import AppSettings
from preceptor.web.headers import SECURITY_HEADERS
from preceptor.web.origin import SAFE, from_another_site, host_name

UPLOAD = "/api/admin/import"


class Guard:
    """ASGI middleware. It also puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, settings: AppSettings) -> None:
        self._app, self._settings = app, settings
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":  # there are none
                await send({"type": "websocket.close", "code": 1000})
                return
            await self._app(scope, receive, send)
            return

        is_api = scope["path"].startswith("/api/")

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                if is_api:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        try:
            limit = self._checked(scope)
        except ProblemError as problem:
            await problem_response(problem)(scope, receive, sending)
            return
        self._running += 1
        try:
            await self._app(scope, _limited(receive, limit), sending)
        finally:
            self._running -= 1

    def _checked(self, scope: Scope) -> int:
        """How many bytes of body the request may have; :class:`ProblemError` if it may not pass at all."""
        headers, settings = Headers(scope=scope), self._settings
        if settings.hosts and host_name(headers.get("host", "")) not in settings.hosts:
            raise ProblemError(400, "this host is not served here; start the server with --allow-host to add it")
        if self._running >= settings.requests_at_once:
            raise ProblemError(503, "too many requests at once; try again shortly", headers={"Retry-After": "1"})
        upload = scope["path"] == UPLOAD
        limit = settings.upload_bytes if upload else settings.body_bytes
        if scope["method"] in SAFE:
            return limit
        if from_another_site(headers):
            raise ProblemError(403, "this request comes from another site", code="csrf")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > limit:
            raise ProblemError(413, f"the body is larger than {limit:,} bytes; send less")
        has_body = length not in ("", "0") or "transfer-encoding" in headers
        if has_body and not upload and not _is_json(headers.get("content-type", "")):
            raise ProblemError(415, "send the body as application/json")
        return limit


def _limited(receive: Receive, limit: int) -> Receive:
    """``receive`` that refuses a body longer than it may be, whatever its header said."""
    got = 0

    async def receiving() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > limit:
            raise HTTPException(413, f"the body is larger than {limit:,} bytes; send less")
        return message

    return receiving


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"
