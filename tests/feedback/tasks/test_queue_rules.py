"""Queues under any order of events: whatever labelers and the clock do, the rules hold."""

import tempfile
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import func, select

from preceptor.feedback.schema import Response, Sample
from preceptor.feedback.store import open_store
from preceptor.feedback.store.current import Event, current, is_current
from preceptor.feedback.store.errors import StaleError
from preceptor.feedback.store.people import create_person
from preceptor.feedback.store.tables import Assignment, Item, Judgement
from preceptor.feedback.tasks import (
    OutputRating,
    RankingPayload,
    add_samples,
    correct,
    create_queue,
    extend,
    next_task,
    queue,
    release,
    skip,
    submit,
    withdraw,
)

from ..conftest import Clock, ask

LABELERS, ITEMS, OVERLAP, SECONDS = 4, 3, 2, 60
WHO = st.integers(0, LABELERS - 1)
RANKS = st.sampled_from([[1, 2], [2, 1], [1, 1]])


class Labeling(RuleBasedStateMachine):
    """Four labelers, three items, two for each item."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.store = open_store(Path(self.directory.name) / "store.db")
        self.store.now = self.clock
        self.store.seed = 1  # of the orders shown, or what failed once would not again
        self.people = [create_person(self.store, f"labeler {number}").id for number in range(LABELERS)]
        self.reviewer = create_person(self.store, "rita", role="reviewer").id
        create_queue(self.store, "q", "ranking", overlap=OVERLAP, lock_seconds=SECONDS)
        responses = [Response(text=text, model=text) for text in "ab"]
        add_samples(
            self.store,
            "q",
            [Sample(prompt_id=f"p{i}", messages=ask(f"p{i}"), responses=responses) for i in range(ITEMS)],
        )
        self.had: dict[str, int] = {}  # assignments and whose they are
        self.prompts: dict[str, str] = {}  # assignments and what they ask
        self.settled: dict[int, set[str]] = {who: set() for who in range(LABELERS)}  # prompts not to be shown again
        self.acknowledged: set[int] = set()

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    @rule(who=WHO)
    def ask_for_work(self, who: int) -> None:
        """She gets what she has not settled, or nothing for a reason."""
        mine = next_task(self.store, self.people[who], "q")
        if mine is not None:
            assert mine.messages[0].content not in self.settled[who]
            self.had[mine.assignment] = who
            self.prompts[mine.assignment] = mine.messages[0].content
            return
        with self.store.reading() as connection:
            left = set(connection.execute(select(Item.prompt_id).where(Item.taken < Item.overlap)).scalars())
        assert {f"What is {prompt}?" for prompt in left} <= self.settled[who]

    @rule(pick=st.randoms(use_true_random=False), ranks=RANKS, key=st.sampled_from("xy"))
    def hand_in(self, pick: Random, ranks: list[int], key: str) -> None:
        """An answer is kept, acknowledged again, or refused; never lost."""
        if not self.had:
            return
        name = pick.choice(list(self.had))  # by when it came: names are drawn
        payload = RankingPayload(ranks=ranks, ratings=[OutputRating(overall=4)] * 2)
        try:
            receipt = submit(self.store, self.people[self.had[name]], name, payload, seconds=1, key=key)
        except StaleError:
            return
        self.acknowledged.add(receipt.judgement)
        self.settled[self.had[name]].add(self.prompts[name])

    @rule(pick=st.randoms(use_true_random=False), ranks=RANKS, key=st.sampled_from("xy"))
    def think_again(self, pick: Random, ranks: list[int], key: str) -> None:
        if not self.had:
            return
        name = pick.choice(list(self.had))
        payload = RankingPayload(ranks=ranks, ratings=[OutputRating(overall=3)] * 2)
        try:
            receipt = correct(self.store, self.people[self.had[name]], name, payload, seconds=1, key=key)
        except StaleError:
            return
        self.acknowledged.add(receipt.judgement)

    @rule(pick=st.randoms(use_true_random=False), how=st.sampled_from(["skip", "release", "extend"]))
    def leave(self, pick: Random, how: str) -> None:
        if not self.had:
            return
        name = pick.choice(list(self.had))
        who = self.had[name]
        try:
            if how == "skip":
                skip(self.store, self.people[who], name, "unclear")
                self.settled[who].add(self.prompts[name])
            elif how == "release":
                release(self.store, self.people[who], name)
            else:
                extend(self.store, self.people[who], name)
        except StaleError:
            return

    @rule(pick=st.randoms(use_true_random=False))
    def take_out(self, pick: Random) -> None:
        with self.store.reading() as connection:
            query = select(Judgement.id).where(is_current(), Judgement.kind == "ranking")
            numbers = list(connection.execute(query).scalars())
        if numbers:
            withdraw(self.store, self.reviewer, pick.choice(numbers), "no")

    @rule(seconds=st.integers(1, 2 * SECONDS))
    def wait(self, seconds: int) -> None:
        self.clock.move(seconds)

    @invariant()
    def slots_are_counted_right(self) -> None:
        """What an item says of itself is what its assignments say, and never above the overlap."""
        with self.store.reading() as connection:
            for item, taken, done in connection.execute(select(Item.id, Item.taken, Item.done)).all():
                states = connection.execute(select(Assignment.state).where(Assignment.item_id == item)).scalars().all()
                assert taken == sum(state in ("locked", "done") for state in states) <= OVERLAP
                assert done == states.count("done")
            live = select(Assignment.person_id).where(Assignment.state == "locked")
            holders = connection.execute(live).scalars().all()
        assert len(holders) == len(set(holders))

    @invariant()
    def nothing_acknowledged_is_lost_and_what_counts_is_done(self) -> None:
        with self.store.reading() as connection:
            rows = connection.execute(select(Judgement.id, Judgement.kind, Judgement.supersedes)).all()
            counted = set(connection.execute(select(Judgement.id).where(is_current())).scalars())
            done = connection.execute(select(func.sum(Item.done))).scalar()
        events = [Event(*row) for row in rows]
        assert {event.id for event in events} >= self.acknowledged
        assert {event.id for event in current(events)} == counted
        assert sum(event.kind == "ranking" for event in current(events)) == done == queue(self.store, "q").done


Labeling.TestCase.settings = settings(  # a busy machine is no failure
    max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLabeling = Labeling.TestCase
