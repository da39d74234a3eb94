"""A look at the gradients of a stage's first optimizer steps."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from preceptor.training.optimizer import Optimizer

Gradients = dict[str, Tensor]


class _EnoughError(Exception):
    """Enough has been seen."""


@pytest.fixture
def first_gradients(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Gradients]]:
    """first_gradients(call, steps=1): run ``call()`` until its optimizers have been asked for so many steps.

    Gives each step's gradients by parameter; nothing moves, and the call is broken off at the last of them.
    Set a large clip_norm, or you see clipped ones.
    """

    def look(call: Callable[[], Any], steps: int = 1) -> list[Gradients]:
        seen: list[Gradients] = []

        def step(self: Optimizer, scale: float) -> None:
            named = {**self.muon, **self.rest}
            seen.append({name: p.grad.clone() for name, p in named.items() if p.grad is not None})
            if len(seen) == steps:
                raise _EnoughError

        with monkeypatch.context() as patch:
            patch.setattr(Optimizer, "step", step)
            with pytest.raises(_EnoughError):
                call()
        return seen

    return look
