"""Filling queues. Adding the same thing twice adds it once, so a stopped import is simply done again."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, insert, select

from preceptor.feedback.pairs import dense_ranks
from preceptor.feedback.schema import FLAGS, Prompt, Response, Sample
from preceptor.feedback.store import Store
from preceptor.feedback.store.current import is_current
from preceptor.feedback.store.errors import InvalidError, NotFoundError
from preceptor.feedback.store.prompts import add_prompt_rows, find_responses, text_hash
from preceptor.feedback.store.tables import (
    Item,
    ItemAuthor,
    ItemResponse,
    Judgement,
    Queue,
    StoredPrompt,
    StoredResponse,
    WrittenDemonstration,
)
from preceptor.feedback.store.tables.queues import UNBOUNDED
from preceptor.feedback.store.words import storable
from preceptor.feedback.tasks.queueing import queue_row
from preceptor.feedback.tasks.shapes import PromptWish

BATCH = 200  # items a transaction: labelers wait no longer than that takes
MAX_OUTPUTS = 9  # of the paper: 4 to 9
T = TypeVar("T")


@dataclass(frozen=True)
class Added:
    """What became of items handed in."""

    added: int = 0
    known: int = 0  # that were there already
    identical: int = 0  # whose outputs are all one text: nothing can be ranked
    forgotten: int = 0  # of users who were forgotten: left out

    def __add__(self, other: "Added") -> "Added":
        return Added(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


def add_prompts(store: Store, queue: str, prompt_ids: Iterable[str], *, priority: int = 0) -> Added:
    """Prompts of the store for demonstrations. Unknown ids are :class:`NotFoundError`."""
    total = Added()
    for batch in _batches(prompt_ids):
        with store.writing() as connection:
            row = _queue(connection, queue, "demonstration")
            known = set(connection.execute(select(StoredPrompt.id).where(StoredPrompt.id.in_(batch))).scalars())
            for prompt_id in batch:
                if prompt_id not in known:
                    raise NotFoundError(f"there is no prompt {prompt_id!r}; import it first")
                values = {"prompt_id": prompt_id, "digest": _digest(prompt_id), "priority": priority}
                total += _add(connection, store.now(), row, values)
    return total


def add_wishes(store: Store, queue: str, wishes: Iterable[PromptWish], *, copies: int = 1, priority: int = 0) -> Added:
    """Prompts to be written: ``copies`` of each wish, each of which as many labelers fulfil as the overlap says."""
    total = Added()
    for batch in _batches(wishes):
        with store.writing() as connection:
            row = _queue(connection, queue, "prompt")
            for wish in batch:
                said = wish.model_dump(mode="json")
                for copy in range(copies):
                    values = {"wish": said, "digest": _digest(said, copy), "priority": priority}
                    total += _add(connection, store.now(), row, values)
    return total


def add_samples(
    store: Store, queue: str, samples: Iterable[Sample], *, priority: int = 0, demonstrations: bool = False
) -> Added:
    """Responses to be ranked, or pairs of two to be compared blind, with their prompts.

    A prompt that the store does not know comes in as its own user's. With ``demonstrations`` those that labelers have
    written for the prompt are ranked along, by all but their authors, as far as 9 outputs allow. If all outputs
    are one text there is nothing to judge: the item is kept, closed, and counts as a tie of the models.
    """
    total = Added()
    for batch in _batches(samples):
        with store.writing() as connection:
            row = _queue(connection, queue, "ranking", "comparison")
            for sample in batch:
                total += _add_sample(connection, store.now(), row, sample, priority, demonstrations)
    return total


def add_honeypot(
    store: Store, queue: str, sample: Sample, ranks: Sequence[int], flags: Sequence[Sequence[str]] | None = None
) -> Added:
    """An item whose answer is known: ``ranks[k]`` is the rank that response k deserves, ``flags[k]`` its true flags.

    Equal ranks are not asked about. Without ``flags`` those of the labelers are not looked at.
    """
    if len(ranks) != len(sample.responses) or len(set(ranks)) < 2:
        raise InvalidError(f"honeypot {sample.prompt_id}: give each response a rank, and not all the same")
    if flags is not None and (
        len(flags) != len(sample.responses) or any(flag not in FLAGS for raised in flags for flag in raised)
    ):
        raise InvalidError(f"honeypot {sample.prompt_id}: give each response a list of flags out of {', '.join(FLAGS)}")
    known = {
        "ranks": dense_ranks([-rank for rank in ranks]),
        "flags": None if flags is None else list(map(list, flags)),
    }
    with store.writing() as connection:
        row = _queue(connection, queue, "ranking", "comparison")
        return _add_sample(connection, store.now(), row, sample, 0, False, known)


def _add_sample(
    connection: Connection,
    now: datetime,
    queue: Queue,
    sample: Sample,
    priority: int,
    demonstrations: bool,
    known: dict[str, Any] | None = None,
) -> Added:
    count = len(sample.responses)
    if queue.kind == "comparison" and count != 2:
        raise InvalidError(f"prompt {sample.prompt_id}: {count} responses in a queue of comparisons; give 2")
    if count > MAX_OUTPUTS:
        raise InvalidError(
            f"prompt {sample.prompt_id}: {count} responses are too many to rank; give at most {MAX_OUTPUTS}"
        )
    said = [[one.model, one.text] for one in sample.responses]
    values: dict[str, Any] = {
        "prompt_id": sample.prompt_id,
        "digest": _digest(sample.prompt_id, said, known),
        "priority": priority,
        "known": known,
        "honeypot": known is not None,
        "identical": len({text_hash(one.text) for one in sample.responses}) == 1,
    }
    if _is_there(connection, queue.id, values["digest"]):
        return Added(known=1)
    prompt = Prompt(id=sample.prompt_id, user=sample.prompt_id, messages=sample.messages)
    add_prompt_rows(connection, now, [prompt], where=f"prompt {sample.prompt_id}")
    if connection.execute(select(StoredPrompt.id).where(StoredPrompt.id == sample.prompt_id)).first() is None:
        return Added(forgotten=1)
    cleaned = [Response(text=storable(one.text), model=one.model) for one in sample.responses]
    placed: list[tuple[int, int | None]] = [
        (number, None) for number in find_responses(connection, now, sample.prompt_id, cleaned)
    ]
    if demonstrations and queue.kind == "ranking" and known is None:
        placed += _demonstrations(connection, sample.prompt_id)[: MAX_OUTPUTS - count]
        values["identical"] = False if len(placed) > count else values["identical"]
    if values["identical"] and known is not None:
        raise InvalidError(f"honeypot {sample.prompt_id}: its responses are one text; give different ones")
    return _add(connection, now, queue, values, placed)


def _add(
    connection: Connection,
    now: datetime,
    queue: Queue,
    values: dict[str, Any],
    placed: Sequence[tuple[int, int | None]] = (),
) -> Added:
    """Write an item; ``placed`` are its responses with their authors."""
    if _is_there(connection, queue.id, values["digest"]):
        return Added(known=1)
    identical = values.get("identical", False)
    overlap = UNBOUNDED if values.get("honeypot") else queue.overlap
    closed = {"taken": overlap, "done": overlap} if identical else {}
    row = {"queue_id": queue.id, "overlap": overlap, "added_at": now, **values, **closed}
    item_id = connection.execute(insert(Item).values(row).returning(Item.id)).scalar_one()
    if placed:
        rows = [
            {"item_id": item_id, "place": place, "response_id": response} for place, (response, _) in enumerate(placed)
        ]
        connection.execute(insert(ItemResponse), rows)
    authors = {author for _, author in placed if author is not None}
    if authors:
        connection.execute(insert(ItemAuthor), [{"item_id": item_id, "person_id": author} for author in authors])
    return Added(identical=1) if identical else Added(added=1)


def _demonstrations(connection: Connection, prompt_id: str) -> list[tuple[int, int | None]]:
    """The current demonstrations of a prompt: (response, author), the oldest first."""
    query = (
        select(StoredResponse.id, StoredResponse.author_id)
        .join(WrittenDemonstration, WrittenDemonstration.response_id == StoredResponse.id)
        .join(Judgement, Judgement.id == WrittenDemonstration.judgement_id)
        .where(StoredResponse.prompt_id == prompt_id, is_current())
        .order_by(StoredResponse.id)
    )
    return [(row.id, row.author_id) for row in connection.execute(query)]


def _queue(connection: Connection, name: str, *kinds: str) -> Queue:
    row = queue_row(connection, name)
    if row.kind not in kinds:
        raise InvalidError(f"queue {name}: is for {row.kind} tasks; use one for {' or '.join(kinds)}")
    return row


def _is_there(connection: Connection, queue_id: int, digest: str) -> bool:
    query = select(Item.id).where(Item.queue_id == queue_id, Item.digest == digest)
    return connection.execute(query).first() is not None


def _digest(*parts: Any) -> str:
    return hashlib.blake2b(json.dumps(parts, ensure_ascii=True).encode(), digest_size=16).hexdigest()


def _batches(rows: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH)):
        yield batch
