"""Which judgements count now: a pure function of the events, and the same as a condition for the database."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import aliased

from preceptor.feedback.store.tables import Judgement


@dataclass(frozen=True)
class Event:
    """What decides whether a judgement counts."""

    id: int
    kind: str
    supersedes: int | None = None


def current(events: Iterable[Event]) -> list[Event]:
    """The events that no other has superseded, oldest first. A withdrawal supersedes, and says nothing itself."""
    rows = sorted(events, key=lambda event: event.id)
    superseded = {event.supersedes for event in rows}
    return [event for event in rows if event.id not in superseded and event.kind != "withdrawal"]


def is_current() -> ColumnElement[bool]:
    """The condition on `judgements` under which an event is one of :func:`current`."""
    later = aliased(Judgement)
    superseded = select(later.id).where(later.supersedes == Judgement.id).correlate(Judgement).exists()
    return ~superseded & (Judgement.kind != "withdrawal")
