"""``POST /v1/inspect``: what a model made of a reply; ``POST /v1/inspect/attention``: where it looked meanwhile."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field

from preceptor.errors import InputError
from preceptor.serving.best_of import Judge
from preceptor.serving.bodies import ANSWERS, described, read_body
from preceptor.serving.front.record import record_of
from preceptor.serving.inspector import BusyError, Inspector
from preceptor.serving.refusals import RefusalError, find_served, full
from preceptor.serving.requests import Strict
from preceptor.text.conversation import Message

MAX_TOP = 20


class _Inspected(Strict):
    """A reply: the last message, the assistant's. It need not be one that the model has written."""

    model: str
    messages: list[Message] = Field(min_length=2, max_length=1000)


class InspectRequest(_Inspected):
    """The body of ``POST /v1/inspect``."""

    top: int = Field(5, ge=0, le=MAX_TOP)


class AttentionRequest(_Inspected):
    """The body of ``POST /v1/inspect/attention``; tokens of the reply, layers and heads count from 0."""

    token: int = Field(ge=0)
    layer: int | None = Field(None, ge=0)
    head: int | None = Field(None, ge=0)


def inspection_routes(inspectors: Mapping[str, Inspector], judge: Judge | None) -> APIRouter:
    """The routes, over the models by name; a ``judge`` scores what is inspected."""
    router = APIRouter()

    @router.post("/v1/inspect", responses=ANSWERS, openapi_extra=described(InspectRequest))
    async def inspect(request: Request) -> dict[str, Any]:
        """The tokens of a reply, each with its probability and the likeliest in its place; its KL and its score."""
        asked = await read_body(request, InspectRequest)
        inspector = find_served(inspectors, asked.model)
        if judge is not None and judge.full:
            raise full()
        found = await _apart(lambda: inspector.tokens(asked.messages, asked.top))
        record_of(request).begins(asked.model, found["prompt_tokens"] + len(found["tokens"]))
        if judge is not None:
            *before, reply = asked.messages
            (found["score"],) = await judge.scores(before, [reply.content])
        return found

    @router.post("/v1/inspect/attention", responses=ANSWERS, openapi_extra=described(AttentionRequest))
    async def attention(request: Request) -> dict[str, Any]:
        """How much the model looked at each token before, when it wrote one of the reply."""
        asked = await read_body(request, AttentionRequest)
        inspector = find_served(inspectors, asked.model)
        found = await _apart(lambda: inspector.attention(asked.messages, asked.token, asked.layer, asked.head))
        record_of(request).begins(asked.model, len(found["seen"]))
        return found

    return router


async def _apart(compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of a computation on a thread of its own, or why there is none."""
    try:
        return await asyncio.to_thread(compute)
    except BusyError:
        raise RefusalError(429, "a reply of this model is being inspected; try again in a second") from None
    except InputError as error:
        raise RefusalError(400, str(error), param="messages") from None
