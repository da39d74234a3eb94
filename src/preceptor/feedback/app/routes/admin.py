"""What admins do: people, invitations, queues, published texts, the audit."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from preceptor.feedback.app.access import Admin, StoreOf
from preceptor.feedback.app.errors import ProblemError
from preceptor.feedback.app.first import LANGUAGES
from preceptor.feedback.app.parameters import Before, Body, Language, Limit, Line, Number, Shape
from preceptor.feedback.app.replies import Route, reply
from preceptor.feedback.app.routes.reading import ReadText, read_text
from preceptor.feedback.app.routes.review import QueueRow, queue_row
from preceptor.feedback.store.audited import AuditEvent, audit_events, record
from preceptor.feedback.store.invitations import InvitationInfo, invitations, invite, revoke_invitation
from preceptor.feedback.store.people import PersonInfo, people, person, set_kind, set_role, set_status
from preceptor.feedback.store.published import NAMES, publish, published
from preceptor.feedback.store.tables.people import Role
from preceptor.feedback.store.tables.queues import TaskKind
from preceptor.feedback.tasks import PromptWish, add_wishes, change_queue, create_queue, queue
from preceptor.feedback.tasks.items import Added

router = APIRouter(prefix="/api/admin", tags=["admin"], route_class=Route)
Priority = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
MAX_COPIES = 10_000


class People(Shape):
    """Everybody."""

    people: list[PersonInfo]


class ChangePerson(Body):
    """What is to change; the rest stays."""

    role: Role | None = None
    status: Literal["active", "suspended"] | None = None
    kind: Literal["person", "simulated", "model"] | None = None


class NewInvitation(Body):
    """For whom an invitation is."""

    role: Role = "labeler"
    note: Annotated[str, Field(max_length=1000)] = ""
    days: Annotated[float, Field(gt=0, le=365)] = 14.0


class Invitation(Shape):
    """An invitation's link. It is shown this once; the store keeps a hash."""

    token: str
    path: str
    role: str
    expires_at: datetime


class Invitations(Shape):
    """All invitations, the newest first."""

    invitations: list[InvitationInfo]


class NewQueue(Body):
    """A queue to be made."""

    name: Annotated[Line, Field(min_length=1)]
    kind: TaskKind
    overlap: Annotated[int, Field(ge=1, le=1000)] = 1
    lock_seconds: Annotated[int, Field(ge=1, le=7 * 86400)] | None = None
    honeypot_rate: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    priority: Priority = 0


class ChangeQueue(Body):
    """What is to change of a queue; the rest stays."""

    name: Line
    priority: Priority | None = None
    open: bool | None = None


class NewWishes(Body):
    """Prompts that labelers are to write."""

    queue: Line
    wish: PromptWish
    copies: Annotated[int, Field(ge=1, le=MAX_COPIES)] = 1
    priority: Priority = 0


class NewText(Body):
    """A new version of a text, by language; English must be there."""

    name: Literal["terms", "chat"] | TaskKind
    texts: Annotated[dict[Language, str], Field(max_length=50)]


class Version(Shape):
    """The version that a text has now."""

    name: str
    version: int


class PublishedTexts(Shape):
    """The latest of every text."""

    texts: list[ReadText]


class Events(Shape):
    """The audit, the newest first."""

    events: list[AuditEvent]


@router.get("/people", response_model=People)
def everybody(store: StoreOf, _: Admin) -> Response:
    """Everybody, those out of files too."""
    return reply(People(people=people(store)))


@router.patch("/people/{number}", response_model=PersonInfo)
def change_person(store: StoreOf, me: Admin, number: Number, body: ChangePerson) -> Response:
    """Change a role, suspend somebody or let her in again, or say that she is a program."""
    if number == me.id:
        raise ProblemError(403, "ask another admin to change your own account")
    if body.role is not None:
        set_role(store, number, body.role, by=me.id)
    if body.kind is not None:
        set_kind(store, number, body.kind, by=me.id)
    if body.status is not None:
        set_status(store, number, body.status, by=me.id)
    return reply(person(store, number))


@router.get("/invitations", response_model=Invitations)
def all_invitations(store: StoreOf, _: Admin) -> Response:
    """All invitations; not their tokens."""
    return reply(Invitations(invitations=invitations(store)))


@router.post("/invitations", response_model=Invitation)
def new_invitation(store: StoreOf, me: Admin, body: NewInvitation) -> Response:
    """A link by which one person can come in, once."""
    until = store.now() + timedelta(days=body.days)
    token = invite(store, role=body.role, note=body.note, days=body.days, by=me.id)
    return reply(Invitation(token=token, path=f"/join#{token}", role=body.role, expires_at=until))


@router.delete("/invitations/{number}", status_code=204)
def revoke(store: StoreOf, me: Admin, number: Number) -> Response:
    """Take an invitation back."""
    revoke_invitation(store, number, by=me.id)
    return Response(status_code=204)


@router.post("/queues", response_model=QueueRow, status_code=201)
def new_queue(store: StoreOf, me: Admin, body: NewQueue) -> Response:
    """Make a queue."""
    create_queue(
        store,
        body.name,
        body.kind,
        overlap=body.overlap,
        lock_seconds=body.lock_seconds,
        honeypot_rate=body.honeypot_rate,
        priority=body.priority,
    )
    record(store, me.id, "create queue", queue=body.name)
    return reply(queue_row(queue(store, body.name)), 201)


@router.patch("/queues", response_model=QueueRow)
def change_one_queue(store: StoreOf, me: Admin, body: ChangeQueue) -> Response:
    """Offer a queue sooner or later, close it or open it."""
    change_queue(store, body.name, priority=body.priority, open=body.open)
    record(store, me.id, "change queue", queue=body.name, priority=body.priority, open=body.open)
    return reply(queue_row(queue(store, body.name)))


@router.post("/wishes", response_model=Added)
def wishes(store: StoreOf, me: Admin, body: NewWishes) -> Response:
    """Ask for prompts to be written."""
    added = add_wishes(store, body.queue, [body.wish], copies=body.copies, priority=body.priority)
    record(store, me.id, "add wishes", queue=body.queue, copies=body.copies)
    return reply(added)


@router.get("/texts", response_model=PublishedTexts)
def texts(store: StoreOf, _: Admin) -> Response:
    """The latest version of what is agreed to and of each guideline, in every language of the pages."""
    found = [published(store, name, language=language) for name in NAMES for language in LANGUAGES]
    shown = {(one.name, one.language): read_text(one, one.name) for one in found if one is not None}
    return reply(PublishedTexts(texts=list(shown.values())))


@router.post("/texts", response_model=Version)
def new_text(store: StoreOf, me: Admin, body: NewText) -> Response:
    """Publish a new version. Of the terms, and of what the chat page asks: everybody is asked again."""
    version = publish(store, body.name, dict(body.texts), by=me.id)
    record(store, me.id, "publish", name=body.name, version=version)
    return reply(Version(name=body.name, version=version))


@router.get("/audit", response_model=Events)
def audit(store: StoreOf, _: Admin, limit: Limit = 100, before: Before = None) -> Response:
    """Who did what."""
    return reply(Events(events=audit_events(store, limit=limit, before=before)))
