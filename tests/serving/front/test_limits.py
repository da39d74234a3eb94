"""Limits of a key: what a refusal says about waiting is true, to the second."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from preceptor.serving.front.keys import Key
from preceptor.serving.front.limits import Limits
from preceptor.serving.front.record import Record
from preceptor.serving.refusals import RefusalError


class Clock:
    """A clock that the test winds."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def key(**limits: int) -> Key:
    return Key(name="ann", sha256="0" * 64, created=datetime(2026, 1, 1, tzinfo=UTC), **limits)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ask(clock: Clock) -> Callable[..., RefusalError | None]:
    """ask(key, tokens): a request that costs so much; the refusal, if there is one."""
    limits = Limits(clock)

    def asked(who: Key | None, tokens: int = 0) -> RefusalError | None:
        record = Record()
        record.says(tokens, 0)
        try:
            with limits.within(who, record):
                return None
        except RefusalError as refusal:
            return refusal

    return asked


@pytest.mark.parametrize(("limits", "tokens"), [({"requests_per_minute": 7}, 0), ({"tokens_per_minute": 90}, 20)])
def test_who_waits_as_long_as_told_gets_in_and_not_before(
    ask: Callable[..., Any], clock: Clock, limits: dict[str, int], tokens: int
) -> None:
    who, taken = key(**limits), 0
    while (refusal := ask(who, tokens)) is None:
        taken += 1
    assert taken == (7 if not tokens else 5)  # the fifth begins with ten tokens left, and goes into debt
    (name,) = limits
    assert (refusal.status, refusal.body["error"]["code"]) == (429, name)
    wait = int(refusal.headers["Retry-After"])
    clock.now += wait - 1
    assert ask(who, tokens) is not None
    clock.now += 1
    assert ask(who, tokens) is None


def test_a_long_rest_saves_up_a_minute_and_no_more(ask: Callable[..., Any], clock: Clock) -> None:
    who = key(requests_per_minute=3)
    assert ask(who) is None
    clock.now += 3600
    assert [ask(who) is None for _ in range(4)] == [True, True, True, False]


def test_requests_at_once_are_counted_until_they_end() -> None:
    limits, who = Limits(), key(at_once=1)
    with limits.within(who, Record()):
        with pytest.raises(RefusalError) as refused, limits.within(who, Record()):
            pass
        assert refused.value.body["error"]["code"] == "at_once" and "Retry-After" not in refused.value.headers
    with limits.within(who, Record()):
        pass


def test_a_line_that_was_changed_counts_at_once(ask: Callable[..., Any]) -> None:
    assert ask(key(requests_per_minute=1)) is None
    assert ask(key(requests_per_minute=1)) is not None
    assert ask(key(requests_per_minute=2)) is None
    assert all(ask(None) is None for _ in range(50))
