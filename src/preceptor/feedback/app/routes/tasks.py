"""What labelers do all day."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import AfterValidator, Field, StringConstraints

from preceptor.feedback.app.access import Labeler, StoreOf
from preceptor.feedback.app.errors import ErrorAnswer, keeping
from preceptor.feedback.app.parameters import AssignmentId, Before, Body, Limit, Line, Shape
from preceptor.feedback.app.replies import Route, reply
from preceptor.feedback.store import Store
from preceptor.feedback.tasks import (
    AnyPayload,
    Receipt,
    Task,
    correct,
    extend,
    next_task,
    release,
    save_draft,
    skip,
    submit,
)
from preceptor.feedback.tasks.locks import MAX_NOTE, MAX_SECONDS
from preceptor.feedback.tasks.mine import MyQueue, PastTask, answer_to, my_queues, past_tasks, state_of
from preceptor.feedback.tasks.submit import MAX_KEY
from preceptor.feedback.tasks.view import task

router = APIRouter(prefix="/api", tags=["tasks"], route_class=Route)
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
KEPT: dict[int | str, dict[str, Any]] = {409: {"model": ErrorAnswer, "description": "Too late; what was sent is kept"}}


class Next(Body):
    """From which queue; from any by priority, if it is left out."""

    queue: Line | None = None


class Answer(Body):
    """A judgement, how long it took, and a key that makes it safe to send again."""

    payload: AnyPayload
    seconds: Seconds
    key: Annotated[str, StringConstraints(max_length=MAX_KEY)] = ""


class Skip(Body):
    """Why this cannot be judged."""

    reason: Line
    note: Annotated[str, StringConstraints(max_length=MAX_NOTE)] = ""
    seconds: Seconds = 0.0


def _something(draft: Any) -> Any:
    if draft is None:
        raise ValueError("null is no draft; leave the last one as it is")
    return draft


class NewDraft(Body):
    """Whatever the page wants back after a reload."""

    draft: Annotated[Any, AfterValidator(_something)]


class TaskView(Shape):
    """A task and how it stands."""

    task: Task | None = None
    state: str | None = None
    answer: AnyPayload | None = None
    reason: str = ""
    now: datetime


class MyQueues(Shape):
    """The queues that have something to do with me."""

    queues: list[MyQueue]


class PastTasks(Shape):
    """What I did, newest first."""

    tasks: list[PastTask]


class Extended(Shape):
    """Until when a lock runs."""

    expires_at: datetime
    now: datetime


class Saved(Shape):
    """When a draft was kept."""

    saved_at: datetime


@router.get("/queues", response_model=MyQueues)
def queues(store: StoreOf, me: Labeler) -> Response:
    """My queues, in the order in which they are offered."""
    return reply(MyQueues(queues=my_queues(store, me.id)))


@router.post("/tasks/next", response_model=TaskView)
def take_next(store: StoreOf, me: Labeler, body: Next) -> Response:
    """My next task: the one that I hold, or a new one."""
    found = next_task(store, me.id, body.queue)
    return reply(TaskView(task=found, state=None if found is None else "locked", now=store.now()))


@router.get("/tasks", response_model=PastTasks)
def past(store: StoreOf, me: Labeler, limit: Limit = 50, before: Before = None) -> Response:
    """What I did."""
    return reply(PastTasks(tasks=past_tasks(store, me.id, limit=limit, before=before)))


@router.get("/tasks/{assignment}", response_model=TaskView)
def one(store: StoreOf, me: Labeler, assignment: AssignmentId) -> Response:
    """A task of mine, in whatever state."""
    return reply(_view(store, me.id, assignment))


@router.post("/tasks/{assignment}/submit", response_model=Receipt, responses=KEPT)
def hand_in(store: StoreOf, me: Labeler, assignment: AssignmentId, body: Answer) -> Response:
    """Hand in an answer. Safe to repeat with the same key."""
    with keeping(body):
        return reply(submit(store, me.id, assignment, body.payload, seconds=body.seconds, key=body.key))


@router.post("/tasks/{assignment}/correct", response_model=Receipt, responses=KEPT)
def correct_it(store: StoreOf, me: Labeler, assignment: AssignmentId, body: Answer) -> Response:
    """Judge anew what is done."""
    with keeping(body):
        return reply(correct(store, me.id, assignment, body.payload, seconds=body.seconds, key=body.key))


@router.post("/tasks/{assignment}/skip", status_code=204, responses=KEPT)
def skip_it(store: StoreOf, me: Labeler, assignment: AssignmentId, body: Skip) -> Response:
    """Never see this item again, and say why."""
    with keeping(body):
        skip(store, me.id, assignment, body.reason, seconds=body.seconds, note=body.note)
    return Response(status_code=204)


@router.post("/tasks/{assignment}/release", status_code=204)
def release_it(store: StoreOf, me: Labeler, assignment: AssignmentId) -> Response:
    """Give a task back; somebody else gets it."""
    release(store, me.id, assignment)
    return Response(status_code=204)


@router.post("/tasks/{assignment}/extend", response_model=Extended)
def extend_it(store: StoreOf, me: Labeler, assignment: AssignmentId) -> Response:
    """Go on working: the lock runs anew."""
    return reply(Extended(expires_at=extend(store, me.id, assignment), now=store.now()))


@router.put("/tasks/{assignment}/draft", response_model=Saved, responses=KEPT)
def draft(store: StoreOf, me: Labeler, assignment: AssignmentId, body: NewDraft) -> Response:
    """Keep what is typed so far."""
    with keeping(body):
        return reply(Saved(saved_at=save_draft(store, me.id, assignment, body.draft)))


def _view(store: Store, person_id: int, assignment: str) -> TaskView:
    found = task(store, person_id, assignment)
    state, reason = state_of(store, person_id, assignment)
    answer = answer_to(store, person_id, assignment) if state == "done" else None
    return TaskView(task=found, state=state, answer=answer, reason=reason, now=store.now())
