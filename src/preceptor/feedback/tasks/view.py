"""An assignment as the task that its holder sees."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from preceptor.feedback.store import Store
from preceptor.feedback.store.errors import NotFoundError
from preceptor.feedback.store.tables import Assignment, Draft, Item, Queue, StoredPrompt, StoredResponse
from preceptor.feedback.store.words import findable
from preceptor.feedback.tasks.locks import LIVE
from preceptor.feedback.tasks.shapes import Task, as_task

_TASK = (
    select(
        Assignment.id,
        Assignment.shown,
        Assignment.guideline_version,
        Assignment.locked_at,
        Assignment.expires_at,
        Queue.name,
        Queue.kind,
        Item.wish,
        StoredPrompt.messages,
        Draft.payload.label("draft"),
    )
    .join(Item, Item.id == Assignment.item_id)
    .join(Queue, Queue.id == Assignment.queue_id)
    .outerjoin(StoredPrompt, StoredPrompt.id == Item.prompt_id)
    .outerjoin(Draft, Draft.assignment_id == Assignment.id)
    .where(Assignment.id == bindparam("assignment"), Assignment.person_id == bindparam("person"))
)
_TEXTS = select(StoredResponse.id, StoredResponse.text).where(
    StoredResponse.id.in_(bindparam("responses", expanding=True))
)


def task(store: Store, person_id: int, assignment: str, connection: Connection | None = None) -> Task:
    """The task of an assignment of this person, in whatever state; another's is :class:`NotFoundError`."""
    if connection is None:
        with store.reading() as connection:
            return task(store, person_id, assignment, connection)
    given = {"assignment": assignment, "person": person_id}
    row = connection.execute(_TASK, given).mappings().one_or_none() if findable(assignment) else None
    if row is None:
        raise NotFoundError("there is no such task")
    first = [card[0][0] for card in row["shown"]]
    texts = {found.id: found.text for found in connection.execute(_TEXTS, {"responses": first})} if first else {}
    return as_task(dict(row), [texts[number] for number in first])


def held(store: Store, person_id: int) -> list[tuple[str, str, datetime]]:
    """What a person holds now: (assignment, queue, until when)."""
    query = (
        select(Assignment.id, Queue.name, Assignment.expires_at)
        .join(Queue, Queue.id == Assignment.queue_id)
        .where(Assignment.person_id == person_id, LIVE)
        .order_by(Assignment.locked_at)
    )
    with store.reading() as connection:
        return [(row[0], row[1], row[2]) for row in connection.execute(query)]
