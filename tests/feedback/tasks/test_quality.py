"""What reviewers see, on a small team whose habits are known."""

from collections.abc import Callable

import pytest

from preceptor.feedback.schema import Sample
from preceptor.feedback.screening import Score
from preceptor.feedback.store import Store
from preceptor.feedback.store.errors import InvalidError, NotFoundError
from preceptor.feedback.tasks import (
    OutputRating,
    RankingPayload,
    add_samples,
    create_queue,
    next_task,
    submit,
)
from preceptor.feedback.tasks.quality import agreement_of, disagreements, habits, throughput
from preceptor.feedback.tasks.screening import passes, record_screening, screening

from ..conftest import Clock

ITEMS = 12


@pytest.fixture
def team(store: Store, labelers: list[int], sample: Callable[..., Sample], clock: Clock) -> Store:
    """Ann and Ben rank by quality, Cat by what she sees first, Dan the other way round on the first item only."""
    create_queue(store, "q", "ranking", overlap=4)
    texts = [["good " * (1 + i % 3), "poor " * 2, "bad bad"] for i in range(ITEMS)]
    add_samples(store, "q", [sample(f"p{i}", *one[i % 3 :], *one[: i % 3]) for i, one in enumerate(texts)])
    for number, person in enumerate(labelers):
        turn = 0
        while (mine := next_task(store, person, "q")) is not None:
            order = sorted(mine.outputs, key=lambda text: ["good", "poor", "bad"].index(text.split()[0]))
            if number == 2:
                order = list(mine.outputs)
            if number == 3 and turn == 0:
                order.reverse()
            ranks = [1 + order.index(text) for text in mine.outputs]
            ratings = [OutputRating(overall=8 - 2 * rank) for rank in ranks]
            clock.move(10)
            submit(store, person, mine.assignment, RankingPayload(ranks=ranks, ratings=ratings), seconds=4 + turn % 3)
            turn += 1
    return store


def test_agreement_overall_by_labeler_and_by_use_case(team: Store) -> None:
    report = agreement_of(team, queue="q")
    assert report.overall.pairs == ITEMS * 6 * 3
    assert report.overall.prompts == ITEMS
    assert report.overall.share is not None and report.overall.low is not None and report.overall.high is not None
    assert report.overall.low <= report.overall.share <= report.overall.high
    assert set(report.by_labeler) == {"ann", "ben", "cat", "dan"}
    shares = {name: found.share or 0.0 for name, found in report.by_labeler.items()}
    assert shares["ann"] == shares["ben"] >= shares["dan"] > shares["cat"]
    assert set(report.by_use_case) == {"other"}
    assert report.by_use_case["other"] == report.overall
    for coefficient in (report.pair_kappa, report.pair_alpha, report.rank_alpha, report.rating_alpha):
        assert coefficient.value is not None and coefficient.low is not None and coefficient.high is not None
        assert 0 < coefficient.low < coefficient.value < coefficient.high < 1
    assert (report.rank_alpha.units, report.pair_alpha.units) == (3 * ITEMS, 3 * ITEMS)
    assert agreement_of(team) == report


def test_habits_tell_the_one_who_does_not_read(team: Store) -> None:
    found = habits(team, queue="q")
    assert found["cat"].first_shown.share == 1.0
    assert found["cat"].first_shown.chance == pytest.approx(1 / 3)
    assert (found["ann"].first_shown.share or 0) < 1.0
    assert found["ann"].longest.n == ITEMS


def test_the_worst_disagreement_comes_first_with_everything_side_by_side(team: Store) -> None:
    rows = disagreements(team, "q")
    assert len(rows) == ITEMS
    assert [one.agreement for one in rows] == sorted(one.agreement for one in rows)
    first = next(one for one in rows if one.prompt_id == "p0")
    assert [judged.ranking.labeler for judged in first.judgements] == ["ann", "ben", "cat", "dan"]
    assert [one.text.split()[0] for one in first.responses] == ["good", "poor", "bad"]
    assert first.judgements[0].ranking.ranks == [1, 2, 3]
    assert first.judgements[3].ranking.ranks == [3, 2, 1]
    last = rows[-1]
    quality = ["good", "poor", "bad"]
    assert last.consensus.ranks == [1 + quality.index(one.text.split()[0]) for one in last.responses]
    assert len(disagreements(team, "q", limit=2)) == 2
    with pytest.raises(NotFoundError):
        disagreements(team, "none")


def test_throughput(team: Store, clock: Clock) -> None:
    rows = throughput(team)
    assert [(row.name, row.done, row.seconds_median) for row in rows] == [
        (name, ITEMS, 5.0) for name in ("ann", "ben", "cat", "dan")
    ]
    clock.move(86400 - 55)  # Dan was the last, one item every ten seconds: six of his are of the day that ends now
    assert [(row.name, row.done) for row in throughput(team, days=1)] == [("dan", 6)]
    clock.move(86400)
    assert throughput(team, days=1) == []


def test_screening_is_what_was_entered_last(store: Store, labelers: list[int]) -> None:
    ann = labelers[0]
    assert screening(store, ann) == {}
    assert passes({}) is None
    record_screening(store, ann, "rankings", 0.7)
    assert passes(screening(store, ann)) is False
    record_screening(store, ann, "rankings", 0.8)
    record_screening(store, ann, "flags", 0.75)
    record_screening(store, ann, "demonstrations", 6.2)
    assert passes(screening(store, ann)) is None
    record_screening(store, ann, "groups", 2, groups=["older people", "migrants"])
    assert screening(store, ann)["rankings"] == Score(0.8, 0.75)
    assert passes(screening(store, ann)) is True
    for criterion, value in (("beauty", 1.0), ("flags", 1.2), ("demonstrations", 0.0), ("flags", float("nan"))):
        with pytest.raises(InvalidError):
            record_screening(store, ann, criterion, value)
    with pytest.raises(NotFoundError):
        record_screening(store, 99, "flags", 1.0)
