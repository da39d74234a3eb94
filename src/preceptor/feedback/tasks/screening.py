"""The screening of labelers: what honeypots show, what was entered, and who passes."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select

from preceptor.feedback.screening import CRITERIA, CUTOFFS, Score, flag_agreement, ranking_agreement
from preceptor.feedback.store import Store
from preceptor.feedback.store.audited import audit
from preceptor.feedback.store.current import is_current
from preceptor.feedback.store.errors import InvalidError
from preceptor.feedback.store.people import person
from preceptor.feedback.store.tables import Item, Judgement, Ranked, Rated, Screening
from preceptor.feedback.store.words import checked_text


def screening(store: Store, person_id: int) -> dict[str, Score]:
    """A labeler's scores by criterion (`feedback.screening`): the last entered, else what her honeypots show."""
    found = _from_honeypots(store, person_id)
    query = (
        select(Screening.criterion, Screening.value, Screening.cutoff)
        .where(Screening.person_id == person_id)
        .order_by(Screening.id)
    )
    with store.reading() as connection:
        found.update({row.criterion: Score(row.value, row.cutoff) for row in connection.execute(query)})
    return {name: found[name] for name in CRITERIA if name in found}


def passes(scores: dict[str, Score]) -> bool | None:
    """Whether every criterion reaches its cut-off; None as long as one is missing and none has failed."""
    if any(not score.passed for score in scores.values()):
        return False
    return True if set(scores) == set(CRITERIA) else None


def record_screening(
    store: Store, person_id: int, criterion: str, value: float, *, by: int | None = None, groups: Sequence[str] = ()
) -> None:
    """Enter a result, for good; a later one counts in its place.

    ``flags`` and ``rankings`` are shares from 0 to 1, ``demonstrations`` a mean from 1 to 7, and ``groups`` the
    number of groups named, which may be listed.
    """
    lowest, highest = {"demonstrations": (1.0, 7.0), "groups": (0.0, 1000.0)}.get(criterion, (0.0, 1.0))
    if criterion not in CRITERIA:
        raise InvalidError(f"criterion {criterion[:50]!r}: use one of {', '.join(CRITERIA)}")
    if not lowest <= value <= highest:
        raise InvalidError(f"{criterion}: {value} is not between {lowest:g} and {highest:g}")
    detail = {"groups": [checked_text(group, "group", 200) for group in groups]}
    person(store, person_id)
    with store.writing() as connection:
        now = store.now()
        row = {
            "person_id": person_id,
            "criterion": criterion,
            "value": value,
            "cutoff": CUTOFFS[criterion],
            "detail": detail,
            "recorded_by": by,
            "at": now,
        }
        connection.execute(insert(Screening).values(row))
        audit(connection, now, by, "screening", person=person_id, criterion=criterion, value=value)


def _from_honeypots(store: Store, person_id: int) -> dict[str, Score]:
    query = (
        select(Judgement.id, Item.known)
        .join(Item, Item.id == Judgement.item_id)
        .where(Judgement.person_id == person_id, Item.honeypot, is_current(), Judgement.kind != "skip")
    )
    with store.reading() as connection:
        known: dict[int, Any] = {row.id: row.known for row in connection.execute(query)}
        ranks: dict[int, list[int]] = {}
        ranked = (
            select(Ranked.judgement_id, Ranked.rank)
            .where(Ranked.judgement_id.in_(known))
            .order_by(Ranked.judgement_id, Ranked.ordinal)
        )
        for number, rank in connection.execute(ranked):
            ranks.setdefault(number, []).append(rank)
        given, true = [], []
        rated = select(Rated.judgement_id, Rated.ordinal, Rated.flags).where(Rated.judgement_id.in_(known))
        for number, ordinal, flags in connection.execute(rated):
            if known[number]["flags"] is not None:
                given.append(set(flags))
                true.append(set(known[number]["flags"][ordinal]))
    scores = {
        "flags": flag_agreement(given, true),
        "rankings": ranking_agreement([(ranks[number], known[number]["ranks"]) for number in ranks]),
    }
    return {name: score for name, score in scores.items() if score is not None}
