"""From files to prompts, one at a time: logs, plain text, and every format that the readers know.

A malformed record is an error that names its line: better now than after a night of labeling.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.feedback.hygiene.normalise import normalise
from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.evaluation_sets import evaluation_set
from preceptor.feedback.readers.known import READERS, reader_for, reader_named
from preceptor.feedback.readers.places import Place
from preceptor.feedback.readers.records import HALF_PAIR, TABLES, json_of, open_source
from preceptor.feedback.readers.streaming import beginning_of, lines_of
from preceptor.feedback.readers.tables import csv_rows
from preceptor.feedback.readers.turns import UnusableError, text_prompt
from preceptor.feedback.schema import Prompt
from preceptor.text.conversation import Message

TEXT = "text"  # the format's name: a prompt a line
MAX_WHOLE_BYTES = 2**28  # of a file whose form cannot be read line by line
EXAMPLES = 3  # of each rule
SHOWN_CHARACTERS = 200  # of an example


@dataclass
class Tally:
    """What reading took or changed, with the first examples of each."""

    records: int = 0
    prompts: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)  # rule -> reason -> how many
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    formats: Counter[str] = field(default_factory=Counter)
    users_with_at: int = 0  # ids that look like addresses

    def count(self, rule: str, reason: str, place: Place, text: str) -> None:
        """Count one prompt under a rule, and keep it as an example if it is one of the first."""
        self.counts.setdefault(rule, Counter())[reason] += 1
        examples = self.examples.setdefault(rule, [])
        if len(examples) < EXAMPLES:
            examples.append({"place": str(place), "text": shorten(text), "why": reason})

    def to_json(self) -> dict[str, Any]:
        """The tally as JSON takes it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Tally":
        """The tally that :meth:`to_json` wrote."""
        value["counts"] = {rule: Counter(reasons) for rule, reasons in value["counts"].items()}
        value["formats"] = Counter(value["formats"])
        return cls(**value)


def shorten(text: str) -> str:
    """What an example shows of a text."""
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " ..."


def read_prompts(
    paths: list[Path], tally: Tally, *, name: str | None, user: str, max_characters: int
) -> Iterator[tuple[Place, Prompt]]:
    """The prompts of files, normalised; what is left out or changed is counted in ``tally``.

    ``name`` is the format where the content must not decide (``text`` or a reader's); ``user`` whose prompts are that
    name none. Memory does not grow with a file that is plain text or JSON lines, packed or not.
    """
    if name is not None and name != TEXT:
        reader_named(name)
    for path in paths:
        before = tally.records
        for place, prompt in _of_file(path, tally, name, user):
            tally.prompts += 1
            cleaned = _clean(prompt, place, tally, max_characters)
            if cleaned is not None:
                tally.users_with_at += "@" in cleaned.user
                yield place, cleaned
        if tally.records == before:
            raise InputError(f"{path}: is empty; it needs at least one prompt")


def _clean(prompt: Prompt, place: Place, tally: Tally, max_characters: int) -> Prompt | None:
    """The prompt normalised, or None if it is too long or nothing is left of it."""
    size = sum(len(message.content) for message in prompt.messages)
    last = prompt.messages[-1].content
    if size > max_characters:
        tally.count("too long", f"more than {max_characters:,} characters", place, last)
        return None
    changes: dict[str, None] = {}
    messages = []
    for message in prompt.messages:
        content, changed = normalise(message.content)
        changes.update(dict.fromkeys(changed))
        messages.append(Message(role=message.role, content=content) if changed else message)
    if changes:
        tally.count("unicode", ", ".join(changes), place, last)
        prompt = prompt.model_copy(update={"messages": messages})
    if not messages[-1].content.strip():
        tally.count("empty", "no word of the user is left", place, last)
        return None
    return prompt if prompt.user else prompt.model_copy(update={"user": prompt.id})


# files and records -------------------------------------------------------------------------------


def _of_file(path: Path, tally: Tally, name: str | None, user: str) -> Iterator[tuple[Place, Prompt]]:
    beginning, form = (b"", "text") if name == TEXT else beginning_of(path)
    if form in TABLES and name is None and not _is_table(path, beginning, TABLES[form]):
        form = "text"  # sentences with a comma each
    if form == "text":
        for place, line in lines_of(path):
            tally.records += 1
            tally.formats[TEXT] += 1
            prompt = text_prompt([Message(role="user", content=line)], TEXT)
            yield place, prompt.model_copy(update={"user": user}) if user else prompt
        return
    for place, record in _json_lines(path, tally) if form == "JSON lines" else _whole_file(path, form):
        tally.records += 1
        try:
            yield from ((place, prompt) for prompt in _of_record(record, place, tally, name, user))
        except UnusableError as unusable:
            tally.count("unusable", str(unusable), place, "")


def _json_lines(path: Path, tally: Tally) -> Iterator[tuple[Place, dict[str, Any]]]:
    for place, line in lines_of(path):
        value = json_of(line, place)
        if not isinstance(value, dict):
            raise place.error('holds no JSON object; write one {"...": ...} a line')
        if HALF_PAIR.search(line) and (whole := mended(value)) != value:
            tally.count("unicode", "half surrogate pairs", place, "")
            value = whole
        yield place, value


def _whole_file(path: Path, form: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    size = path.stat().st_size
    if size > MAX_WHOLE_BYTES:
        raise InputError(
            f"{path}: is {form} of {size:,} bytes, which is read whole and so up to {MAX_WHOLE_BYTES:,} only; "
            "write it as JSON lines"
        )
    return open_source(path).records()


def _is_table(path: Path, beginning: bytes, delimiter: str) -> bool:
    """Whether what could be a table has the columns of some format, or of an evaluation set, which is refused."""
    try:
        _, first = next(csv_rows(path, beginning.decode("utf-8-sig", errors="replace"), delimiter), (None, {}))
    except InputError:
        return True  # let the reader say what is wrong
    return evaluation_set(first) is not None or any(reader.fits(first) for reader in READERS)


def _of_record(record: dict[str, Any], place: Place, tally: Tally, name: str | None, user: str) -> Iterator[Prompt]:
    """The prompts of one record: mostly one."""
    body = record.get("body")
    if isinstance(body, dict) and "messages" in body and "messages" not in record:
        record = body  # a line of OpenAI's batch files is a request with its address
    reader = reader_for(record, "prompts", place) if name is None else reader_named(name)
    into = Collected()
    reader.read(record, place, into)
    tally.formats[reader.name] += 1
    if reader.name not in ("messages", "prompts", "bare-prompts"):
        record = {}  # a field "user" of another format may mean anything
    for prompt in into.prompts.values():
        if reader.name != "prompts":
            who = record.get("user") or record.get("safety_identifier") or user
            prompt = prompt.model_copy(update={"user": str(who) if who else prompt.user, "created": _when(record)})
        yield prompt


def _when(record: dict[str, Any]) -> str:
    """When a log says that it was: seconds since 1970 as OpenAI has them, or what stands there as text."""
    created = record.get("created", "")
    if isinstance(created, (int, float)) and 0 < created < 2**33:
        return datetime.fromtimestamp(created, UTC).isoformat()
    return created if isinstance(created, str) else ""


def mended(value: Any) -> Any:
    """A JSON value with U+FFFD for every half of a surrogate pair: logs are cut in the middle of an emoji."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [mended(part) for part in value]
    if isinstance(value, dict):
        return {mended(key): mended(part) for key, part in value.items()}
    return value
