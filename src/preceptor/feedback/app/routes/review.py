"""What reviewers read: where labelers disagree, and what they wrote."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field, StringConstraints

from preceptor.feedback.app.access import Reviewer, StoreOf
from preceptor.feedback.app.parameters import LARGEST, NO_CONTROLS, Before, Body, Limit, Number, QueueName, Shape
from preceptor.feedback.app.replies import Route, reply
from preceptor.feedback.app.slowly import slowly
from preceptor.feedback.store.tables.judgements import JUDGEMENT_KINDS
from preceptor.feedback.tasks import Receipt, queues, withdraw
from preceptor.feedback.tasks.locks import MAX_NOTE
from preceptor.feedback.tasks.mine import excerpt
from preceptor.feedback.tasks.quality import disagreements
from preceptor.feedback.tasks.queueing import QueueInfo
from preceptor.feedback.tasks.review import ItemView, JudgementView, accept, item_view, judgement_views

router = APIRouter(prefix="/api/review", tags=["review"], route_class=Route)
Note = Annotated[str, StringConstraints(max_length=MAX_NOTE)]
OneQueue = Annotated[str, Query(max_length=200, pattern=NO_CONTROLS)]


class QueueRow(Shape):
    """A queue and how far it is."""

    name: str
    kind: str
    overlap: int
    lock_seconds: int
    honeypot_rate: float
    priority: int
    open: bool
    items: int
    complete: int
    slots: int
    done: int
    locked: int
    honeypots: int
    finished: bool


class QueueRows(Shape):
    """All queues."""

    queues: list[QueueRow]


class Differing(Shape):
    """An item on which labelers differ."""

    item: int
    prompt_id: str
    excerpt: str
    labelers: int
    agreement: float


class DifferingItems(Shape):
    """Items, most disagreement first."""

    items: list[Differing]


class Judgements(Shape):
    """Judgements, the newest first."""

    judgements: list[JudgementView]


class Accept(Body):
    """A word on it, if there is one to say."""

    note: Note = ""


class Return(Body):
    """Why it does not count. Its labeler reads it."""

    reason: Annotated[str, Field(min_length=1, max_length=MAX_NOTE)]


@router.get("/queues", response_model=QueueRows)
def all_queues(store: StoreOf, _: Reviewer) -> Response:
    """All queues, open or not."""
    return reply(QueueRows(queues=[queue_row(one) for one in queues(store)]))


@router.get("/disagreements", response_model=DifferingItems)
@slowly
def differing(store: StoreOf, _: Reviewer, queue: OneQueue, limit: Limit = 50) -> Response:
    """The items of a queue of rankings or comparisons on which labelers differ."""
    items = [
        Differing(
            item=one.item,
            prompt_id=one.prompt_id,
            excerpt=excerpt([message.model_dump() for message in one.messages[-1:]]),
            labelers=len(one.judgements),
            agreement=one.agreement,
        )
        for one in disagreements(store, queue, limit=limit)
    ]
    return reply(DifferingItems(items=items))


@router.get("/items/{item}", response_model=ItemView)
def one_item(store: StoreOf, _: Reviewer, item: Number) -> Response:
    """An item with all that was said of it."""
    return reply(item_view(store, item))


@router.get("/judgements", response_model=Judgements)
def newest(
    store: StoreOf,
    _: Reviewer,
    queue: QueueName = None,
    kind: Annotated[str | None, Query(pattern="^(" + "|".join(JUDGEMENT_KINDS) + ")$")] = None,
    person: Annotated[int | None, Query(ge=1, le=LARGEST)] = None,
    limit: Limit = 50,
    before: Before = None,
) -> Response:
    """Judgements, the newest first."""
    found = judgement_views(store, queue=queue, kind=kind, person_id=person, limit=limit, before=before)
    return reply(Judgements(judgements=found))


@router.post("/judgements/{judgement}/accept", status_code=204)
def accept_it(store: StoreOf, me: Reviewer, judgement: Number, body: Accept) -> Response:
    """Write down that a judgement was read and is right."""
    accept(store, me.id, judgement, body.note)
    return Response(status_code=204)


@router.post("/judgements/{judgement}/return", response_model=Receipt)
def return_it(store: StoreOf, me: Reviewer, judgement: Number, body: Return) -> Response:
    """Take a judgement out of the count; somebody else gets its slot."""
    return reply(withdraw(store, me.id, judgement, body.reason))


def queue_row(info: QueueInfo) -> QueueRow:
    """A queue as the API shows it."""
    return QueueRow.model_validate(info)
