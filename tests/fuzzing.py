"""Requests that schemathesis makes up from a description of an API, a few of every route at a time."""

import json
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode


def fuzz(operations: Sequence[Any], send: Callable[[Any], None], *, seconds: float, examples: int) -> None:
    """Have ``send`` try what the description of each operation allows, and what it does not, for so long in all.

    Every operation gets ``examples`` of them at least, and more in turn, so that the time is shared.
    """
    cases = [st.one_of(*(one.as_strategy(generation_mode=mode) for mode in GenerationMode)) for one in operations]
    until = time.monotonic() + seconds
    for turn in count():
        for case in cases:
            if turn == 0 or time.monotonic() < until:
                _some(case, send, turn, examples)
        if time.monotonic() >= until:
            break


def _some(cases: st.SearchStrategy[Any], send: Callable[[Any], None], turn: int, examples: int) -> None:
    @seed(turn)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def each(case: Any) -> None:
        send(case)

    each()


def check(case: Any, answer: Any) -> None:
    """Nothing has broken, and an error is one line."""
    assert answer.status_code < 500, f"{case.method} {case.path}: {answer.status_code} {answer.text}"
    if answer.status_code >= 400:
        assert "\n" not in json.loads(answer.content)["error"]["message"]
