"""Point 19: each start-up probe is a clear error, and models that fit together pass."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from preceptor.errors import InputError
from preceptor.files import write_jsonl
from preceptor.generation.engine import Generation, generate
from preceptor.generation.sampling import SamplingConfig
from preceptor.keyed import torch_rng
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.stages import ppo_probes as module
from preceptor.stages.ppo_probes import probe
from preceptor.stages.reward import zero_on_demonstrations
from preceptor.text.tokenizer import Tokenizer

PROMPTS = [[1, 4, 30, 31, 2, 5], [1, 4, 40, 2, 5], [1, 4, 50, 51, 52, 53, 2, 5]]


@pytest.fixture
def parts(
    tiny_model: Callable[..., Transformer],
    tiny_scalar: Callable[..., ScalarModel],
    tiny_tokenizer: Tokenizer,
    tmp_path: Path,
) -> dict[str, Any]:
    """Arguments of the probe that pass it."""
    demonstrations = tmp_path / "demonstrations.jsonl"
    talk = [{"role": "user", "content": "ann?"}, {"role": "assistant", "content": "bob."}]
    write_jsonl(demonstrations, [{"prompt_id": f"p{i}", "messages": talk} for i in range(3)])
    reward_model = tiny_scalar(seed=3)
    zero_on_demonstrations(reward_model, tiny_tokenizer, demonstrations)
    return {
        "tokenizer": tiny_tokenizer,
        "policy": tiny_model(),
        "critic": copy.deepcopy(reward_model),
        "reward_model": reward_model,
        "prompts": PROMPTS,
        "sampling": SamplingConfig(max_new_tokens=8),
        "demonstrations": demonstrations,
    }


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_models_that_fit_together_pass(parts: dict[str, Any], temperature: float) -> None:
    probe(**parts | {"sampling": SamplingConfig(max_new_tokens=8, temperature=temperature)})


def test_pad_that_is_the_end_is_refused(parts: dict[str, Any], tiny_tokenizer: Tokenizer) -> None:
    class Same(Tokenizer):
        @property
        def pad_id(self) -> int:
            return self.eos_id

    with pytest.raises(InputError, match="pad and end are the same token"):
        probe(**parts | {"tokenizer": Same(tiny_tokenizer._backend)})


@pytest.mark.parametrize("shift", [2e-4, -2e-4, float("nan")])
def test_logprobs_that_differ_between_rollout_and_trainer_are_refused(
    parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch, shift: float
) -> None:
    def shifted(*args: Any, **keys: Any) -> list[list[Generation]]:
        groups = generate(*args, **keys)
        one = groups[1][0]
        groups[1][0] = replace(one, logprobs=[*one.logprobs[:-1], one.logprobs[-1] + shift])
        return groups

    monkeypatch.setattr(module, "generate", shifted)
    with pytest.raises(InputError, match="PPO's ratios would not start at 1"):
        probe(**parts)


def test_rollouts_from_other_weights_are_refused(
    parts: dict[str, Any], tiny_model: Callable[..., Transformer], monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = tiny_model(seed=5)
    monkeypatch.setattr(module, "generate", lambda policy, *args, **keys: generate(stale, *args, **keys))
    with pytest.raises(InputError, match="generation and training must use the same weights"):
        probe(**parts)


def test_a_critic_that_is_not_the_reward_model_is_refused(parts: dict[str, Any]) -> None:
    for spoil in (lambda m: m.score.bias.data.add_(1e-3), lambda m: m.trunk.norm.weight.data.mul_(1.01)):
        critic = copy.deepcopy(parts["reward_model"])
        spoil(critic)
        with pytest.raises(InputError, match="critic and reward model differ by"):
            probe(**parts | {"critic": critic})


@pytest.mark.parametrize("shift", [0.1, -0.1])
def test_a_reward_model_off_zero_on_demonstrations_is_refused(parts: dict[str, Any], shift: float) -> None:
    for name in ("reward_model", "critic"):
        parts[name].score.bias.data += shift
    with pytest.raises(InputError, match=rf"demonstrations \{shift:+.3f} on average instead of 0"):
        probe(**parts)
    probe(**parts | {"demonstrations": None})


def test_a_reward_model_of_another_vocabulary_is_refused(parts: dict[str, Any]) -> None:
    trunk = Transformer(replace(parts["policy"].config, vocab_size=999))
    trunk.initialise(torch_rng(0, "weights"))
    other = ScalarModel(trunk)
    with pytest.raises(InputError, match="the reward model has 999 tokens and the policy 270"):
        probe(**parts | {"reward_model": other, "critic": copy.deepcopy(other)})


def test_nothing_is_changed_by_probing(parts: dict[str, Any]) -> None:
    before = {name: copy.deepcopy(parts[name].state_dict()) for name in ("policy", "critic", "reward_model")}
    probe(**parts)
    for name, state in before.items():
        assert all(torch.equal(value, parts[name].state_dict()[key]) for key, value in state.items())
        assert all(parameter.grad is None for parameter in parts[name].parameters())
