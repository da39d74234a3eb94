"""What the front is told of a job: which model has it, and how many tokens it reads and writes."""

import asyncio

from starlette.requests import Request

from preceptor.serving.front.record import Record, record_of
from preceptor.serving.worker import BrokenError, Job
from preceptor.serving.writer import Piece


class _Counted(asyncio.Queue[Piece | BrokenError]):
    """The pieces of a job, counted as they come, whether the client reads them or not."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self._record = record

    def put_nowait(self, item: Piece | BrokenError) -> None:
        """Count, and put it in."""
        if isinstance(item, Piece):
            self._record.wrote(item.sample, item.tokens)
        super().put_nowait(item)


def watch(request: Request, model: str, job: Job) -> Record:
    """Have a job counted. Before it is given to its worker; what it reads counts when that has taken it on."""
    record = record_of(request)
    record.begins(model, 0)
    job.pieces = _Counted(record)
    return record
