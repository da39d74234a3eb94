"""``POST /v1/completions``: how texts go on, whole or as a stream of events."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from preceptor.errors import InputError
from preceptor.serving.bodies import ANSWERS, described, read_body
from preceptor.serving.jobs import new_job, take_on
from preceptor.serving.logprobs import text_logprobs
from preceptor.serving.refusals import RefusalError, find_served
from preceptor.serving.replies import EventStream, Reply, unless_left
from preceptor.serving.requests import CompletionRequest
from preceptor.serving.worker import Job, Worker
from preceptor.serving.writer import Chosen
from preceptor.text.tokenizer import Tokenizer


def completion_routes(workers: Mapping[str, Worker]) -> APIRouter:
    """The route, over the models by name."""
    router = APIRouter()

    @router.post("/v1/completions", responses=ANSWERS, openapi_extra=described(CompletionRequest))
    async def complete(request: Request) -> Response:
        """What comes after each of the prompts, from the model that the request names."""
        asked = await read_body(request, CompletionRequest)
        worker = find_served(workers, asked.model)
        job = await asyncio.to_thread(_job, worker, asked, asyncio.get_running_loop())
        take_on(request, asked.model, worker, job)
        reply = Reply("cmpl", "text_completion", asked.model, job)
        if asked.stream:
            return EventStream(_events(reply, asked, worker.tokenizer), lambda: worker.release(job))
        try:
            return await _whole(request, reply, asked, worker.tokenizer)
        finally:
            worker.release(job)

    return router


def _job(worker: Worker, asked: CompletionRequest, loop: asyncio.AbstractEventLoop) -> Job:
    try:
        prompts = [_ids(worker, prompt) for prompt in asked.prompts]
    except InputError as error:
        raise RefusalError(400, str(error), param="prompt") from None
    return new_job(worker, asked, prompts, field="prompt", each=asked.n, alternatives=asked.logprobs, loop=loop)


def _ids(worker: Worker, prompt: str | list[int]) -> list[int]:
    """A text behind the token that texts of a corpus begin with, if there is one; ids as they are."""
    if isinstance(prompt, str):
        begin = [] if worker.tokenizer.bos_id is None else [worker.tokenizer.bos_id]
        return [*begin, *worker.tokenizer.encode(prompt)]
    if max(prompt) >= worker.vocab_size:
        raise InputError(f"the prompt has a token {max(prompt)}, and the model knows those below {worker.vocab_size}")
    return prompt


async def _events(reply: Reply, asked: CompletionRequest, tokenizer: Tokenizer) -> AsyncIterator[dict[str, Any]]:
    async for piece in reply.pieces():
        told = reply.told(piece)
        if piece.text or piece.finish_reason:
            yield reply.body([_choice(piece.sample, piece.text, told, piece.finish_reason, asked, tokenizer)])
    if asked.wants_usage:
        yield reply.body([], usage=True)


async def _whole(request: Request, reply: Reply, asked: CompletionRequest, tokenizer: Tokenizer) -> Response:
    pieces = await unless_left(request, reply.pieces())
    if isinstance(pieces, Response):
        return pieces
    choices = []
    for index in range(reply.job.order.samples):
        own = [piece for piece in pieces if piece.sample == index]
        told = [one for piece in own for one in reply.told(piece)]
        text = "".join(piece.text for piece in own)
        choices.append(_choice(index, text, told, own[-1].finish_reason, asked, tokenizer))
    return JSONResponse(reply.body(choices, usage=True))


def _choice(
    index: int,
    text: str,
    told: list[Chosen],
    finish_reason: str | None,
    asked: CompletionRequest,
    tokenizer: Tokenizer,
) -> dict[str, Any]:
    logprobs = None if asked.logprobs is None else text_logprobs(tokenizer, told)
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
