"""The API: which models there are, and replies to conversations, whole or as a stream of events."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from time import time
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from preceptor.errors import InputError
from preceptor.feedback.store import Store
from preceptor.generation.engine import check_prompt
from preceptor.generation.sampling import SamplingConfig
from preceptor.serving.bodies import read_body
from preceptor.serving.feedback import mount_feedback
from preceptor.serving.pages import mount_pages
from preceptor.serving.refusals import RefusalError, failed, handle_refusals
from preceptor.serving.requests import ChatRequest
from preceptor.serving.worker import BrokenError, Job, Piece, Worker
from preceptor.text.conversation import render_prompt


def create_app(workers: Mapping[str, Worker], store: Store | None = None) -> FastAPI:
    """The app over the models by name. With a store it keeps what people do, of those who agree to it."""
    app = FastAPI(title="Preceptor", docs_url=None, redoc_url=None)
    started = int(time())

    handle_refusals(app)

    @app.get("/health")
    async def health() -> Response:
        sound = not any(worker.broken for worker in workers.values())
        return JSONResponse({"status": "ok" if sound else "broken"}, 200 if sound else 503)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        data = [{"id": name, "object": "model", "created": started, "owned_by": "preceptor"} for name in workers]
        return {"object": "list", "data": data}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        """A reply to a conversation, from the model that it names."""
        asked = await read_body(request, ChatRequest)
        if asked.model not in workers:
            raise RefusalError(404, f"no such model here; there are: {', '.join(workers)}", code="model_not_found")
        worker = workers[asked.model]
        job = await asyncio.to_thread(_job, worker, asked, asyncio.get_running_loop())
        try:
            if not worker.submit(job):
                raise RefusalError(429, "the server has as many requests as it can take; try again in a second")
        except BrokenError:
            raise failed() from None
        head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time()), "model": asked.model}
        if asked.stream:
            return StreamingResponse(_events(worker, job, asked, head), media_type="text/event-stream")
        return await _whole(request, worker, job, head)

    mount_feedback(app, store)
    mount_pages(app)
    return app


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


async def _pieces(job: Job) -> AsyncIterator[Piece]:
    """The pieces of all samples until the last is complete."""
    left = job.samples
    while left:
        piece = await job.pieces.get()
        if isinstance(piece, BrokenError):
            raise piece
        left -= piece.finish_reason is not None
        yield piece


async def _events(worker: Worker, job: Job, asked: ChatRequest, head: dict[str, Any]) -> AsyncIterator[str]:
    """Server-sent events. A client that goes away ends this generator, and with it the job."""
    head = {**head, "object": "chat.completion.chunk"}
    tokens: dict[int, int] = {}
    try:
        for sample in range(job.samples):
            yield _event(head | {"choices": [_choice(sample, {"role": "assistant", "content": ""}, None)]})
        async for piece in _pieces(job):
            tokens[piece.sample] = piece.tokens
            delta = {"content": piece.text} if piece.text else {}
            yield _event(head | {"choices": [_choice(piece.sample, delta, piece.finish_reason)]})
        if asked.stream_options is not None and asked.stream_options.include_usage:
            yield _event(head | {"choices": [], "usage": _usage(job, tokens)})
        yield "data: [DONE]\n\n"
    except BrokenError:
        yield _event(failed().body)
    finally:
        worker.release(job)


async def _whole(request: Request, worker: Worker, job: Job, head: dict[str, Any]) -> Response:
    """The reply when it is complete, unless the client goes away before."""
    texts, tokens, reasons = [""] * job.samples, dict[int, int](), dict[int, str]()

    async def collect() -> None:
        async for piece in _pieces(job):
            texts[piece.sample] += piece.text
            tokens[piece.sample] = piece.tokens
            if piece.finish_reason is not None:
                reasons[piece.sample] = piece.finish_reason

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    collecting, leaving = asyncio.create_task(collect()), asyncio.create_task(leave())
    try:
        await asyncio.wait((collecting, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not collecting.done():
            return Response(status_code=499)  # nobody reads it
        try:
            collecting.result()
        except BrokenError:
            raise failed() from None
    finally:
        worker.release(job)
        for task in (collecting, leaving):
            task.cancel()
            with suppress(asyncio.CancelledError, BrokenError):
                await task
    choices = [
        {"index": sample, "message": {"role": "assistant", "content": text}, "finish_reason": reasons[sample]}
        for sample, text in enumerate(texts)
    ]
    return JSONResponse(head | {"object": "chat.completion", "choices": choices, "usage": _usage(job, tokens)})


def _choice(sample: int, delta: dict[str, str], finish_reason: str | None) -> dict[str, Any]:
    return {"index": sample, "delta": delta, "finish_reason": finish_reason}


def _usage(job: Job, tokens: dict[int, int]) -> dict[str, int]:
    written = sum(tokens.values())
    return {
        "prompt_tokens": len(job.prompt),
        "completion_tokens": written,
        "total_tokens": len(job.prompt) + written,
    }


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
