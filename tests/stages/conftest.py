"""A look at the gradients of a stage's first optimizer steps; PPO on the toy world, and a learner of it alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from preceptor.stages import ppo as module
from preceptor.stages.ppo import ppo
from preceptor.stages.ppo_config import PPOConfig
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.optimizer import Optimizer
from preceptor.training.rollout import Rollout, collect
from tests.stages.ppo_bench import Bench

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


@pytest.fixture
def run_ppo(toy: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """run_ppo(out, **keys of the table): two iterations on the toy world, into tmp_path / out."""

    def call(out: str = "out", inputs: Any = None, progress: Any = None, **keys: Any) -> dict[str, Any]:
        config = PPOConfig(**toy.tables["ppo"] | {"episodes": 64, "snapshots": 1, "snapshot_prompts": 8} | keys)
        paths = toy.ppo_inputs | (inputs or {})
        return ppo(config, **paths, out=tmp_path / out, seed=0, progress=progress or toy.progress)

    return call


@pytest.fixture
def rollouts(monkeypatch: pytest.MonkeyPatch) -> list[Rollout]:
    """What a run plays, one an iteration."""
    played: list[Rollout] = []

    def spy(*args: Any, **keys: Any) -> Rollout:
        played.append(collect(*args, **keys))
        return played[-1]

    monkeypatch.setattr(module, "collect", spy)
    return played


@pytest.fixture
def bench(tiny_model: Callable, tiny_scalar: Callable, tiny_tokenizer: Tokenizer) -> Bench:
    return Bench(tiny_model, tiny_scalar, tiny_tokenizer)
