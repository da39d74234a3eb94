"""The routes under ``/v1/feedback``: consent, and what people say of replies (docs/chat-feedback.md)."""

import math
from asyncio import to_thread
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from preceptor.errors import InputError
from preceptor.feedback.app.errors import may_pass, status_of
from preceptor.feedback.store import Store
from preceptor.feedback.store.chats import Kept, Said, Thumb, compare, demonstrate, rate
from preceptor.feedback.store.participants import TEXT, Consent, agree, find_consent, withdraw_consent
from preceptor.feedback.store.published import published
from preceptor.feedback.store.words import findable
from preceptor.serving.bodies import UNREADABLE, described, read_body
from preceptor.serving.collecting import CONSENT, MAX_TOKEN, Collector, Listener
from preceptor.serving.refusals import ErrorBody, RefusalError
from preceptor.serving.requests import Strict

PATH = "/v1/feedback"
T = TypeVar("T")


class Agreement(Strict):
    """Agreeing to a version of the text."""

    version: int = Field(ge=1, le=2**31 - 1)


class ReplyName(Strict):
    """A reply, by the id of its request and its index among the choices."""

    id: str = Field(max_length=100)
    index: int = Field(0, ge=0, le=100)


class Thumbed(Strict):
    """A thumb for a reply; null takes it back."""

    reply: ReplyName
    thumb: Thumb | None


class Compared(Strict):
    """Two replies to one prompt, in the order in which they were shown, and the place of the better; null is a tie."""

    replies: list[ReplyName] = Field(min_length=2, max_length=2)
    preferred: Literal[0, 1] | None


class Rewritten(Strict):
    """A reply as it should have been."""

    reply: ReplyName
    text: str


FEEDBACK_BODIES: tuple[type[BaseModel], ...] = (Agreement, Thumbed, Compared, Rewritten)
REFUSALS: dict[int | str, dict[str, Any]] = {
    **UNREADABLE,
    403: {"model": ErrorBody, "description": "The token is missing, or there is no consent to the latest text."},
    404: {"model": ErrorBody, "description": "No such reply, or nobody has this token."},
    409: {"model": ErrorBody, "description": "It came too late: there is a newer text, or another judgement."},
    422: {"model": ErrorBody, "description": "It cannot be kept; the message says why."},
    429: {"model": ErrorBody, "description": "Too much at once; try again."},
    503: {"model": ErrorBody, "description": "The store is busy; try again."},
}


def mount_feedback(app: FastAPI, store: Store | None) -> None:
    """Keep chats in a store, for those who agree. Without one, say that nothing is kept."""
    if store is None:

        @app.get(f"{PATH}/consent")
        async def consent() -> dict[str, Any]:
            return {"collecting": False}

        return
    collector = Collector(store)
    app.add_middleware(Listener, collector=collector)
    app.include_router(_routes(collector))


def _routes(collector: Collector) -> APIRouter:
    router, store = APIRouter(prefix=PATH, responses=REFUSALS), collector.store

    @router.get("/consent")
    async def read_consent(request: Request, language: str = "en") -> dict[str, Any]:
        """The text as it is now, and what the bearer of the token agreed to."""
        spoken = language if findable(language) else "en"
        text = await _answer(lambda: published(store, TEXT, language=spoken))
        assert text is not None  # the collector has published one
        token = _token(request, needed=False)
        given = await _answer(lambda: find_consent(store, token)) if token else None
        shown = {"version": text.version, "language": text.language, "text": text.text}
        return {"collecting": True, **shown, "given": given and _given(given)}

    @router.post("/consent", openapi_extra=described(Agreement))
    async def give_consent(request: Request) -> dict[str, Any]:
        """Agree to the latest text; the token is the key to all that is kept from now on."""
        body = await read_body(request, Agreement)
        _bounded(collector.consents.take(""))
        token, given = await _answer(lambda: agree(store, body.version, _token(request, needed=False) or None))
        return {"token": token, **_given(given)}

    @router.delete("/consent")
    async def take_consent_back(request: Request) -> dict[str, Any]:
        """Withdraw: what was kept is deleted."""
        token = _token(request)
        given = await _answer(lambda: find_consent(store, token))
        gone = await _answer(lambda: withdraw_consent(store, token))
        if given is not None:
            collector.replies.forget(given.user)
        return {"deleted": {"prompts": gone.prompts, "responses": gone.responses, "judgements": gone.judgements}}

    async def keep(request: Request, names: Sequence[ReplyName], act: Callable[[str, list[Said]], Kept]) -> Any:
        token = _token(request)
        _bounded(collector.judgements.take(token))
        replies = [_find(collector, name) for name in names]
        kept = await _answer(lambda: act(token, replies))
        return {"judgement": kept.judgement, "repeated": kept.repeated}

    @router.post("/thumbs", openapi_extra=described(Thumbed))
    async def thumbs(request: Request) -> Any:
        """A thumb for a reply: a rating."""
        body = await read_body(request, Thumbed)
        return await keep(request, [body.reply], lambda token, said: rate(store, token, said[0], body.thumb))

    @router.post("/comparisons", openapi_extra=described(Compared))
    async def comparisons(request: Request) -> Any:
        """A choice between two replies: a ranking."""
        body = await read_body(request, Compared)
        return await keep(request, body.replies, lambda token, said: compare(store, token, said, body.preferred))

    @router.post("/demonstrations", openapi_extra=described(Rewritten))
    async def demonstrations(request: Request) -> Any:
        """A reply written anew: a demonstration."""
        body = await read_body(request, Rewritten)
        return await keep(request, [body.reply], lambda token, said: demonstrate(store, token, said[0], body.text))

    return router


def _token(request: Request, *, needed: bool = True) -> str:
    token = request.headers.get(CONSENT, "")
    if len(token) > MAX_TOKEN or (needed and not token):
        # Not 401: a page would take that for a missing API key.
        raise RefusalError(403, f"give the token that consent gave you, in the header {CONSENT}")
    return token


def _find(collector: Collector, name: ReplyName) -> Said:
    said = collector.replies.find(name.id, name.index)
    if said is None:
        raise RefusalError(
            404,
            "this reply is not known here: only complete replies to chats with consent are, for a day at most and "
            "until the server ends; ask again",
            param="reply",
        )
    return said


def _bounded(wait: float) -> None:
    if wait:
        raise RefusalError(429, f"that is too much at once; try again in {math.ceil(wait)} s", wait=wait)


def _given(consent: Consent) -> dict[str, Any]:
    return {"user": consent.user, "version": consent.version, "at": consent.at.isoformat(), "holds": consent.holds}


async def _answer(work: Callable[[], T]) -> T:
    """What the store says, off the event loop; its refusals as ours."""
    try:
        return await to_thread(work)
    except InputError as error:
        raise RefusalError(status_of(error), str(error)) from None
    except (DBAPIError, PoolTimeout) as error:
        if not may_pass(error):
            raise
        raise RefusalError(503, "the store is busy; try again shortly") from None
