"""What is kept of chats, for those who agreed: the server listens to its own replies, so that nobody can put words into
a model's mouth.

A chat that is asked with the header ``Preceptor-Consent: TOKEN`` is kept as a prompt, if the bearer has agreed to
the latest text; the answer's header ``Preceptor-Kept`` says whether it was. Its replies are remembered here, in
memory, as the server sent them: what is said of a reply names it by its id and never brings its text. A reply that
nobody judges is forgotten after a day, or when the server ends.
"""

import json
import logging
from asyncio import to_thread
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from time import monotonic
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as Event

from preceptor.errors import InputError
from preceptor.feedback.app.first import first_texts
from preceptor.feedback.store import Store
from preceptor.feedback.store.chats import Said, keep_prompt
from preceptor.serving.bodies import MAX_BODY
from preceptor.serving.front.log import LOGGER
from preceptor.text.conversation import Message
from preceptor.web.attempts import Attempts

CONSENT = "preceptor-consent"  # header of requests: the token
KEPT = "preceptor-kept"  # header of replies: yes or no
CHAT = "/v1/chat/completions"
MAX_TOKEN = 200  # characters
DAY = 86_400.0
PROMPTS_A_DAY = 1000  # of one participant; `preceptor prompts import` keeps 200 of a user
JUDGEMENTS_A_MINUTE = 120
CONSENTS_AN_HOUR = 1000  # of all people together: each is a row
MAX_REPLIES, MAX_CHARACTERS = 10_000, 50_000_000  # remembered


class Replies:
    """The replies of the last day, as many as there is room for; the oldest go first."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._said: OrderedDict[tuple[str, int], tuple[float, int, Said]] = OrderedDict()
        self._characters = 0

    def add(self, said: Said) -> None:
        """Remember a reply."""
        size = len(said.text) + sum(len(message.content) for message in said.messages)
        with self._lock:
            self._said[said.id, said.index] = (self._clock(), size, said)
            self._characters += size
            while len(self._said) > MAX_REPLIES or self._characters > MAX_CHARACTERS:
                _, (_, gone, _) = self._said.popitem(last=False)
                self._characters -= gone

    def forget(self, user: str) -> None:
        """Remember nothing that was said to her."""
        with self._lock:
            for name in [name for name, (_, _, said) in self._said.items() if said.user == user]:
                self._characters -= self._said.pop(name)[1]

    def find(self, number: str, index: int) -> Said | None:
        """The reply of this id, if it is remembered."""
        with self._lock:
            at, _, said = self._said.get((number, index), (0.0, 0, None))
            return said if said is not None and self._clock() - at < DAY else None


class Collector:
    """The store, what the server remembers of its replies, and how much anybody may add."""

    def __init__(self, store: Store, clock: Callable[[], float] = monotonic) -> None:
        self.store, self.replies = store, Replies(clock)
        self.prompts = Attempts(PROMPTS_A_DAY, DAY, clock)
        self.judgements = Attempts(JUDGEMENTS_A_MINUTE, 60, clock)
        self.consents = Attempts(CONSENTS_AN_HOUR, 3600, clock)
        first_texts(store)  # so that there is one to agree to

    def keep(self, token: str, messages: Sequence[Message]) -> str | None:
        """Keep a prompt; the user it is kept under, None if it is not. Whatever goes wrong, the chat goes on."""
        if self.prompts.take(token):
            return None
        try:
            return keep_prompt(self.store, token, messages)
        except InputError:
            return None  # nothing that a prompt could be made of
        except SQLAlchemyError as error:
            logging.getLogger(LOGGER).warning("a prompt was not kept: %s", type(error).__name__)
            return None


class _Asked(BaseModel):
    """What matters of a chat here; the route checks the rest."""

    model: str
    messages: list[Message]


class Listener:
    """ASGI middleware: hears chats that are asked with a token, and changes nothing of them but one header."""

    def __init__(self, app: ASGIApp, collector: Collector) -> None:
        self._app, self._collector = app, collector

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and listen to what is said."""
        token = Headers(scope=scope).get(CONSENT, "") if scope["type"] == "http" else ""
        if not token or len(token) > MAX_TOKEN or (scope["method"], scope["path"]) != ("POST", CHAT):
            await self._app(scope, receive, send)
            return
        body = bytearray()
        hearing: _Hearing | None = None

        async def receiving() -> Event:
            event = await receive()
            if len(body) <= MAX_BODY:  # the route refuses what is longer
                body.extend(event.get("body", b""))
            return event

        async def sending(event: Event) -> None:
            nonlocal hearing
            if event["type"] == "http.response.start":
                if event["status"] == 200:
                    hearing = await self._begin(token, bytes(body), Headers(raw=event["headers"]))
                MutableHeaders(raw=event["headers"])[KEPT] = "yes" if hearing is not None else "no"
            elif hearing is not None and event["type"] == "http.response.body":
                hearing.hear(event.get("body", b""))  # first, or the client could be faster than we
            await send(event)

        await self._app(scope, receiving, sending)

    async def _begin(self, token: str, body: bytes, headers: Headers) -> "_Hearing | None":
        """What hears the reply to this body, if its prompt is kept."""
        try:
            asked = _Asked.model_validate_json(body)
        except ValidationError:
            return None
        user = await to_thread(self._collector.keep, token, asked.messages)
        if user is None:
            return None
        streamed = headers.get("content-type", "").startswith("text/event-stream")
        return _Hearing(self._collector.replies, user, asked, b"\n\n" if streamed else b"")


class _Hearing:
    """Puts a reply together from the bytes that are sent. Only replies that came to their end are remembered."""

    def __init__(self, replies: Replies, user: str, asked: _Asked, between: bytes) -> None:
        self._replies, self._user, self._asked = replies, user, asked
        self._between, self._rest = between, b""  # between two events; nothing where the reply is one object
        self._texts: dict[int, list[str]] = {}

    def hear(self, sent: bytes) -> None:
        """The next bytes."""
        self._rest += sent
        if not self._between:
            self._object(self._rest)
            return
        *events, self._rest = self._rest.split(self._between)
        for event in events:
            self._object(event.removeprefix(b"data: "))

    def _object(self, written: bytes) -> None:
        try:
            said = json.loads(written)
        except ValueError:  # not whole yet; or the [DONE] of a stream
            return
        for choice in said.get("choices", []):
            text = (choice.get("delta") or choice.get("message") or {}).get("content") or ""
            self._texts.setdefault(choice["index"], []).append(text)
            if choice.get("finish_reason") in ("stop", "length"):
                self._remember(said, choice["index"])

    def _remember(self, said: dict[str, Any], index: int) -> None:
        text = "".join(self._texts.pop(index))
        messages = tuple(self._asked.messages)
        self._replies.add(Said(said["id"], index, self._user, self._asked.model, messages, text))
