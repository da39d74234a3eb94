"""Handing work in. A judgement is written in one transaction with the slot that it fills, or not at all."""

import hashlib
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from preceptor.feedback.schema import Prompt, Response
from preceptor.feedback.store import Store
from preceptor.feedback.store.current import is_current
from preceptor.feedback.store.errors import ForbiddenError, InvalidError, NotFoundError, StaleError
from preceptor.feedback.store.people import person
from preceptor.feedback.store.prompts import DEMONSTRATION_MODEL, add_prompt_rows, find_responses
from preceptor.feedback.store.tables import (
    Assignment,
    Draft,
    Item,
    Judgement,
    Ranked,
    Rated,
    WrittenDemonstration,
)
from preceptor.feedback.store.words import checked_text
from preceptor.feedback.tasks.locks import MAX_NOTE, SETTLED, checked_seconds, owned, retake
from preceptor.feedback.tasks.payloads import (
    AnyPayload,
    ComparisonPayload,
    DemonstrationPayload,
    PromptPayload,
    RankingPayload,
)
from preceptor.feedback.tasks.shapes import Receipt

MAX_KEY = 200
# Built once: every judgement needs them.
_COUNT = update(Item).where(Item.id == bindparam("item")).values(done=Item.done + 1)
_DONE = (
    update(Assignment)
    .where(Assignment.id == bindparam("assignment"))
    .values(state="done", finished_at=bindparam("now"))
)
_SAY = insert(Judgement).returning(Judgement.id)
_RANK, _RATE = insert(Ranked), insert(Rated)


def submit(
    store: Store, person_id: int, assignment: str, payload: AnyPayload, *, seconds: float, key: str = ""
) -> Receipt:
    """Hand in the answer to a task, after ``seconds`` of work on it.

    ``key`` is the client's, one for each answer it means to give: the very same payload with the same key is
    acknowledged again and adds nothing. If the lock lapsed and nobody took the slot, the answer is still taken.
    :class:`StaleError`: something else was handed in already, or the slot went to somebody else.
    :class:`NotFoundError`: not this person's. :class:`InvalidError`: not an answer to this task.
    """
    digest = _checked(payload, seconds, key)
    with store.writing() as connection:
        row = owned(connection, person_id, assignment)
        if row.state in SETTLED:
            repeated = _repeated(connection, assignment, digest, key)
            if repeated is not None:
                return repeated
            raise StaleError(f"this task is {row.state} already, and not with this answer; correct it or take the next")
        _fits(row, payload)
        retake(connection, row)
        receipt = _write(store, connection, row, payload, seconds, key, digest, None)
        connection.execute(_COUNT, {"item": row.item_id})
        connection.execute(_DONE, {"assignment": assignment, "now": receipt.at})
        if row.draft is not None:
            connection.execute(delete(Draft).where(Draft.assignment_id == assignment))
    return receipt


def correct(
    store: Store, person_id: int, assignment: str, payload: AnyPayload, *, seconds: float, key: str = ""
) -> Receipt:
    """Judge anew what is done: a new event, which supersedes the one before. Same rules as :func:`submit`."""
    digest = _checked(payload, seconds, key)
    with store.writing() as connection:
        row = owned(connection, person_id, assignment)
        repeated = _repeated(connection, assignment, digest, key)
        if repeated is not None:
            return repeated
        if row.state != "done":
            raise StaleError(f"this task is {row.state}, not done; there is nothing to correct")
        _fits(row, payload)
        query = select(Judgement.id).where(Judgement.assignment_id == assignment, is_current())
        before = connection.execute(query).scalar()
        if before is None:  # withdrawn or forgotten
            raise NotFoundError("the judgement of this task is there no more")
        return _write(store, connection, row, payload, seconds, key, digest, before)


def withdraw(store: Store, reviewer_id: int, judgement: int, reason: str) -> Receipt:
    """A reviewer takes a judgement out of the count, as an event of her own. Its slot is free for somebody else."""
    checked_text(reason, "reason", MAX_NOTE)
    if person(store, reviewer_id).role not in ("reviewer", "admin"):
        raise ForbiddenError("only reviewers and admins withdraw judgements")
    with store.writing() as connection:
        found = connection.execute(
            select(Judgement.id, Judgement.kind, Judgement.assignment_id, Judgement.item_id, Judgement.prompt_id).where(
                Judgement.id == judgement, is_current(), Judgement.kind != "skip"
            )
        ).one_or_none()
        if found is None:
            raise NotFoundError(f"there is no judgement {judgement} that counts")
        now = store.now()
        event = {
            "kind": "withdrawal",
            "key": f"withdrawal/{judgement}",
            "assignment_id": found.assignment_id,
            "item_id": found.item_id,
            "prompt_id": found.prompt_id,
            "person_id": reviewer_id,
            "at": now,
            "supersedes": judgement,
            "note": reason,
        }
        number = connection.execute(insert(Judgement).values(event).returning(Judgement.id)).scalar_one()
        if found.assignment_id is not None:
            connection.execute(update(Assignment).where(Assignment.id == found.assignment_id).values(state="withdrawn"))
            free = {"taken": Item.taken - 1, "done": Item.done - 1}
            connection.execute(update(Item).where(Item.id == found.item_id).values(free))
    return Receipt(judgement=number, assignment=found.assignment_id or "", at=now)


# -------------------------------------------------------------------------------------------------


def _checked(payload: AnyPayload, seconds: float, key: str) -> str:
    """Refuse what no transaction need be opened for; the digest of the payload."""
    checked_seconds(seconds)
    checked_text(key, "key", MAX_KEY)
    checked_text(payload.note, "note", MAX_NOTE)
    if isinstance(payload, DemonstrationPayload):
        checked_text(payload.text, "demonstration")
    return hashlib.sha256(payload.model_dump_json().encode("utf-8", "replace")).hexdigest()


def _repeated(connection: Connection, assignment: str, digest: str, key: str) -> Receipt | None:
    """The receipt of the very same answer, if it has come before."""
    query = select(Judgement.id, Judgement.at).where(
        Judgement.assignment_id == assignment, Judgement.digest == digest, Judgement.idempotency_key == key
    )
    row = connection.execute(query).first()
    return None if row is None else Receipt(judgement=row.id, assignment=assignment, at=row.at, repeated=True)


def _fits(row: Any, payload: AnyPayload) -> None:
    """Whether the payload answers this task."""
    if payload.kind != row.kind:
        raise InvalidError(f"this task is a {row.kind}, and the answer a {payload.kind}")
    if isinstance(payload, RankingPayload):
        if len(payload.ranks) != len(row.shown):
            raise InvalidError(f"{len(payload.ranks)} ranks for {len(row.shown)} outputs; rank each")
        if not payload.ratings and row.person_kind == "person":
            raise InvalidError("rate each output before ranking them")
    if isinstance(payload, PromptPayload):
        for field, wanted in (row.wish or {}).items():
            if field != "hint" and wanted is not None and getattr(payload, field) != wanted:
                raise InvalidError(f"{field}: a {wanted} prompt is wanted here, not {getattr(payload, field)}")


def _write(
    store: Store,
    connection: Connection,
    row: Any,
    payload: AnyPayload,
    seconds: float,
    key: str,
    digest: str,
    supersedes: int | None,
) -> Receipt:
    now = store.now()
    event: dict[str, Any] = {
        "kind": row.kind,
        "key": f"{row.id}/{supersedes or 0}",
        "idempotency_key": key,
        "digest": digest,
        "assignment_id": row.id,
        "item_id": row.item_id,
        "prompt_id": row.prompt_id,
        "person_id": row.person_id,
        "at": now,
        "seconds": seconds,
        "guideline_version": row.guideline_version,
        "source": row.person_kind,
        "supersedes": supersedes,
        "note": payload.note,
    }
    if isinstance(payload, PromptPayload):
        event["prompt_id"] = _add_prompt(store, connection, row, payload, supersedes)
        event["detail"] = payload.model_dump(mode="json", exclude={"kind", "note"})
    if isinstance(payload, RankingPayload):
        event["all_bad"] = payload.all_bad
    number = connection.execute(_SAY, event).scalar_one()
    if isinstance(payload, DemonstrationPayload):
        response = Response(text=payload.text, model=DEMONSTRATION_MODEL)
        (response_id,) = find_responses(connection, now, row.prompt_id, [response], author_id=row.person_id)
        connection.execute(insert(WrittenDemonstration).values(judgement_id=number, response_id=response_id))
    elif isinstance(payload, RankingPayload):
        _write_ranks(connection, number, row.shown, payload.ranks)
        rated = [
            {
                "judgement_id": number,
                "response_id": response,
                "ordinal": ordinal,
                "overall": rating.overall,
                "flags": rating.flags,
            }
            for card, rating in zip(row.shown, payload.ratings, strict=False)
            for response, ordinal in card
        ]
        if rated:
            connection.execute(_RATE, rated)
    elif isinstance(payload, ComparisonPayload):
        _write_ranks(connection, number, row.shown, payload.ranks())
    return Receipt(judgement=number, assignment=row.id, at=now)


def _write_ranks(connection: Connection, judgement: int, shown: Any, ranks: list[int]) -> None:
    """A rank for each response: those that were shown as one card share what was said of it."""
    rows = [
        {"judgement_id": judgement, "response_id": response, "ordinal": ordinal, "rank": rank, "place": place}
        for place, (card, rank) in enumerate(zip(shown, ranks, strict=True))
        for response, ordinal in card
    ]
    connection.execute(_RANK, rows)


def _add_prompt(store: Store, connection: Connection, row: Any, payload: PromptPayload, supersedes: int | None) -> str:
    """The prompt that a labeler wrote, as one of the store's. She is its user."""
    prompt = Prompt(
        id=f"labeler-{row.id[:16]}" + (f"-{supersedes}" if supersedes else ""),
        user=f"labeler/{row.person_id}",
        messages=payload.messages(),
        source=f"labeler/{payload.form}/{payload.way}",
        kind=payload.use_case,
        created=store.now().date().isoformat(),
    )
    add_prompt_rows(connection, store.now(), [prompt], where="prompt", author_id=row.person_id)
    return prompt.id
