"""An assignment as the task that its holder sees."""

from datetime import datetime
from typing import Any

from sqlalchemy import select

from preceptor.feedback.store import Store
from preceptor.feedback.store.errors import NotFoundError
from preceptor.feedback.store.tables import Assignment, Draft, Item, Queue, StoredPrompt, StoredResponse
from preceptor.feedback.tasks.shapes import PromptWish, Task


def task(store: Store, person_id: int, assignment: str) -> Task:
    """The task of an assignment of this person, in whatever state; another's is :class:`NotFoundError`."""
    query = (
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
            Draft.payload,
        )
        .join(Item, Item.id == Assignment.item_id)
        .join(Queue, Queue.id == Assignment.queue_id)
        .outerjoin(StoredPrompt, StoredPrompt.id == Item.prompt_id)
        .outerjoin(Draft, Draft.assignment_id == Assignment.id)
        .where(Assignment.id == assignment, Assignment.person_id == person_id)
    )
    with store.reading() as connection:
        row: Any = connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError("there is no such task")
        first = [card[0] for card in row.shown]
        texts: dict[int, str] = {}
        if first:
            wanted = select(StoredResponse.id, StoredResponse.text).where(StoredResponse.id.in_(first))
            texts = {found.id: found.text for found in connection.execute(wanted)}
    return Task(
        assignment=row.id,
        queue=row.name,
        kind=row.kind,
        messages=row.messages or [],
        outputs=[texts[number] for number in first],
        wish=PromptWish.model_validate(row.wish) if row.wish is not None else None,
        guideline_version=row.guideline_version,
        locked_at=row.locked_at,
        expires_at=row.expires_at,
        draft=row.payload,
    )


def held(store: Store, person_id: int) -> list[tuple[str, str, datetime]]:
    """What a person holds now: (assignment, queue, until when)."""
    query = (
        select(Assignment.id, Queue.name, Assignment.expires_at)
        .join(Queue, Queue.id == Assignment.queue_id)
        .where(Assignment.person_id == person_id, Assignment.state == "locked")
        .order_by(Assignment.locked_at)
    )
    with store.reading() as connection:
        return [(row[0], row[1], row[2]) for row in connection.execute(query)]
