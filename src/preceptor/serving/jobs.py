"""From a request to a job: its prompts must fit into the context, with the response that is asked for."""

import asyncio
from collections.abc import Sequence

from fastapi import Request

from preceptor.errors import InputError
from preceptor.generation.engine import check_prompt
from preceptor.generation.sampling import SamplingConfig
from preceptor.serving.refusals import RefusalError, failed, full
from preceptor.serving.requests import TextRequest
from preceptor.serving.watch import watch
from preceptor.serving.worker import BrokenError, Job, Worker
from preceptor.serving.writer import Order


def new_job(
    worker: Worker,
    asked: TextRequest,
    prompts: Sequence[Sequence[int]],
    *,
    field: str,
    each: int,
    alternatives: int | None,
    loop: asyncio.AbstractEventLoop,
) -> Job:
    """The job of a request. ``field`` is where the prompts come from; each of them gets ``each`` responses."""
    try:
        for prompt in prompts:
            check_prompt(prompt, worker.context)
    except InputError as error:
        raise RefusalError(400, str(error), param=field) from None
    length = max(map(len, prompts))
    room = worker.context - length
    if asked.longest is not None and asked.longest > room and asked.says_longest:
        raise RefusalError(
            400,
            f"the context of the model is {worker.context} tokens, of which {length} go to the {field}; so at most "
            f"{room} are left and not {asked.longest}; shorten the {field} or lower max_tokens",
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
    return Job(Order(prompts, sampling, each, asked.stops, alternatives), loop=loop)


def take_on(request: Request, name: str, worker: Worker, job: Job) -> None:
    """Give a job to the worker of this name, or refuse it; what is refused has cost nothing."""
    record = watch(request, name, job)
    if job.order.samples > worker.limit:
        raise RefusalError(400, f"the server makes at most {worker.limit} responses at once; ask for fewer", param="n")
    try:
        if not worker.submit(job):
            raise full()
    except BrokenError:
        raise failed() from None
    record.begins(name, sum(map(len, job.order.prompts)))
