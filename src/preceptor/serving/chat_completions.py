"""``POST /v1/chat/completions``: a reply to a conversation, whole or as a stream of events."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from preceptor.errors import InputError
from preceptor.generation.engine import check_prompt
from preceptor.generation.sampling import SamplingConfig
from preceptor.serving.bodies import read_body
from preceptor.serving.refusals import RefusalError
from preceptor.serving.replies import EventStream, find_worker, new_head, pieces_of, take_on, unless_left, usage
from preceptor.serving.requests import ChatRequest
from preceptor.serving.watch import watch
from preceptor.serving.worker import Job, Worker
from preceptor.text.conversation import render_prompt


def chat_routes(workers: Mapping[str, Worker]) -> APIRouter:
    """The route, over the models by name."""
    router = APIRouter()

    @router.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        """A reply to a conversation, from the model that it names."""
        asked = await read_body(request, ChatRequest)
        worker = find_worker(workers, asked.model)
        job = await asyncio.to_thread(_job, worker, asked, asyncio.get_running_loop())
        watch(request, asked.model, job)
        take_on(worker, job)
        head = new_head("chatcmpl", asked.model)
        if asked.stream:
            return EventStream(_events(job, asked, head), lambda: worker.release(job))
        try:
            return await _whole(request, job, head)
        finally:
            worker.release(job)

    return router


def _job(worker: Worker, asked: ChatRequest, loop: asyncio.AbstractEventLoop) -> Job:
    """The request as token ids, if it fits into the context. On a thread: long texts take a while."""
    try:
        prompt = render_prompt(worker.tokenizer, asked.messages).ids
        check_prompt(prompt, worker.context)
    except InputError as error:
        raise RefusalError(400, str(error), param="messages") from None
    room = worker.context - len(prompt)
    if asked.longest is not None and asked.longest > room:
        raise RefusalError(
            400,
            f"the context of the model is {worker.context} tokens; the messages take {len(prompt)}, so at most {room} "
            f"are left and not {asked.longest}; shorten the messages or lower max_tokens",
            code="context_length_exceeded",
            param="max_tokens",
        )
    sampling = SamplingConfig(
        temperature=asked.temperature,
        top_k=asked.top_k,
        top_p=asked.top_p,
        max_new_tokens=asked.longest or room,
        seed=asked.seed,
    )
    return Job(prompt, sampling, asked.n, asked.stops, loop=loop)


async def _events(job: Job, asked: ChatRequest, head: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    head = {**head, "object": "chat.completion.chunk"}
    tokens = [0] * job.samples
    for sample in range(job.samples):
        yield head | {"choices": [_choice(sample, {"role": "assistant", "content": ""}, None)]}
    async for piece in pieces_of(job):
        tokens[piece.sample] = piece.tokens
        delta = {"content": piece.text} if piece.text else {}
        yield head | {"choices": [_choice(piece.sample, delta, piece.finish_reason)]}
    if asked.stream_options is not None and asked.stream_options.include_usage:
        yield head | {"choices": [], "usage": usage(job, sum(tokens))}


async def _whole(request: Request, job: Job, head: dict[str, Any]) -> Response:
    pieces = await unless_left(request, pieces_of(job))
    if isinstance(pieces, Response):
        return pieces
    choices, written = [], 0
    for sample in range(job.samples):
        own = [piece for piece in pieces if piece.sample == sample]
        message = {"role": "assistant", "content": "".join(piece.text for piece in own)}
        choices.append({"index": sample, "message": message, "finish_reason": own[-1].finish_reason})
        written += own[-1].tokens
    return JSONResponse(head | {"object": "chat.completion", "choices": choices, "usage": usage(job, written)})


def _choice(sample: int, delta: dict[str, str], finish_reason: str | None) -> dict[str, Any]:
    return {"index": sample, "delta": delta, "finish_reason": finish_reason}
