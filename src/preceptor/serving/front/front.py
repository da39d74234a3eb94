"""The front: what every request passes before an app sees it, in the order in which it is written here."""

import asyncio
import ipaddress
import math

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from preceptor.serving.front.answer import Answer
from preceptor.serving.front.keys import Key, KeyRing
from preceptor.serving.front.limits import Limits
from preceptor.serving.front.log import log_request
from preceptor.serving.front.metrics import Metrics
from preceptor.serving.front.record import Record, put_record
from preceptor.serving.front.served import Served
from preceptor.serving.front.settings import FrontSettings
from preceptor.serving.front.times import Times
from preceptor.serving.refusals import RefusalError
from preceptor.web.attempts import Attempts
from preceptor.web.origin import SAFE, from_another_site, host_name

PAGE = ("/static/", "/common/")  # files of the chat page, which hold nothing that a key protects
OWN = ("/health", "/ready", "/metrics")
ROUTES = (
    *("/v1/models", "/v1/chat/completions", "/v1/completions", "/v1/inspect", "/v1/inspect/attention"),
    *(f"/v1/feedback/{name}" for name in ("consent", "thumbs", "comparisons", "demonstrations")),
)


class Front:
    """An ASGI app before another one."""

    def __init__(
        self, app: ASGIApp, served: Served, settings: FrontSettings | None = None, keys: KeyRing | None = None
    ) -> None:
        self._app, self._served, self._keys = app, served, keys
        self._settings = settings or FrontSettings()
        self._wrong = Attempts(self._settings.wrong_keys, self._settings.wrong_seconds)
        self._limits, self._metrics = Limits(), Metrics(served)
        self._running: set[Times] = set()
        self.draining = False  # set from a signal's handler: no request is taken on any more

    @property
    def running(self) -> int:
        """Requests under way."""
        return len(self._running)

    def hurry(self, seconds: float) -> None:
        """Whatever is under way ends within so many seconds, by an error if need be."""
        end = asyncio.get_running_loop().time() + seconds
        for times in list(self._running):
            times.hurry(end)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":  # the start and the end of the app; there are no websockets
            await self._app(scope, receive, send)
            return
        record = Record(method=scope["method"])
        put_record(scope, record)
        answer = Answer(scope, send, record)
        try:
            await self._pass(scope, receive, answer, record)
        except RefusalError as refusal:
            await answer.refuse(refusal)
        finally:
            if record.route == "other":
                record.route = _route(scope)
            self._metrics.count(record)
            log_request(record)

    async def _pass(self, scope: Scope, receive: Receive, answer: Answer, record: Record) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        if path in OWN:
            record.route = path
        self._check_site(scope["method"], path, headers)
        if path in OWN:
            await (await self._own(scope, headers))(scope, receive, answer.send)
            return
        if self.draining:
            raise RefusalError(503, "the server is stopping; ask another", code="draining")
        if self.running >= self._settings.requests_at_once:
            raise RefusalError(503, "too many requests at once; try again later", code="too_many")
        key = None if path == "/" or path.startswith(PAGE) else self._key(scope, headers)
        record.key = key.name if key else None
        with self._limits.within(key, record):
            times = Times(self._settings)
            self._running.add(times)
            try:
                await times.run(self._app, scope, receive, answer.send)
            finally:
                self._running.discard(times)

    def _check_site(self, method: str, path: str, headers: Headers) -> None:
        hosts = self._settings.hosts
        if hosts and host_name(headers.get("host", "")) not in hosts:
            raise RefusalError(
                400, "this host is not served here; start the server with --allow-host to add it", code="host"
            )
        # A link on another site may lead to the page; nothing else may come from one.
        if not (method in SAFE and path == "/") and from_another_site(headers):
            raise RefusalError(403, "this request comes from another site", code="another_site")

    async def _own(self, scope: Scope, headers: Headers) -> Response:
        """Whether it lives, whether it is ready for requests, and its figures."""
        if scope["method"] not in ("GET", "HEAD"):
            raise RefusalError(405, "this route has no such method", code="method")
        if scope["path"] == "/health":
            broken = self._served.broken
            return JSONResponse({"status": "broken" if broken else "ok"}, 503 if broken else 200)
        if scope["path"] == "/ready":
            trouble = "draining" if self.draining else await self._served.trouble()
            return JSONResponse({"status": trouble or "ready"}, 503 if trouble else 200)
        if not _from_here(scope, headers):
            if self._keys is None:
                raise RefusalError(403, "figures are for this machine only, or with a key", code="not_here")
            self._key(scope, headers)
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

    def _key(self, scope: Scope, headers: Headers) -> Key | None:
        """Who asks; None if the server has no keys. Raises a refusal for a key that is missing or wrong."""
        if self._keys is None:
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        key = self._keys.find(given.strip()) if scheme.lower() == "bearer" else None
        if key is not None:
            return key
        # A right key passes whatever else came from its address, or one could lock out everybody behind a proxy; and
        # 256 bits are not found by trying. What is slowed is the noise.
        # Where none is given, as by a page that has to ask for it, nothing is guessed.
        address = scope["client"][0] if scope.get("client") else ""
        wait = self._wrong.take(address) if "authorization" in headers else 0.0
        if wait:
            words = f"too many wrong keys; try again in {math.ceil(wait)} s"
            raise RefusalError(429, words, code="too_many_wrong_keys", wait=wait)
        raise RefusalError(
            401,
            "give a valid API key, as the header Authorization: Bearer KEY",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _from_here(scope: Scope, headers: Headers) -> bool:
    """Whether somebody on this machine asks; a proxy that says for whom it asks does not count."""
    try:
        here = ipaddress.ip_address(scope["client"][0] if scope.get("client") else "").is_loopback
    except ValueError:
        return False
    return here and "x-forwarded-for" not in headers and "forwarded" not in headers


def _route(scope: Scope) -> str:
    """The route as the app spells it, for what was refused before it too."""
    path: str = scope["path"]
    if path == "/" or path.startswith(PAGE):
        return "page"
    if path in ROUTES:
        return path
    return str(getattr(scope.get("route"), "path", "other"))
