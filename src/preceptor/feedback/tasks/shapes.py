"""A task as a labeler sees it. Nothing in it tells which model wrote what, or that an answer is known."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from preceptor.feedback.schema import UseCase
from preceptor.feedback.store.tables.queues import TaskKind
from preceptor.feedback.tasks.payloads import Form, Way
from preceptor.text.conversation import Message


class PromptWish(BaseModel):
    """What prompt is to be written; a field that is None is the labeler's choice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: Form | None = None
    way: Way | None = None
    use_case: UseCase | None = None
    hint: str = ""  # for a user-based prompt: the use case as a user has stated it


class Task(BaseModel):
    """One piece of work, locked for one person until ``expires_at``."""

    model_config = ConfigDict(frozen=True)

    assignment: str
    queue: str
    kind: TaskKind
    messages: list[Message] = []  # the prompt; empty when one is to be written
    outputs: list[str] = []  # to be judged, in the order to show them; equal texts are one
    wish: PromptWish | None = None
    guideline_version: int
    locked_at: datetime
    expires_at: datetime
    draft: Any = None  # as last saved


class Receipt(BaseModel):
    """A judgement is in the store, for good."""

    model_config = ConfigDict(frozen=True)

    judgement: int
    assignment: str
    at: datetime
    repeated: bool = False  # the very same had come before; nothing was added


def as_task(row: dict[str, Any], outputs: Sequence[str]) -> Task:
    """A task from the columns of its assignment, queue, item and prompt."""
    return Task(
        assignment=row["id"],
        queue=row["name"],
        kind=row["kind"],
        messages=row["messages"] or [],
        outputs=list(outputs),
        wish=PromptWish.model_validate(row["wish"]) if row["wish"] is not None else None,
        guideline_version=row["guideline_version"],
        locked_at=row["locked_at"],
        expires_at=row["expires_at"],
        draft=row.get("draft"),
    )
