"""PPO with several responses to a prompt: drawn, measured against each other and learnt from together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from preceptor.stages import ppo as module
from preceptor.stages.ppo import ppo
from preceptor.stages.ppo_config import PPOConfig
from preceptor.training.rollout import Rollout, collect
from preceptor.training.shared_prompts import runs


@pytest.fixture
def run(run_ppo: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    """run(out, **keys of the table): two iterations on the toy world; the directory that they are written to."""

    def call(out: str, **keys: Any) -> Path:
        run_ppo(out, **keys)
        return tmp_path / out

    return call


def test_an_iteration_is_as_many_episodes_of_fewer_prompts(
    run: Callable[..., Path], lines: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[Rollout] = []

    def spy(*args: Any, **keys: Any) -> Rollout:
        played.append(collect(*args, **keys))
        return played[-1]

    monkeypatch.setattr(module, "collect", spy)
    out = run("out", responses=4, batch=32, minibatch=8)
    assert len(played) == 2
    for rollout in played:
        assert len(rollout.ids) == 32
        assert [len(group) for group in runs(rollout.prompts, range(32))] == [4] * 8
        starts = rollout.mask.int().argmax(1)
        for row in range(32):
            prompt = rollout.ids[row - row % 4, : starts[row - row % 4] + 1]
            assert torch.equal(rollout.ids[row, : starts[row] + 1], prompt)
    logged = [line for line in lines(out / "metrics.jsonl") if "ratio_max" in line]
    assert len(logged) == 2
    assert all(0 <= line["padding"] < 1 for line in logged)


def test_with_learning_rate_0_every_ratio_is_1(run: Callable[..., Path], lines: Callable) -> None:
    """Point 3, where prompts are shared."""
    out = run("out", responses=4, batch=32, minibatch=8, lr=1e-30, critic_lr=1e-30, ptx_coef=0.0, epochs=2)
    learnt = [line for line in lines(out / "metrics.jsonl") if "ratio_max" in line]
    assert len(learnt) == 2
    for line in learnt:
        assert abs(line["ratio_max"] - 1) < 1e-4
        assert line["clip_fraction"] == 0


def test_the_same_command_gives_the_same_bits(run: Callable[..., Path]) -> None:
    one, two = (run(name, responses=2, batch=16, minibatch=8) for name in ("one", "two"))
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()


@pytest.mark.parametrize("keys", [{"batch": 30, "minibatch": 8}, {"batch": 32, "minibatch": 6}])
def test_responses_that_would_be_parted_are_refused(keys: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="is not a multiple of responses 4"):
        PPOConfig(responses=4, **keys)


@pytest.mark.parametrize("lam", [0.9, 1.0])
def test_what_prompts_differ_by_does_not_reach_the_policy(
    toy: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lam: float
) -> None:
    """Scores that depend on the prompt alone leave nothing to learn: the advantages of all episodes are 0."""
    from preceptor.stages import ppo_learner

    seen: list[torch.Tensor] = []
    whiten = ppo_learner.whiten

    def spy(advantages: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        seen.append(advantages)
        return whiten(advantages, mask)

    def level(*args: Any, **keys: Any) -> Rollout:
        rollout = collect(*args, **keys)
        rollout.scores[:] = torch.arange(len(rollout.scores)) // 4 * 10.0
        rollout.values[:] = 0.0
        return rollout

    monkeypatch.setattr(ppo_learner, "whiten", spy)
    monkeypatch.setattr(module, "collect", level)
    config = PPOConfig(
        **toy.tables["ppo"]
        | {"episodes": 32, "batch": 32, "minibatch": 8, "responses": 4, "kl_coef": 0.0, "lam": lam, "snapshots": 1}
    )
    ppo(config, **toy.ppo_inputs, out=tmp_path / "level", seed=0, progress=toy.progress)
    torch.testing.assert_close(seen[0], torch.zeros_like(seen[0]), atol=1e-5, rtol=0)


def test_a_trial_answers_each_prompt_as_often(run: Callable[..., Path], lines: Callable) -> None:
    tried = lines(run("out", responses=2, batch=16, minibatch=8) / "snapshots/000000.jsonl")
    assert len(tried) == 16
    pairs = [(tried[k], tried[k + 1]) for k in range(0, 16, 2)]
    assert all(one["prompt_id"] == two["prompt_id"] for one, two in pairs)
    assert any(one["response"] != two["response"] for one, two in pairs)
    assert len({one["prompt_id"] for one in tried}) == 8
