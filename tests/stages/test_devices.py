"""Every stage on another device than the CPU (see `another_device`): nothing is mixed, and the results are the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from preceptor.models.checkpoint import load_scalar_model, open_language_model
from preceptor.models.compute import ComputeConfig, place
from preceptor.models.lora import LoRAConfig
from preceptor.models.peft import FOLDER, load_adapters
from preceptor.stages.ppo import ppo
from preceptor.stages.ppo_config import PPOConfig
from preceptor.stages.pretrain import PretrainConfig, pretrain
from preceptor.stages.reward import RewardConfig, demonstration_scores, reward
from preceptor.stages.sample import SampleConfig, sample
from preceptor.stages.sft import SFTConfig, sft

from ..another_device import There, another_device

Run = Callable[..., Any]


@pytest.fixture
def on_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy: Any) -> Run:
    """on_both(stage, config, **inputs): the directories that a stage leaves on the CPU and on the other device."""

    def call(stage: Callable[..., dict[str, Any]], config: Any, **inputs: Any) -> tuple[Path, Path]:
        keys = {"seed": 0, "progress": toy.progress, "compute": ComputeConfig(token_budget=400)}
        stage(config, **inputs, **keys, out=tmp_path / "here")
        with another_device() as device, monkeypatch.context() as patch:
            patch.setattr(ComputeConfig, "torch_device", lambda self: device)
            stage(config, **inputs, **keys, out=tmp_path / "there")
        return tmp_path / "here", tmp_path / "there"

    return call


def assert_alike(here: Path, there: Path) -> None:
    mine, theirs = (load_file(one / "model.safetensors") for one in (there, here))
    assert set(mine) == set(theirs)
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-3, atol=1e-4, msg=name)


def test_the_other_device_refuses_to_mix() -> None:
    with another_device() as device:
        there, here = torch.ones(3).to(device), torch.ones(3)
        assert isinstance(there, There) and there.device == device
        assert float((there + there).sum()) == 6
        assert (there * 2).cpu().tolist() == [2, 2, 2]
        assert torch.zeros(2, device=device).add_(1).cpu().tolist() == [1, 1]
        with pytest.raises(RuntimeError, match="two devices"):
            there + here
        with pytest.raises((RuntimeError, TypeError)):
            there.numpy()


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_pretrain(on_both: Run, toy: Any, objective: str) -> None:
    config = PretrainConfig(**toy.tables["pretrain"] | {"tokens": 2000, "evaluations": 1, "objective": objective})
    inputs = {"model": toy.shape, "corpus": toy.corpus, "heldout": toy.heldout, "tokenizer": toy.tokenizer}
    assert_alike(*on_both(pretrain, config, **inputs))


def test_sft(on_both: Run, toy: Any) -> None:
    config = SFTConfig(**toy.tables["sft"] | {"epochs": 1, "batch": 24})
    assert_alike(*on_both(sft, config, model=toy.base, demonstrations=toy.demonstrations, corpus=toy.corpus))


def test_sample(on_both: Run, toy: Any) -> None:
    config = SampleConfig(prompts=6, responses=3, max_new_tokens=12)
    here, there = on_both(sample, config, models={"sft": toy.sft}, prompts=toy.prompts)
    assert here.read_text() == there.read_text()


def test_reward(on_both: Run, toy: Any, tmp_path: Path) -> None:
    config = RewardConfig(**toy.tables["reward"] | {"epochs": 0.5, "check_share": 0.0})
    inputs = {"model": toy.sft, "rankings": [toy.rankings], "demonstrations": toy.demonstrations, "check_out": None}
    assert_alike(*on_both(reward, config, **inputs))


@pytest.mark.parametrize("responses", [1, 4])
def test_ppo(on_both: Run, toy: Any, responses: int) -> None:
    keys = {
        "responses": responses,
        "episodes": 32,
        "batch": 16,
        "minibatch": 8,
        "snapshots": 1,
        "snapshot_prompts": 6,
        "ema_decay": 0.5,
    }
    here, there = on_both(ppo, PPOConfig(**toy.tables["ppo"] | keys), **toy.ppo_inputs)
    assert_alike(here, there)
    mine, theirs = ([json.loads(line) for line in (one / "metrics.jsonl").open()] for one in (there, here))
    for one, other in zip(mine, theirs, strict=True):
        for name in set(one) - {"tokens_per_second"}:
            assert one[name] == pytest.approx(other[name], rel=1e-2, abs=1e-3), name


def test_a_reward_model_of_adapters_in_16_bits_scores_demonstrations_0_when_it_is_merged(
    toy: Any, tmp_path: Path
) -> None:
    """What is merged is rounded to 16 bits, which moves the scores by more than the bound; adapters are not rounded."""
    keys: Any = {"seed": 0, "progress": toy.progress, "compute": ComputeConfig(dtype="bfloat16")}
    ranked = {"model": toy.sft, "rankings": [toy.rankings], "demonstrations": toy.demonstrations}
    config = RewardConfig(epochs=4, batch=4, lr=1e-2)
    told = reward(
        config, **ranked, **keys, out=tmp_path / "reward", check_out=None, lora=LoRAConfig(rank=4, alpha=64)
    )  # fmt: skip
    assert abs(told["demonstration_mean"]) < 1e-3
    merged = load_scalar_model(tmp_path / "reward")
    base = place(open_language_model(toy.sft)[0], keys["compute"])
    adapted = load_adapters(base, tmp_path / "reward" / FOLDER)
    for model in (merged, adapted):
        scores = demonstration_scores(place(model, keys["compute"]), toy.text, toy.demonstrations)
        assert abs(float(scores.mean())) < 1e-3
    assert not torch.equal(merged.score.bias, adapted.score.bias), "each has a zero of its own"


def test_every_stage_in_16_bits(toy: Any, tmp_path: Path) -> None:
    """What it learns is about what 32 bits learn, demonstrations still score 0, and PPO's probes let it pass."""
    keys: Any = {"seed": 0, "progress": toy.progress, "compute": ComputeConfig(dtype="bfloat16")}
    shown = {"model": toy.base, "demonstrations": toy.demonstrations, "corpus": toy.corpus}
    told = sft(SFTConfig(**toy.tables["sft"] | {"epochs": 16, "batch": 16}), **shown, **keys, out=tmp_path / "sft")
    assert told["heldout_loss"] == pytest.approx(toy.sft and toy.summaries["sft"]["heldout_loss"], rel=0.2)
    saved = load_file(tmp_path / "sft/model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.bfloat16}
    ranked = {"model": tmp_path / "sft", "rankings": [toy.rankings], "demonstrations": toy.demonstrations}
    config = RewardConfig(**toy.tables["reward"] | {"epochs": 4})
    told = reward(config, **ranked, **keys, out=tmp_path / "reward", check_out=tmp_path / "check")
    assert abs(told["demonstration_mean"]) < 1e-3
    assert told["heldout_accuracy"] > 0.7
    short = {"episodes": 64, "snapshots": 1, "snapshot_prompts": 8}
    inputs = toy.ppo_inputs | {"model": tmp_path / "sft", "reward": tmp_path / "reward", "check": tmp_path / "check"}
    told = ppo(PPOConfig(**toy.tables["ppo"] | short), **inputs, **keys, out=tmp_path / "ppo")
    lines = [json.loads(line) for line in (tmp_path / "ppo/metrics.jsonl").open()]
    assert lines[1]["ratio"] == pytest.approx(1, abs=0.05)
