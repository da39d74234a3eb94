"""What admins measure: agreement, habits, honeypots, throughput, screening."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from preceptor.feedback.agreement_report import AgreementReport
from preceptor.feedback.app.access import Admin, StoreOf
from preceptor.feedback.app.parameters import LARGEST, Body, Line, QueueName, Shape
from preceptor.feedback.app.replies import Route, reply
from preceptor.feedback.app.routes.review import OneQueue
from preceptor.feedback.app.slowly import slowly
from preceptor.feedback.bias import Bias
from preceptor.feedback.screening import Criterion, Score
from preceptor.feedback.store.people import people
from preceptor.feedback.tasks import queue as overview
from preceptor.feedback.tasks.quality import agreement_of, habits, honeypots, throughput, win_rates
from preceptor.feedback.tasks.screening import passes, record_screening, screening

router = APIRouter(prefix="/api/admin", tags=["figures"], route_class=Route)


class LabelerHabits(Shape):
    """How often a labeler ranks best what came first, and what is longest."""

    labeler: str
    first_shown: Bias
    longest: Bias


class Habits(Shape):
    """The habits of all labelers."""

    labelers: list[LabelerHabits]


class ScoreRow(Shape):
    """A criterion: what was reached, of what is wanted."""

    value: float
    cutoff: float
    n: int | None
    passed: bool


class LabelerScore(ScoreRow):
    """What a labeler reached."""

    labeler: str


class LabelerScores(Shape):
    """What all labelers reached."""

    labelers: list[LabelerScore]


class ThroughputRow(Shape):
    """What a labeler got done of one kind."""

    labeler: str
    kind: str
    done: int
    seconds_median: float | None
    last: datetime | None


class Throughputs(Shape):
    """What all labelers got done."""

    labelers: list[ThroughputRow]


class WinRate(Shape):
    """How often one model was preferred over another, ties as half."""

    model: str
    other: str
    share: float
    n: int


class WinRates(Shape):
    """All pairs of models."""

    pairs: list[WinRate]


class Screened(Shape):
    """The screening of one labeler. ``passes`` is null as long as it is not decided."""

    person: int
    labeler: str
    passes: bool | None
    scores: dict[str, ScoreRow]


class Screenings(Shape):
    """The screening of all labelers."""

    labelers: list[Screened]


class NewScreening(Body):
    """A result to enter."""

    person: Annotated[int, Field(ge=1, le=LARGEST)]
    criterion: Criterion
    value: Annotated[float, Field(ge=0, le=1000)]
    groups: list[Line] = Field(default=[], max_length=1000)


@router.get("/agreement", response_model=AgreementReport)
@slowly
def agreement(store: StoreOf, _: Admin, queue: QueueName = None) -> Response:
    """How far labelers agree: overall, each with the others, by use case."""
    _known(store, queue)
    return reply(agreement_of(store, queue=queue))


@router.get("/bias", response_model=Habits)
@slowly
def bias(store: StoreOf, _: Admin, queue: QueueName = None) -> Response:
    """Whether labelers prefer what is shown first, or what is longest."""
    _known(store, queue)
    rows = [
        LabelerHabits(labeler=name, first_shown=one.first_shown, longest=one.longest)
        for name, one in habits(store, queue=queue).items()
    ]
    return reply(Habits(labelers=rows))


@router.get("/honeypots", response_model=LabelerScores)
@slowly
def known_answers(store: StoreOf, _: Admin, queue: QueueName = None) -> Response:
    """How labelers did on the items whose answers are known."""
    _known(store, queue)
    rows = [
        LabelerScore(labeler=name, value=one.value, cutoff=one.cutoff, n=one.n, passed=one.passed)
        for name, one in honeypots(store, queue=queue).items()
    ]
    return reply(LabelerScores(labelers=rows))


@router.get("/throughput", response_model=Throughputs)
@slowly
def done(store: StoreOf, _: Admin, days: Annotated[float | None, Query(gt=0, le=36_500)] = None) -> Response:
    """What labelers got done, in all or in the last days."""
    rows = [
        ThroughputRow(labeler=one.name, kind=one.kind, done=one.done, seconds_median=one.seconds_median, last=one.last)
        for one in throughput(store, days=days)
    ]
    return reply(Throughputs(labelers=rows))


@router.get("/win-rates", response_model=WinRates)
@slowly
def preferred(store: StoreOf, _: Admin, queue: OneQueue) -> Response:
    """Blind comparisons: which model was preferred how often."""
    _known(store, queue)
    rows = [
        WinRate(model=model, other=other, share=share, n=n)
        for (model, other), (share, n) in win_rates(store, queue).items()
    ]
    return reply(WinRates(pairs=rows))


@router.get("/screening", response_model=Screenings)
@slowly
def screened(store: StoreOf, _: Admin) -> Response:
    """The four criteria of the paper for every labeler."""
    rows = []
    for who in people(store):
        if who.role == "labeler" and who.status == "active" and who.kind != "imported":
            scores = screening(store, who.id)
            shown = {name: _row(score) for name, score in scores.items()}
            rows.append(Screened(person=who.id, labeler=who.name, passes=passes(scores), scores=shown))
    return reply(Screenings(labelers=rows))


@router.post("/screening", status_code=204)
def enter_screening(store: StoreOf, me: Admin, body: NewScreening) -> Response:
    """Enter a result; a later one counts in its place."""
    record_screening(store, body.person, body.criterion, body.value, by=me.id, groups=body.groups)
    return Response(status_code=204)


def _row(score: Score) -> ScoreRow:
    return ScoreRow(value=score.value, cutoff=score.cutoff, n=score.n, passed=score.passed)


def _known(store: StoreOf, queue: str | None) -> None:
    """404 for a queue that is not there, instead of figures over nothing."""
    if queue is not None:
        overview(store, queue)
