"""Reading files of the documented formats into a store. Doing it twice adds nothing."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection, insert, select

from preceptor.errors import InputError
from preceptor.feedback.readers.streaming import lines_of
from preceptor.feedback.schema import FLAGS, Demonstration, Prompt, Ranking, Rating, Response
from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.people import MAX_NAME as MAX_KEPT_NAME
from preceptor.feedback.store.people import add_person, sign_in_name
from preceptor.feedback.store.prompts import (
    DEMONSTRATION_MODEL,
    MAX_ID,
    add_prompt_rows,
    check_messages,
    find_responses,
)
from preceptor.feedback.store.tables import Judgement, Person, Ranked, Rated, StoredPrompt, WrittenDemonstration
from preceptor.feedback.store.words import checked_text, storable
from preceptor.files import first_fault

BATCH = 200  # rows a transaction: labelers can work meanwhile
MAX_NAME = MAX_KEPT_NAME - len("file/")
NOBODY = "unknown"  # who judged where the file does not say
Row = TypeVar("Row", bound=BaseModel)


@dataclass(frozen=True)
class Loaded:
    """Lines of a file: added, and there already (or of users who were forgotten)."""

    added: int = 0
    known: int = 0

    def __add__(self, other: "Loaded") -> "Loaded":
        return Loaded(self.added + other.added, self.known + other.known)


def load_prompts(store: Store, path: Path) -> Loaded:
    """Prompts, as `preceptor prompts import` writes them.

    A file with a bad line adds nothing, and the error names the line. An id under which the store has something else
    stops it there; what came before is in, and need not be taken out to go on.
    """

    def add(connection: Connection, rows: Sequence[tuple[str, Prompt]]) -> Loaded:
        added = 0
        for where, prompt in rows:
            added += add_prompt_rows(connection, store.now(), [prompt], where=where)
        return Loaded(added, len(rows) - added)

    return _load(store, path, Prompt, add)


def load_demonstrations(store: Store, path: Path) -> Loaded:
    """Demonstrations, each an event of a person out of the file, with its prompt where that is not there yet."""

    def add(connection: Connection, rows: Sequence[tuple[str, Demonstration]]) -> Loaded:
        """Write demonstrations that are not there yet."""
        total, now = Loaded(), store.now()
        for where, row in rows:
            *messages, reply = row.messages
            if not _with_prompt(connection, now, where, row.prompt_id, messages):
                total += Loaded(known=1)
                continue
            person = _labeler(connection, now, row.labeler)
            number = _event(connection, now, "demonstration", row, person, "file")
            if number is None:
                total += Loaded(known=1)
                continue
            response = Response(text=storable(reply.content), model=DEMONSTRATION_MODEL)
            (found,) = find_responses(connection, now, row.prompt_id, [response], author_id=person)
            connection.execute(insert(WrittenDemonstration).values(judgement_id=number, response_id=found))
            total += Loaded(added=1)
        return total

    return _load(store, path, Demonstration, add)


def load_rankings(store: Store, path: Path) -> Loaded:
    """Rankings, each an event of a person out of the file."""
    return _load_ranked(store, path, "ranking")


def load_comparisons(store: Store, path: Path) -> Loaded:
    """Blind comparisons: rankings of two."""
    return _load_ranked(store, path, "comparison")


def _load_ranked(store: Store, path: Path, kind: str) -> Loaded:
    def add(connection: Connection, rows: Sequence[tuple[str, Ranking]]) -> Loaded:
        """Write rankings that are not there yet."""
        total, now = Loaded(), store.now()
        for where, row in rows:
            if not _with_prompt(connection, now, where, row.prompt_id, row.messages):
                total += Loaded(known=1)
                continue
            number = _event(connection, now, kind, row, _labeler(connection, now, row.labeler), row.source or "file")
            if number is None:
                total += Loaded(known=1)
                continue
            responses = [Response(text=storable(one.text), model=one.model) for one in row.responses]
            numbers = find_responses(connection, now, row.prompt_id, responses)
            marks = [
                {"judgement_id": number, "response_id": response, "ordinal": place, "place": place, "rank": rank}
                for place, (response, rank) in enumerate(zip(numbers, row.ranks, strict=True))
            ]
            connection.execute(insert(Ranked), marks)
            total += Loaded(added=1)
        return total

    return _load(store, path, Ranking, add)


def load_ratings(store: Store, path: Path) -> Loaded:
    """Ratings, each an event of a person out of the file. They name only ids: their prompts must be there."""

    def add(connection: Connection, rows: Sequence[tuple[str, Rating]]) -> Loaded:
        """Write ratings that are not there yet."""
        total, now = Loaded(), store.now()
        for where, row in rows:
            unknown = [flag for flag in row.flags if flag not in FLAGS]
            if unknown:
                raise InputError(f"{where}: flags: no such flag, {unknown[0]}; the flags are {', '.join(FLAGS)}")
            if not _is_there(connection, row.prompt_id):
                raise InputError(f"{where}: prompt_id: no prompt {row.prompt_id!r} in the store; import prompts first")
            number = _event(
                connection, now, "rating", row, _labeler(connection, now, row.labeler), row.source or "file"
            )
            if number is None:
                total += Loaded(known=1)
                continue
            response = Response(text=storable(row.response), model=row.model)
            (found,) = find_responses(connection, now, row.prompt_id, [response])
            raised = [flag for flag in FLAGS if row.flags.get(flag)]
            mark = {"judgement_id": number, "response_id": found, "ordinal": 0, "overall": row.overall, "flags": raised}
            connection.execute(insert(Rated).values(mark))
            total += Loaded(added=1)
        return total

    return _load(store, path, Rating, add)


# -------------------------------------------------------------------------------------------------


def _load(
    store: Store, path: Path, model: type[Row], add: Callable[[Connection, Sequence[tuple[str, Row]]], Loaded]
) -> Loaded:
    """Read the whole file once to refuse it before anything is written, then write it batch by batch."""
    for where, row in read_lines(path, model):
        check_row(where, row)
    total, rows = Loaded(), read_lines(path, model)
    while batch := list(islice(rows, BATCH)):
        with store.writing() as connection:
            total += add(connection, batch)
    return total


def check_row(where: str, row: BaseModel) -> None:
    """What no table takes: texts that are too long or hold what no text should, and a prompt without words."""
    check_messages(getattr(row, "messages", []), where)
    for name in ("id", "prompt_id", "user", "source", "kind", "created", "labeler", "model"):
        checked_text(getattr(row, name, ""), f"{where}: {name}", MAX_NAME if name == "labeler" else MAX_ID)
    if isinstance(row, Prompt) and not row.messages[-1].content.strip():
        raise InputError(f"{where}: the prompt is empty; it must end with words of the user")


def read_lines(path: Path, model: type[Row]) -> Iterator[tuple[str, Row]]:
    """(file:line, row) of a JSONL file, packed or not, read as a stream."""
    for place, line in lines_of(path):
        try:
            yield str(place), model.model_validate_json(line)
        except ValidationError as error:
            raise place.error(first_fault(error)) from None


def _event(
    connection: Connection, now: datetime, kind: str, row: Demonstration | Ranking | Rating, person: int, source: str
) -> int | None:
    """Write the event of a line; None if the very same line is in the store."""
    new = {"source"} if isinstance(row, Rating) and not row.source else None  # so that lines without it stay the same
    said = json.dumps([kind, row.model_dump(mode="json", exclude=new)], sort_keys=True)
    key = "import/" + hashlib.sha256(said.encode()).hexdigest()
    if connection.execute(select(Judgement.id).where(Judgement.key == key)).first() is not None:
        return None
    values: dict[str, Any] = {
        "kind": kind,
        "key": key,
        "prompt_id": row.prompt_id,
        "person_id": person,
        "at": now,
        "source": source,
    }
    return connection.execute(insert(Judgement).values(values).returning(Judgement.id)).scalar_one()


def _with_prompt(connection: Connection, now: datetime, where: str, prompt_id: str, messages: Sequence[Any]) -> bool:
    """See that the prompt is there; False if its user was forgotten. The formats name no user: it is its own."""
    if _is_there(connection, prompt_id):
        return True
    try:
        prompt = Prompt(id=prompt_id, user=prompt_id, messages=list(messages))
    except ValidationError as error:
        raise InputError(f"{where}: {first_fault(error)}") from None
    return add_prompt_rows(connection, now, [prompt], where=where) == 1


def _is_there(connection: Connection, prompt_id: str) -> bool:
    return connection.execute(select(StoredPrompt.id).where(StoredPrompt.id == prompt_id)).first() is not None


def _labeler(connection: Connection, now: datetime, name: str) -> int:
    """Who judged in a file: somebody who cannot sign in, even if a labeler here bears the same name."""
    kept = sign_in_name(f"file/{name or NOBODY}")
    found = connection.execute(select(Person.id).where(Person.name == kept)).scalar()
    return found if found is not None else add_person(connection, now, kept, kind="imported").id


# By the name of the file in an export, in the order in which one stands on another.
LOADERS: dict[str, Callable[[Store, Path], Loaded]] = {
    "prompts": load_prompts,
    "demonstrations": load_demonstrations,
    "rankings": load_rankings,
    "comparisons": load_comparisons,
    "ratings": load_ratings,
}
