"""Killed with SIGKILL at a random moment and started again: bit for bit the weights of an undisturbed run.

The killed process is a real one. It saves its state every twentieth of a second, so that steps are lost at each
kill and taken again; it pauses at each optimizer step and stands still a few steps after the chosen one, so that it
cannot escape its parent on a busy machine.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from preceptor.errors import InputError
from preceptor.models.lora import NO_LORA, LoRAConfig
from preceptor.stages import ppo as ppo_module
from preceptor.stages import reward as reward_module
from preceptor.stages.ppo import ppo
from preceptor.stages.pretrain import PretrainConfig, pretrain
from preceptor.stages.reward import RewardConfig, reward
from preceptor.stages.sft import SFTConfig, sft
from preceptor.training import loop
from preceptor.training.checkpoint import read_state
from preceptor.training.loop import CHECKPOINT

# What a child does. Its pauses make the moment of the kill easy to hit; they change nothing that is computed.
CHILD = """
import importlib, json, sys, time
from functools import partial
from pathlib import Path
import torch
torch.set_num_threads(1)
call = json.loads(sys.argv[1])
module = importlib.import_module("preceptor.stages." + call["stage"])
from preceptor.models.config import ModelConfig
from preceptor.training import loop
from preceptor.training.optimizer import Optimizer
from preceptor.training.progress import Progress

taken = []

def slow_step(self, scale, step=Optimizer.step):
    taken.append(1)
    time.sleep(call["pause"] if len(taken) < call["still_after"] else 600)
    step(self, scale)

Optimizer.step = slow_step
module.train = partial(loop.train, checkpoint_seconds=0.05)
config = getattr(module, call["config_class"])(**call["config"])
inputs = {name: Path(value) for name, value in call["inputs"].items()}
if "lora" in call:
    from preceptor.models.lora import LoRAConfig
    inputs["lora"] = LoRAConfig(**call["lora"])
if "model_config" in call:
    inputs["model"] = ModelConfig(**call["model_config"])
getattr(module, call["stage"])(config, **inputs, out=Path(call["out"]), seed=0, progress=Progress(quiet=True))
"""


def start(call: dict[str, Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CHILD, json.dumps(call, default=str)], stderr=subprocess.PIPE)


def steps_done(out: Path) -> int:
    """The last step that metrics.jsonl tells of."""
    path = out / "metrics.jsonl"
    if not path.exists():
        return 0
    whole = path.read_bytes().split(b"\n")[:-1]
    return int(json.loads(whole[-1])["step"]) if whole else 0


def kill_at_random(call: dict[str, Any], steps: int, *, optimizer_steps: int) -> str:
    """SIGKILL a child 2 to ``steps`` steps on; says where that was, for the message of a failure."""
    out, dice = Path(call["out"]), random.Random(os.urandom(8))
    more, then = dice.randint(2, steps), dice.uniform(0, 0.1)
    wait_for, deadline = steps_done(out) + more, time.monotonic() + 200
    child = start(call | {"pause": 0.03, "still_after": (more + 3) * optimizer_steps})
    try:
        while steps_done(out) < wait_for or not (out / CHECKPOINT).exists():
            assert child.poll() is None, child.stderr and child.stderr.read().decode()[-2000:]
            assert time.monotonic() < deadline, f"never came to step {wait_for}"
            time.sleep(0.002)
        time.sleep(then)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert not (out / "model.safetensors").exists()
    kept = read_state(out / CHECKPOINT)[1]["step"]
    return f"killed {then:.3f} s after step {wait_for}; the checkpoint is of step {kept}"


def assert_same_outcome(mine: Path, theirs: Path, where: str, lines: Callable) -> None:
    for path in sorted(theirs.rglob("*")):
        if path.is_file() and path.name != "metrics.jsonl":
            assert (mine / path.relative_to(theirs)).read_bytes() == path.read_bytes(), f"{path.name}: {where}"
    clock = {"tokens_per_second": None}
    got, expected = ([row | clock for row in lines(out / "metrics.jsonl")] for out in (mine, theirs))
    assert got == expected, where
    assert not (mine / CHECKPOINT).exists()


def test_pretraining_survives_sigkill_bit_for_bit(toy: Any, tmp_path: Path, lines: Callable) -> None:
    """All of it in processes of their own: the same command, killed, and given again."""
    config = PretrainConfig(**toy.tables["pretrain"], tokens=48 * 8 * 40, batch_rows=8)
    inputs = {"corpus": toy.corpus, "heldout": toy.heldout, "tokenizer": toy.tokenizer}
    pretrain(config, model=toy.shape, **inputs, out=tmp_path / "whole", seed=0, progress=toy.progress)
    call = {
        "stage": "pretrain",
        "config_class": "PretrainConfig",
        "config": config.model_dump(),
        "model_config": toy.shape.model_dump(),
        "inputs": inputs,
        "out": tmp_path / "killed",
    }
    where = kill_at_random(call, 30, optimizer_steps=1)
    child = start(call | {"pause": 0, "still_after": 10**9})
    _, said = child.communicate(timeout=200)
    assert child.returncode == 0, said.decode()[-2000:]
    assert_same_outcome(tmp_path / "killed", tmp_path / "whole", where, lines)


class Interrupted(Exception):  # noqa: N818
    """Stands for a kill, in the same process."""


def interrupt(function: Callable[..., Any], at: int) -> Callable[..., Any]:
    """``function``, whose call number ``at`` (from 1) is never made."""
    calls: list[int] = []

    def interrupted(*args: Any, **keys: Any) -> Any:
        calls.append(1)
        if len(calls) == at:
            raise Interrupted
        return function(*args, **keys)

    return interrupted


def save_always(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    monkeypatch.setattr(module, "train", partial(loop.train, checkpoint_seconds=0.0))


def test_ppo_survives_sigkill_bit_for_bit(
    toy: Any, tmp_path: Path, lines: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped a second time too, with a state that was itself restored: the controller's and the average's among it."""
    out = tmp_path / "killed"
    call = {
        "stage": "ppo",
        "config_class": "PPOConfig",
        "config": toy.ppo_config.model_dump(),
        "inputs": toy.ppo_inputs,
        "out": out,
    }
    assert toy.ppo
    # An iteration has two minibatches, each with a step of the policy and one of the critic.
    where = kill_at_random(call, 6, optimizer_steps=4)
    tensors, said = read_state(out / CHECKPOINT)
    assert {"kl", "best"} <= set(said["values"])
    assert any(name.startswith("module/average/") for name in tensors)
    save_always(monkeypatch, ppo_module)
    with monkeypatch.context() as patch:
        patch.setattr(ppo_module, "collect", interrupt(ppo_module.collect, 3))
        with pytest.raises(Interrupted):
            ppo(toy.ppo_config, **toy.ppo_inputs, out=out, seed=0, progress=toy.progress)
    assert read_state(out / CHECKPOINT)[1]["step"] == said["step"] + 2
    ppo(toy.ppo_config, **toy.ppo_inputs, out=out, seed=0, progress=toy.progress)
    assert_same_outcome(out, toy.ppo, where, lines)


def test_ppo_with_adapters_survives_sigkill_bit_for_bit(toy: Any, tmp_path: Path, lines: Callable) -> None:
    """Policy, critic, average and the kept snapshot are adapters; the reward model has weights of its own here."""
    out, lora = tmp_path / "killed", LoRAConfig(rank=3)
    config = toy.ppo_config.model_copy(update={"episodes": 256})
    ppo(config, **toy.ppo_inputs, out=tmp_path / "whole", seed=0, progress=toy.progress, lora=lora)
    call = {
        "stage": "ppo",
        "config_class": "PPOConfig",
        "config": config.model_dump(),
        "inputs": toy.ppo_inputs,
        "lora": lora.model_dump(),
        "out": out,
    }
    where = kill_at_random(call, 5, optimizer_steps=4)
    assert all(".adapter." in name or "score." in name for name in read_state(out / CHECKPOINT)[0])
    ppo(config, **toy.ppo_inputs, out=out, seed=0, progress=toy.progress, lora=lora)
    assert_same_outcome(out, tmp_path / "whole", where, lines)


@pytest.mark.parametrize("lora", [NO_LORA, LoRAConfig(rank=3, dropout=0.2)], ids=["whole", "lora"])
@pytest.mark.parametrize("stage", ["sft", "reward"])
@pytest.mark.parametrize("stop_at", [1, 4])
def test_sft_and_reward_go_on_bit_for_bit(
    toy: Any,
    tmp_path: Path,
    lines: Callable,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    stop_at: int,
    lora: LoRAConfig,
) -> None:
    def call(out: Path) -> None:
        common: dict[str, Any] = {"seed": 0, "progress": toy.progress, "demonstrations": toy.demonstrations}
        common["lora"] = lora
        if stage == "sft":
            config = SFTConfig(**toy.tables["sft"] | {"optimizer": "muon", "keep": "best"}, epochs=2, batch=16)
            sft(config, model=toy.base, corpus=toy.corpus, out=out, **common)
        else:
            rewards = RewardConfig(**toy.tables["reward"], epochs=2)
            reward(rewards, model=toy.sft, rankings=[toy.rankings], out=out / "rm", check_out=out / "check", **common)

    module = sys.modules[f"preceptor.stages.{stage}"]
    save_always(monkeypatch, module)
    call(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(module, "optimize", interrupt(loop.optimize, stop_at + 1))
        with pytest.raises(Interrupted):
            call(tmp_path / "broken")
    call(tmp_path / "broken")
    parts = ["."] if stage == "sft" else ["rm", "check"]
    for part in parts:
        assert_same_outcome(tmp_path / "broken" / part, tmp_path / "whole" / part, f"stopped at {stop_at}", lines)


def test_a_reward_model_that_is_done_is_not_fitted_again_for_the_sake_of_the_second(
    toy: Any, tmp_path: Path, lines: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(out: Path) -> dict[str, Any]:
        return reward(
            RewardConfig(**toy.tables["reward"]), model=toy.sft, rankings=[toy.rankings], out=out / "rm",
            check_out=out / "check", demonstrations=toy.demonstrations, seed=0, progress=toy.progress,
        )  # fmt: skip

    save_always(monkeypatch, reward_module)
    whole = call(tmp_path / "whole")
    steps = {part: len(lines(tmp_path / "whole" / part / "metrics.jsonl")) for part in ("rm", "check")}
    with monkeypatch.context() as patch:
        patch.setattr(reward_module, "optimize", interrupt(loop.optimize, steps["rm"] + 2))
        with pytest.raises(Interrupted):
            call(tmp_path / "broken")
    taken: list[str] = []

    def counted(*arguments: Any, **keys: Any) -> Any:
        taken.append(keys["where"])
        return loop.optimize(*arguments, **keys)

    monkeypatch.setattr(reward_module, "optimize", counted)
    assert call(tmp_path / "broken") == whole
    assert taken == [f"reward-check step {step}" for step in range(1, steps["check"])]
    for part in ("rm", "check"):
        assert_same_outcome(tmp_path / "broken" / part, tmp_path / "whole" / part, "stopped in the second", lines)


def test_a_torn_state_is_a_clear_error_and_its_removal_the_mend(
    toy: Any, tmp_path: Path, lines: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call() -> None:
        ppo(toy.ppo_config, **toy.ppo_inputs, out=tmp_path / "torn", seed=0, progress=toy.progress)

    assert toy.ppo
    save_always(monkeypatch, ppo_module)
    with monkeypatch.context() as patch:
        patch.setattr(ppo_module, "collect", interrupt(ppo_module.collect, 3))
        with pytest.raises(Interrupted):
            call()
    path = tmp_path / "torn" / CHECKPOINT
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(
        InputError, match=r"training.safetensors: is damaged .*delete it and the stage starts over"
    ) as caught:
        call()
    assert "\n" not in str(caught.value)
    path.unlink()
    call()
    assert_same_outcome(tmp_path / "torn", toy.ppo, "started over", lines)


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage stops; the weights on disk are those before the bad step, and finite."""
    steps: list[int] = []
    module = sys.modules["preceptor.stages.pretrain"]
    next_token_loss = module.next_token_loss

    def spoilt(*args: Any, **keys: Any) -> torch.Tensor:
        steps.append(1)
        return next_token_loss(*args, **keys) * (float("nan") if len(steps) == 6 else 1.0)

    monkeypatch.setattr(module, "next_token_loss", spoilt)
    save_always(monkeypatch, module)
    inputs = {"model": toy.shape, "corpus": toy.corpus, "heldout": toy.heldout, "tokenizer": toy.tokenizer}
    config = PretrainConfig(**toy.tables["pretrain"], tokens=48 * 8 * 10, batch_rows=8)
    with pytest.raises(InputError, match="pretrain step 5: the loss is nan"):
        pretrain(config, **inputs, out=tmp_path / "out", seed=0, progress=toy.progress)
    tensors, values = read_state(tmp_path / "out" / CHECKPOINT)
    assert values["step"] == 5
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    pretrain(config, **inputs, out=tmp_path / "out", seed=0, progress=toy.progress)  # the damage gone, it goes on
    assert not (tmp_path / "out" / CHECKPOINT).exists()
