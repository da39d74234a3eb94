"""What tests of tasks do over and over: get one, rank all there is, put prompts in."""

from collections.abc import Callable
from typing import Any

from preceptor.feedback.schema import Prompt, Sample
from preceptor.feedback.store import Store
from preceptor.feedback.store.prompts import add_prompt_rows
from preceptor.feedback.tasks import (
    OutputRating,
    RankingPayload,
    Task,
    next_task,
    submit,
)

Make = Callable[..., Sample]


def ranked(*ranks: int, **more: Any) -> RankingPayload:
    return RankingPayload(ranks=list(ranks), ratings=[OutputRating(overall=8 - rank) for rank in ranks], **more)


def got(store: Store, person: int, name: str = "q") -> Task:
    found = next_task(store, person, name)
    assert found is not None
    return found


def done(store: Store, person: int, name: str = "q") -> list[str]:
    """Rank everything there is for a person; the prompts, in order."""
    seen = []
    while (found := next_task(store, person, name)) is not None:
        seen.append(found.messages[0].content.removeprefix("What is ").removesuffix("?"))
        submit(store, person, found.assignment, ranked(*range(1, len(found.outputs) + 1)), seconds=1)
    return seen


def add(store: Store, prompts: list[Prompt]) -> None:
    with store.writing() as connection:
        add_prompt_rows(connection, store.now(), prompts, where="test")
