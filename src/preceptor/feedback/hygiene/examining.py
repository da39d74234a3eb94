"""What is looked at in each prompt alone, in processes beside: its language, its use case, personal data."""

import json
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from preceptor.errors import InputError
from preceptor.feedback.hygiene.language import Languages
from preceptor.feedback.hygiene.pii.scanner import Scanner, redact
from preceptor.feedback.hygiene.use_cases import UseCases
from preceptor.feedback.schema import USE_CASES
from preceptor.text.conversation import Message

Action = Literal["redact", "drop", "flag", "off"]
Prepared = TypeVar("Prepared")
Result = TypeVar("Result")
Row = tuple[int, str]  # a prompt's number and its record as JSON
CHUNK_ROWS, CHUNK_CHARACTERS = 256, 2**21  # of what a process is handed at a time
AHEAD = 2  # chunks that wait for each process


class StoppedError(InputError):
    """The import cannot go on now, for no fault of the input."""


@dataclass(frozen=True)
class Setup:
    """What a process needs to know."""

    pii: Action = "redact"
    names: str | None = None  # a spaCy model
    recognizers: Path | None = None
    use_cases: Path | None = None


class Examined(NamedTuple):
    """What was found in one prompt."""

    seq: int
    kind: str
    record: str | None  # the prompt as JSON if it is another now
    findings: str | None  # JSON: where what stood, in the prompt as it was; no word of it


class Examiner:
    """Looks at prompts one at a time."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.use_cases = UseCases(setup.use_cases)
        self.scanner = None if setup.pii == "off" else Scanner(setup.names, setup.recognizers)

    def examine(self, row: Row) -> Examined:
        """The use case and the personal data of one prompt."""
        seq, record = row
        prompt: dict[str, Any] = json.loads(record)
        messages = [Message.model_construct(**message) for message in prompt["messages"]]
        kind = prompt["kind"]
        if kind not in USE_CASES or kind == "other":  # whoever named another knew more than a rule
            kind = self.use_cases.of(messages)
        found: list[dict[str, Any]] = []
        for index, message in enumerate(prompt["messages"] if self.scanner else ()):
            findings = self.scanner.find(message["content"]) if self.scanner else []
            found += [
                {"message": index, "type": one.type, "start": one.start, "end": one.end, "certainty": one.certainty}
                for one in findings
            ]
            if self.setup.pii == "redact":
                message["content"] = redact(message["content"], findings)
        changed = bool(found) and self.setup.pii == "redact"
        return Examined(
            seq,
            kind,
            json.dumps(prompt, ensure_ascii=False) if changed else None,
            json.dumps(found) if found else None,
        )


# in processes ------------------------------------------------------------------------------------

_examiner: Examiner | InputError | None = None
_languages: Languages | InputError | None = None


def start(setup: Setup, languages: bool) -> None:
    """Prepare a process. What fails is told when it is asked for: here nobody would hear it."""
    global _examiner, _languages
    try:
        _languages = Languages() if languages else None
        _examiner = Examiner(setup)
    except InputError as error:
        _examiner = _languages = error


def _start_beside(setup: Setup, languages: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and ends us
    start(setup, languages)


def examine_chunk(rows: Sequence[Row]) -> list[Examined]:
    """The use cases and the personal data of some prompts."""
    return [_ready(_examiner).examine(row) for row in rows]


def languages_of_chunk(rows: Sequence[Row]) -> list[tuple[int, str]]:
    """The languages of some prompts."""
    return [(seq, _ready(_languages).of(json.loads(record)["messages"][-1]["content"])) for seq, record in rows]


def without_findings(texts: Sequence[str]) -> list[str]:
    """Texts as they may be shown."""
    scanner = _ready(_examiner).scanner
    return [text if scanner is None else redact(text, scanner.find(text)) for text in texts]


def _ready(prepared: Prepared | InputError | None) -> Prepared:
    if isinstance(prepared, InputError):
        raise prepared
    assert prepared is not None, "start runs first"
    return prepared


class Workers:
    """Processes beside this one, or with 0 of them this one. They start when they are first needed."""

    def __init__(self, count: int, setup: Setup, languages: bool) -> None:
        self._count, self._setup, self._languages = count, setup, languages
        self._pool: ProcessPoolExecutor | None = None
        self._started = False

    def map(self, function: Callable[[Sequence[Row]], list[Result]], rows: Iterable[Row]) -> Iterator[list[Result]]:
        """``function`` over chunks of the rows, results in order; no more in memory than keep the processes busy."""
        self._start()
        waiting: deque[Future[list[Result]]] = deque()
        try:
            for chunk in _chunks(rows):
                if self._pool is None:
                    yield function(chunk)
                    continue
                waiting.append(self._pool.submit(function, chunk))
                if len(waiting) > AHEAD * self._count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise StoppedError(
                "a process that looks at prompts was killed, or could not start; the memory may be full: "
                "start the same command again to go on where it was, with fewer --workers"
            ) from None

    def shown(self, texts: Sequence[str]) -> list[str]:
        """Texts without the personal data in them."""
        self._start()
        return without_findings(texts) if self._pool is None else self._pool.submit(without_findings, texts).result()

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _start(self) -> None:
        if self._started:
            return
        self._started = True
        if not self._count:
            start(self._setup, self._languages)
            return
        # Started afresh: a fork would share DuckDB's threads.
        self._pool = ProcessPoolExecutor(
            self._count, get_context("spawn"), initializer=_start_beside, initargs=(self._setup, self._languages)
        )


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    characters = 0
    for row in rows:
        chunk.append(row)
        characters += len(row[1])
        if len(chunk) == CHUNK_ROWS or characters > CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
