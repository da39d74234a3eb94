"""``POST /v1/chat/completions``: a reply to a conversation, whole or as a stream of events."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from preceptor.errors import InputError
from preceptor.serving.best_of import Judge, best_pieces
from preceptor.serving.bodies import ANSWERS, described, read_body
from preceptor.serving.jobs import new_job, take_on
from preceptor.serving.logprobs import chat_logprobs
from preceptor.serving.refusals import RefusalError, find_served, full
from preceptor.serving.replies import EventStream, Reply, unless_left
from preceptor.serving.requests import ChatRequest
from preceptor.serving.worker import Job, Worker
from preceptor.serving.writer import Piece
from preceptor.text.conversation import Rendered, render_prompt
from preceptor.text.tokenizer import Tokenizer


def chat_routes(workers: Mapping[str, Worker], judge: Judge | None) -> APIRouter:
    """The route, over the models by name, and the reward model if there is one."""
    router = APIRouter()

    @router.post("/v1/chat/completions", responses=ANSWERS, openapi_extra=described(ChatRequest))
    async def chat(request: Request) -> Response:
        """A reply to a conversation, from the model that it names."""
        asked = await read_body(request, ChatRequest)
        worker = find_served(workers, asked.model)
        if asked.best_of is not None:
            _check(judge)
        job, truncated = await asyncio.to_thread(_job, worker, asked, asyncio.get_running_loop())
        take_on(request, asked.model, worker, job)
        kind = "chat.completion.chunk" if asked.stream else "chat.completion"
        reply = Reply("chatcmpl", kind, asked.model, job)
        if asked.truncate:
            reply.notes["truncated"] = truncated
        pieces = reply.pieces()
        if asked.best_of is not None and judge is not None:
            pieces = best_pieces(reply, judge, asked.messages, asked.n)
        if asked.stream:
            return EventStream(_events(reply, pieces, asked, worker.tokenizer), lambda: worker.release(job))
        try:
            gathered = await unless_left(request, pieces)
        finally:
            worker.release(job)
        return gathered if isinstance(gathered, Response) else _whole(reply, gathered, asked, worker.tokenizer)

    return router


def _check(judge: Judge | None) -> None:
    if judge is None:
        raise RefusalError(400, "best_of: this server has no reward model; start it with --reward", param="best_of")
    if judge.full:
        raise full()


def _job(worker: Worker, asked: ChatRequest, loop: asyncio.AbstractEventLoop) -> tuple[Job, bool]:
    """The request as a job, and whether its conversation was cut. On a thread: long texts take a while."""
    try:
        prompt = _prompt(worker, asked)
    except InputError as error:
        raise RefusalError(400, str(error), param="messages") from None
    each = asked.best_of or asked.n
    job = new_job(worker, asked, [prompt.ids], field="messages", each=each, alternatives=asked.alternatives, loop=loop)
    return job, prompt.truncated


def _prompt(worker: Worker, asked: ChatRequest) -> Rendered:
    """The conversation as token ids. If it may be cut, it leaves room for what is asked for, or half of the context."""
    room = None
    if asked.truncate:
        longest = worker.context // 2 if asked.longest is None else asked.longest
        room = worker.context - longest if longest < worker.context else None  # else the refusal names the numbers
    return render_prompt(worker.tokenizer, asked.messages, room)


async def _events(
    reply: Reply, pieces: AsyncIterator[Piece], asked: ChatRequest, tokenizer: Tokenizer
) -> AsyncIterator[dict[str, Any]]:
    for index in range(asked.n):
        yield reply.body([_choice(index, {"delta": {"role": "assistant", "content": ""}}, None)])
    async for piece in pieces:
        told = reply.told(piece)
        if not (piece.text or piece.finish_reason):
            continue  # its text is held back
        more: dict[str, Any] = {"delta": {"content": piece.text} if piece.text else {}}
        if asked.logprobs:
            more["logprobs"] = chat_logprobs(tokenizer, told)
        choice = _choice(piece.sample, more, piece.finish_reason)
        yield reply.body([choice], notes=piece.finish_reason is not None)
    if asked.wants_usage:
        yield reply.body([], usage=True)


def _whole(reply: Reply, pieces: list[Piece], asked: ChatRequest, tokenizer: Tokenizer) -> Response:
    choices = []
    for index in range(asked.n):
        own = [piece for piece in pieces if piece.sample == index]
        more: dict[str, Any] = {"message": {"role": "assistant", "content": "".join(piece.text for piece in own)}}
        if asked.logprobs:
            more["logprobs"] = chat_logprobs(tokenizer, [one for piece in own for one in reply.told(piece)])
        choices.append(_choice(index, more, own[-1].finish_reason))
    return JSONResponse(reply.body(choices, usage=True, notes=True))


def _choice(index: int, more: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": index, **more, "finish_reason": finish_reason}
