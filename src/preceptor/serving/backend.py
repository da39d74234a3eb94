"""Another server behind our front, vLLM or any that speaks OpenAI's API: how it is asked, and what its errors mean."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

import httpx2

from preceptor.errors import InputError
from preceptor.serving.front.served import Load
from preceptor.serving.refusals import RefusalError

KEY = "PRECEPTOR_BACKEND_KEY"  # the environment variable with the key that the backend asks for
CONNECT_SECONDS = 5.0
NAMES_SECONDS = 10.0  # between two questions for a name that it did not have
READY_SECONDS = 2.0  # how long an answer about readiness holds: probes must not become a load
ERROR_BYTES = 1 << 20  # of an error that is read for what it says


class Backend:
    """The other server."""

    broken = False  # whatever is wrong with it, starting us again does not help

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/").removesuffix("/v1") + "/v1"
        try:
            parsed = httpx2.URL(self.url)
        except httpx2.InvalidURL:
            parsed = httpx2.URL("")
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise InputError(f"--backend {url}: is no address; give one as http://127.0.0.1:8000")
        key = os.environ.get(KEY)
        self.http = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),  # in all, the front's time limit holds
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64),
            trust_env=False,  # the address was given; no proxy of the environment comes between
        )
        self._ready: tuple[float, str | None] = (-READY_SECONDS, None)
        self._names, self._named = frozenset[str](), -NAMES_SECONDS  # of its models, and when it was asked last

    async def trouble(self) -> str | None:
        """Whether it answers."""
        at, trouble = self._ready
        if monotonic() - at >= READY_SECONDS:
            try:
                answer = await self.http.get(f"{self.url}/models", timeout=READY_SECONDS)
                trouble = None if answer.is_success else "backend refuses"
            except httpx2.TransportError:
                trouble = "backend down"
            self._ready = monotonic(), trouble
        return trouble

    async def models(self) -> dict[str, dict[str, Any]]:
        """Its models by name, each as it describes it."""
        answer = await self.send("GET", "models")
        try:
            said = object_of(b"".join([chunk async for chunk in self.bytes_of(answer)])).get("data")
        finally:
            await answer.aclose()
        there = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
        return {str(one.get("id")): one for one in there}

    async def label(self, name: str) -> str:
        """What figures and the log call a model: "other" if the backend does not list it.

        Some backends answer to any name, and those that clients make up have no place there.
        """
        if name not in self._names and monotonic() - self._named >= NAMES_SECONDS:
            self._named = monotonic()
            with suppress(RefusalError, TimeoutError):
                async with asyncio.timeout(READY_SECONDS):
                    self._names = frozenset(await self.models())
        return name if name in self._names else "other"

    def loads(self) -> Sequence[Load]:
        """Its own figures say."""
        return []

    async def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx2.Response:
        """Its answer, of which the body is still to be read; a refusal if there is none, or if it is an error."""
        try:
            request = self.http.build_request(method, f"{self.url}/{path}", json=body)
            answer = await self.http.send(request, stream=True)
        except httpx2.TransportError as error:
            raise self._down(error) from None
        if answer.is_success:
            return answer
        try:
            raise await self._refusal(answer)
        finally:
            await answer.aclose()

    def _down(self, error: Exception) -> RefusalError:
        why = str(error) or type(error).__name__
        return RefusalError(502, f"the backend at {self.url} gives no answer ({why})", code="backend_down")

    async def _refusal(self, answer: httpx2.Response) -> RefusalError:
        """What its error is to our client: its own mistakes as they are, the backend's as ours."""
        status = answer.status_code
        if status in (401, 403):
            return RefusalError(502, f"the backend at {self.url} refuses us; is {KEY} set?", code="backend_refuses")
        if status >= 500 and status not in (503, 504):
            return RefusalError(502, f"the backend at {self.url} has failed, status {status}", code="backend_failed")
        if status < 400:
            return RefusalError(502, f"the backend at {self.url} sends us elsewhere, and we stay", code="backend_moved")
        said = await _error_of(answer)
        code, param = (said[name] if isinstance(said.get(name), str) else None for name in ("code", "param"))
        headers = {"Retry-After": wait} if (wait := answer.headers.get("retry-after")) else {}
        message = said.get("message") or f"the backend refuses, status {status}"
        return RefusalError(status, message, code=code, param=param, headers=headers)

    async def bytes_of(self, answer: httpx2.Response) -> AsyncIterator[bytes]:
        """The body of an answer as it comes; a refusal if it breaks off."""
        try:
            async for chunk in answer.aiter_bytes():
                yield chunk
        except httpx2.TransportError as error:
            raise self._down(error) from None


def object_of(text: bytes) -> dict[str, Any]:
    """A JSON object that the backend sends."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise RefusalError(502, "the backend sends what is no JSON object", code="backend_failed")
    return value


async def _error_of(answer: httpx2.Response) -> dict[str, Any]:
    """The error that a body holds: OpenAI's shape, or vLLM's older one."""
    text = b""
    async for chunk in answer.aiter_bytes():
        text += chunk
        if len(text) > ERROR_BYTES:
            return {}
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    error = said.get("error", said) if isinstance(said, dict) else {}
    return error if isinstance(error, dict) and isinstance(error.get("message"), str) else {}
