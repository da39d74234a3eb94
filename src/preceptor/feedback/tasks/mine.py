"""What a labeler sees of herself: her queues, her past tasks, her answers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import aliased

from preceptor.feedback.store import Store
from preceptor.feedback.store.current import is_current
from preceptor.feedback.store.errors import NotFoundError
from preceptor.feedback.store.tables import (
    Assignment,
    Judgement,
    Queue,
    Ranked,
    Rated,
    StoredPrompt,
    StoredResponse,
    WrittenDemonstration,
)
from preceptor.feedback.tasks.next import free_items
from preceptor.feedback.tasks.payloads import (
    AnyPayload,
    ComparisonPayload,
    DemonstrationPayload,
    OutputRating,
    PromptPayload,
    RankingPayload,
)
from preceptor.feedback.tasks.queueing import queues

COUNTED = 1000  # free items are counted up to here
EXCERPT = 120
_FREE = free_items(honeypots=False, again=True).limit(COUNTED)
_AVAILABLE = select(func.count()).select_from(_FREE.subquery())


@dataclass(frozen=True)
class MyQueue:
    """A queue as one labeler stands to it."""

    name: str
    kind: str
    open: bool
    priority: int
    items: int
    complete: int
    available: int  # free for her, counted up to 1000
    mine: int  # done by her
    held: str | None  # the assignment that she holds


@dataclass(frozen=True)
class PastTask:
    """Something that a labeler has done or skipped."""

    assignment: str
    judgement: int
    queue: str
    kind: str
    state: str
    at: datetime
    seconds: float | None
    excerpt: str
    reason: str  # why it was skipped, or a reviewer returned it


def my_queues(store: Store, person_id: int) -> list[MyQueue]:
    """The open queues, and those in which she holds a task, in the order in which they are offered."""
    found = []
    overview = queues(store)
    with store.reading() as connection:
        numbers = {row.name: row.id for row in connection.execute(select(Queue.id, Queue.name))}
        mine = (
            select(Assignment.queue_id, Assignment.state, func.count().label("count"), func.max(Assignment.id))
            .where(Assignment.person_id == person_id, Assignment.state.in_(("done", "locked")))
            .group_by(Assignment.queue_id, Assignment.state)
        )
        counts = {(row[0], row[1]): (row[2], row[3]) for row in connection.execute(mine)}
        for one in overview:
            number = numbers[one.name]
            held = counts.get((number, "locked"), (0, None))[1]
            if one.open or held is not None:
                done = counts.get((number, "done"), (0, None))[0]
                given = {"person": person_id, "queue": number}
                free = connection.execute(_AVAILABLE, given).scalar_one() if one.open else 0
                found.append(
                    MyQueue(one.name, one.kind, one.open, one.priority, one.items, one.complete, free, done, held)
                )
    return found


def past_tasks(store: Store, person_id: int, *, limit: int = 50, before: int | None = None) -> list[PastTask]:
    """What she did, the newest first: her last word on each task. Before a judgement, if one is given."""
    later = aliased(Judgement)
    query = (
        select(
            Judgement.assignment_id,
            Judgement.id,
            Judgement.kind,
            Judgement.at,
            Judgement.seconds,
            Judgement.detail,
            Queue.name,
            Assignment.state,
            StoredPrompt.messages,
            later.note.label("returned"),
        )
        .join(Assignment, Assignment.id == Judgement.assignment_id)
        .join(Queue, Queue.id == Assignment.queue_id)
        .outerjoin(StoredPrompt, StoredPrompt.id == Judgement.prompt_id)
        .outerjoin(later, later.supersedes == Judgement.id)
        .where(
            Judgement.person_id == person_id,
            Assignment.person_id == person_id,  # a reviewer's withdrawals are not her tasks
            Judgement.kind != "withdrawal",
            later.id.is_(None) | (later.kind == "withdrawal"),
        )
        .order_by(Judgement.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(Judgement.id < before)
    with store.reading() as connection:
        rows = connection.execute(query).all()
    return [
        PastTask(
            row.assignment_id,
            row.id,
            row.name,
            row.kind,
            row.state,
            row.at,
            row.seconds,
            excerpt(row.messages),
            (row.detail or {}).get("reason", "") if row.kind == "skip" else row.returned or "",
        )
        for row in rows
    ]


def excerpt(messages: Any) -> str:
    """The beginning of a prompt's last message."""
    return " ".join(messages[-1]["content"][: 4 * EXCERPT].split())[:EXCERPT] if messages else ""


def state_of(store: Store, person_id: int, assignment: str) -> tuple[str, str]:
    """The state of an assignment of hers, and a reviewer's reason if it was returned."""
    query = select(Assignment.state).where(Assignment.id == assignment, Assignment.person_id == person_id)
    returned = (
        select(Judgement.note)
        .where(Judgement.assignment_id == assignment, Judgement.kind == "withdrawal")
        .order_by(Judgement.id.desc())
        .limit(1)
    )
    with store.reading() as connection:
        state = connection.execute(query).scalar()
        if state is None:
            raise NotFoundError("there is no such task")
        reason = connection.execute(returned).scalar() if state == "withdrawn" else None
    return str(state), reason or ""


def answer_to(store: Store, person_id: int, assignment: str) -> AnyPayload | None:
    """Her answer that counts, as she would send it again; None if there is none (any more)."""
    query = (
        select(Judgement.id, Judgement.kind, Judgement.note, Judgement.all_bad, Judgement.detail)
        .where(
            Judgement.assignment_id == assignment,
            Judgement.person_id == person_id,
            Judgement.kind != "skip",
            is_current(),
        )
        .order_by(Judgement.id.desc())
        .limit(1)
    )
    with store.reading() as connection:
        row = connection.execute(query).one_or_none()
        if row is None:
            return None
        if row.kind == "demonstration":
            text = connection.execute(
                select(StoredResponse.text)
                .join(WrittenDemonstration, WrittenDemonstration.response_id == StoredResponse.id)
                .where(WrittenDemonstration.judgement_id == row.id)
            ).scalar_one()
            return DemonstrationPayload(text=text, note=row.note)
        if row.kind == "prompt":
            return PromptPayload.model_validate({**row.detail, "note": row.note})
        ranks, ratings = _by_card(connection, row.id)
    if row.kind == "comparison":
        preferred = "tie" if ranks[0] == ranks[1] else "first" if ranks[0] < ranks[1] else "second"
        return ComparisonPayload.model_validate({"preferred": preferred, "note": row.note})
    return RankingPayload(ranks=ranks, ratings=ratings, all_bad=row.all_bad, note=row.note)


def _by_card(connection: Connection, judgement: int) -> tuple[list[int], list[OutputRating]]:
    """Ranks and ratings in the order in which the outputs were shown."""
    query = (
        select(Ranked.place, Ranked.rank, Rated.overall, Rated.flags)
        .outerjoin(Rated, (Rated.judgement_id == Ranked.judgement_id) & (Rated.response_id == Ranked.response_id))
        .where(Ranked.judgement_id == judgement)
        .order_by(Ranked.place)
    )
    cards = {row.place: row for row in connection.execute(query)}
    ordered = [cards[place] for place in sorted(cards)]
    ratings = [OutputRating(overall=row.overall, flags=row.flags) for row in ordered if row.overall is not None]
    return [row.rank for row in ordered], ratings
