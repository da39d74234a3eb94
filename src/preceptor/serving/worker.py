"""The server's side of an engine: what is asked of it, how much it may have to do, and who gets the pieces.

The event loop never computes and never waits for the engine: it hands jobs over and is told of every piece of text.
"""

import asyncio
import logging
import queue
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from threading import Lock, Thread

from preceptor.errors import InputError
from preceptor.serving.beside import Down, Pieces, Ready, Stopped
from preceptor.serving.front.log import LOGGER
from preceptor.serving.writer import Order, Piece
from preceptor.text.tokenizer import Tokenizer

LAST_SECONDS = 10.0  # for an engine that is to end


class BrokenError(Exception):
    """The engine has failed; the server must be started again."""


@dataclass(eq=False)
class Job:
    """An order, and where its pieces go. Made on the event loop that reads them."""

    order: Order
    pieces: "asyncio.Queue[Piece | BrokenError]" = field(default_factory=asyncio.Queue)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    number: int = 0  # the worker's that takes it on
    left: int = 0  # samples that are not complete, from then on


class Worker:
    """A model that serves, at the other end of ``line``, where ``other`` works (see :mod:`.beside`).

    ``waiting`` responses besides those that have slots may be taken on; more is refused. Raises :class:`InputError`
    if the model cannot be opened.
    """

    def __init__(
        self, line: Connection, other: Thread | BaseProcess, tokenizer: Tokenizer, *, waiting: int = 64
    ) -> None:
        try:
            ready: Ready | Stopped = line.recv()
        except (EOFError, OSError):
            raise InputError(
                f"the {other.name} has ended while it loaded: what it said stands above, or the memory was full"
            ) from None
        if isinstance(ready, Stopped):
            raise InputError(ready.why)
        self.tokenizer, self.context, self.slots, self.vocab_size = tokenizer, *ready
        self.limit = self.slots + waiting
        self.broken = self._ended = False
        self._line, self._other = line, other
        self._numbers = 0
        self._open: dict[int, Job] = {}  # by number
        self._lock = Lock()
        self._down: queue.SimpleQueue[Down] = queue.SimpleQueue()
        self._threads = [Thread(target=run, daemon=True) for run in (self._send, self._listen)]
        for thread in self._threads:
            thread.start()

    @property
    def load(self) -> int:
        """Responses taken on and not yet done."""
        with self._lock:
            return self._load()

    def _load(self) -> int:
        return sum(job.order.samples for job in self._open.values())

    def submit(self, job: Job) -> bool:
        """Take a job on, if there is room."""
        with self._lock:
            if self.broken:
                raise BrokenError
            if self._load() + job.order.samples > self.limit:
                return False
            self._numbers += 1
            job.number, job.left = self._numbers, job.order.samples
            self._open[job.number] = job
            self._down.put((job.number, job.order))
        return True

    def release(self, job: Job) -> None:
        """Done with a job, complete or not: what is left of it leaves the batch before the next step."""
        with self._lock:
            if job.number in self._open:
                self._down.put(job.number)

    def close(self) -> None:
        """End the engine; jobs that are under way are told that it is broken."""
        self._ended = True
        self._down.put(None)
        try:
            self._other.join(LAST_SECONDS)
        finally:  # also when a signal says that it has waited for long enough
            if isinstance(self._other, BaseProcess) and self._other.is_alive():  # in a step without an end
                self._other.kill()
        for thread in self._threads:
            thread.join(LAST_SECONDS)

    def _send(self) -> None:
        """A thread of its own: the pipe takes no more while the engine is at a step."""
        with suppress(OSError):
            while (down := self._down.get()) is not None:
                self._line.send(down)
            self._line.send(None)

    def _listen(self) -> None:
        why = "its process is gone; it may have been killed for want of memory"
        try:
            while True:
                told: Pieces | Stopped = self._line.recv()
                if isinstance(told, Stopped):
                    why = told.why
                    break
                self._tell(told)
        except (EOFError, OSError):
            pass
        except Exception:  # what it says cannot be read: it is of no more use than if it were gone
            why = traceback.format_exc()
        with self._lock:
            self.broken = True
            left, self._open = list(self._open.values()), {}
        if not self._ended:
            logging.getLogger(LOGGER).error("the %s has stopped: %s", self._other.name, why)
        _hand_over([(job, BrokenError()) for job in left])

    def _tell(self, told: Pieces) -> None:
        """Hand pieces over, and let go of what is complete: before its client reads the end, as there is room now."""
        handed: list[tuple[Job, Piece | BrokenError]] = []
        with self._lock:
            for number, piece in told:
                job = self._open.get(number)
                if job is None:
                    continue  # given up
                if piece is not None:
                    handed.append((job, piece))
                    job.left -= piece.finish_reason is not None
                if piece is None or not job.left:
                    del self._open[number]
        _hand_over(handed)


def _hand_over(pieces: Sequence[tuple[Job, Piece | BrokenError]]) -> None:
    """To the event loops of their jobs, each loop woken once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Job, Piece | BrokenError]]] = {}
    for job, piece in pieces:
        by_loop.setdefault(job.loop, []).append((job, piece))
    for loop, some in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(_put, some)


def _put(pieces: Sequence[tuple[Job, Piece | BrokenError]]) -> None:
    for job, piece in pieces:
        job.pieces.put_nowait(piece)
