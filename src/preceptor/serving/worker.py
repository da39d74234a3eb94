"""One model, one engine, one thread: requests join and leave between its steps.

The event loop never computes: it hands jobs over and is told of every piece of text. The noise of a response is keyed
by the request's seed alone, so its text does not depend on who else is in the batch.
"""

import asyncio
import logging
import queue
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock, Thread
from time import perf_counter
from typing import NamedTuple

from preceptor.errors import InputError
from preceptor.generation.engine import Engine, FinishReason
from preceptor.generation.likely import Likely
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.transformer import Transformer
from preceptor.serving.front.log import LOGGER
from preceptor.text.stream import TextStream
from preceptor.text.tokenizer import Tokenizer

PREFILL_TOKENS = 512  # before a step: those who read wait for half a second with a model of 135M parameters
# Between two pieces of a stream, for each stream that there is: a piece costs more than a token does, and this way the
# event loop is told of no more than 500 a second.
TELL_SECONDS = 1 / 500


class Chosen(NamedTuple):
    """A token of a response whose job asks for likely tokens."""

    token: int
    start: int  # where its text begins in the response's, in characters
    likely: Likely


@dataclass(frozen=True)
class Piece:
    """What a step added to one of the samples of a job."""

    sample: int
    text: str
    tokens: int  # of the response so far
    finish_reason: FinishReason | None = None
    chosen: Sequence[Chosen] = ()  # the step's tokens, whether their text is out yet or not


class BrokenError(Exception):
    """The engine has failed; the process must be started again."""


@dataclass(eq=False)
class Job:
    """A request: its prompts as token ids, and where its pieces go. Made on the event loop that reads them.

    Of ``each`` samples a prompt, those of the first prompt come first.
    """

    prompts: Sequence[Sequence[int]]
    sampling: SamplingConfig
    each: int = 1
    stops: Sequence[str] = ()
    alternatives: int | None = None  # see Engine.submit
    pieces: "asyncio.Queue[Piece | BrokenError]" = field(default_factory=asyncio.Queue)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    @property
    def samples(self) -> int:
        """Responses in all."""
        return len(self.prompts) * self.each

    @property
    def eager(self) -> bool:
        """Whether every token is looked at by itself, so that what is counted does not depend on the time."""
        return bool(self.stops) or self.alternatives is not None


def _tell(pieces: Sequence[tuple[Job, Piece | BrokenError]]) -> None:
    """Hand pieces over to the event loops of their jobs, each loop woken once. From the engine's thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Job, Piece | BrokenError]]] = {}
    for job, piece in pieces:
        by_loop.setdefault(job.loop, []).append((job, piece))
    for loop, some in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(_put, some)


def _put(pieces: Sequence[tuple[Job, Piece | BrokenError]]) -> None:
    for job, piece in pieces:
        job.pieces.put_nowait(piece)


@dataclass
class _Response:
    job: Job
    sample: int
    text: TextStream
    read: int = 0  # tokens that the text has taken


class Worker:
    """A model that serves. ``waiting`` responses besides the ``slots`` may be taken on; more is refused."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer, *, slots: int = 64, waiting: int = 64) -> None:
        self.tokenizer, self.context, self.limit = tokenizer, model.context, slots + waiting
        self.slots = slots
        self.vocab_size = min(tokenizer.vocab_size, model.config.vocab_size)
        self._engine = Engine(
            model,
            eos_id=tokenizer.eos_ids,
            pad_id=tokenizer.pad_id,
            max_slots=slots,
            prefill_tokens=PREFILL_TOKENS,
        )
        self._responses: dict[int, _Response] = {}
        self._eager: set[int] = set()  # tickets read after every step: of eager jobs, or with nothing told yet
        self._due = 0.0  # when all are read next
        self._commands: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = Lock()
        self._jobs: set[Job] = set()
        self.broken = False
        self._thread = Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def load(self) -> int:
        """Responses taken on and not yet done."""
        with self._lock:
            return sum(job.samples for job in self._jobs)

    def submit(self, job: Job) -> bool:
        """Take a job on, if there is room."""
        with self._lock:
            if self.broken:
                raise BrokenError
            if sum(one.samples for one in self._jobs) + job.samples > self.limit:
                return False
            self._jobs.add(job)
        self._commands.put(lambda: self._begin(job))
        return True

    def release(self, job: Job) -> None:
        """Done with a job, complete or not: what is left of it leaves the batch before the next step."""
        self._commands.put(lambda: self._end(job))

    def close(self) -> None:
        """End the thread; jobs that are under way are told that it is broken."""
        self._commands.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                while not self._commands.empty() or not self._engine.busy:
                    command = self._commands.get()
                    if command is None:
                        return
                    command()
                self._step()
        except InputError as error:  # weights that give values which are not finite
            logging.getLogger(LOGGER).error("the engine has stopped: %s", error)
        except Exception:
            logging.getLogger(LOGGER).exception("the engine has failed")
        finally:
            with self._lock:
                self.broken = True
                jobs, self._jobs = self._jobs, set()
            _tell([(job, BrokenError()) for job in jobs])

    def _begin(self, job: Job) -> None:
        tickets: list[int] = []
        for prompt in job.prompts:
            tickets += self._engine.submit(
                prompt, job.sampling, samples=job.each, key=("serve",), alternatives=job.alternatives
            )
        for sample, ticket in enumerate(tickets):
            self._responses[ticket] = _Response(job, sample, TextStream(self.tokenizer.decode, job.stops))
            self._eager.add(ticket)

    def _end(self, job: Job) -> None:
        for ticket in [ticket for ticket, response in self._responses.items() if response.job is job]:
            self._forget(ticket)

    def _forget(self, ticket: int) -> None:
        self._engine.cancel(ticket)
        self._eager.discard(ticket)
        job = self._responses.pop(ticket).job
        if all(response.job is not job for response in self._responses.values()):
            with self._lock:  # before its client has read the end, so that there is room as soon as there can be
                self._jobs.discard(job)

    def _step(self) -> None:
        finished = self._engine.step()
        now = perf_counter()
        all_due = now >= self._due
        if all_due:
            self._due = now + len(self._responses) * TELL_SECONDS
        told: list[tuple[Job, Piece]] = []
        for ticket in sorted(self._responses if all_due else self._eager.union(finished)):
            response, done = self._responses[ticket], finished.get(ticket)
            new = done.ids[response.read :] if done else self._engine.so_far(ticket, response.read)[0]
            if not new:
                continue  # it waits for a slot
            chosen: Sequence[Chosen] = ()
            if response.job.alternatives is not None:  # it is read after every step, which adds one token
                likely = done.likely if done else self._engine.likely_so_far(ticket)
                chosen = (Chosen(new[0], response.text.decoded, likely[-1]),)
            response.read += len(new)
            text = response.text.push(new, last=done is not None)
            reason: FinishReason | None = "stop" if response.text.stopped else done.finish_reason if done else None
            if text or reason or chosen:
                told.append((response.job, Piece(response.sample, text, response.read, reason, chosen)))
            if reason:
                self._forget(ticket)
            elif text and not response.job.eager:
                self._eager.discard(ticket)
        _tell(told)
