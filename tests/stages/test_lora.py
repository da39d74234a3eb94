"""The stages with LoRA: the same invariants, the same outputs to go on from, and the base weights once."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from preceptor.errors import InputError
from preceptor.models.checkpoint import load_language_model, load_model, load_scalar_model
from preceptor.models.compute import ComputeConfig
from preceptor.models.lora import LoRAConfig, own_parameters, plain_state
from preceptor.models.peft import CONFIG, TENSORS, fits, load_adapters
from preceptor.stages import ppo as ppo_module
from preceptor.stages.ppo import ppo
from preceptor.stages.ppo_config import PPOConfig
from preceptor.stages.ppo_models import Models, load_models
from preceptor.stages.reward import RewardConfig, demonstration_scores, reward
from preceptor.stages.sft import SFTConfig, conversation_losses, sft
from preceptor.text.conversation import Rendered
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.checkpoint import read_state
from preceptor.training.loop import CHECKPOINT
from preceptor.training.rollout import response_logprobs, response_values

LORA = LoRAConfig(rank=4, alpha=16.0)
LEARN = {"lr": 1e-2}  # adapters take larger steps than whole models
IDS = torch.randint(7, 280, (3, 20), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def chain(toy: Any, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """SFT, both reward models and PPO, every one trained as adapters over the one before it."""
    root = tmp_path_factory.mktemp("lora")
    common: dict[str, Any] = {"seed": 0, "progress": toy.progress, "lora": LORA}
    shown = {"demonstrations": toy.demonstrations}
    tuned = SFTConfig(**toy.tables["sft"] | LEARN, epochs=6, batch=16)
    told = {"sft": sft(tuned, model=toy.base, **shown, corpus=toy.corpus, out=root / "sft", **common)}
    ranked = {"rankings": [toy.rankings], "out": root / "reward", "check_out": root / "check"}
    told["reward"] = reward(
        RewardConfig(**toy.tables["reward"] | LEARN, epochs=4), model=root / "sft", **shown, **ranked, **common
    )
    inputs = toy.ppo_inputs | {"model": root / "sft", "reward": root / "reward", "check": root / "check"}
    # Steps as large as these may take the toy far from where it began; it is kept all the same, to be looked at.
    table = toy.ppo_config.model_dump() | {"lr": 1e-2, "critic_lr": 1e-2, "max_kl": 100.0}
    config = PPOConfig(**table)
    told["ppo"] = ppo(config, **inputs, out=root / "ppo", **common)
    return SimpleNamespace(root=root, told=told, inputs=inputs, config=config, common=common)


def models(chain: SimpleNamespace, **paths: Path) -> Models:
    inputs = chain.inputs | paths
    return load_models(inputs["model"], inputs["reward"], inputs["check"], LORA, 0)


def storages(*every: torch.nn.Module) -> int:
    """Bytes of the distinct storages below some modules."""
    held = [one.untyped_storage() for module in every for one in (*module.parameters(), *module.buffers())]
    return sum({one.data_ptr(): one.nbytes() for one in held}.values())


# what is written ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("stage", "base"), [("sft", "base"), ("reward", "sft"), ("check", "sft"), ("ppo", "sft")])
def test_every_stage_writes_a_plain_model_and_its_adapters(
    chain: SimpleNamespace, toy: Any, stage: str, base: str
) -> None:
    directory = chain.root / stage
    below = toy.base if base == "base" else chain.root / base
    merged = load_model(directory)
    assert not any("adapter" in name for name in load_file(directory / "model.safetensors"))
    assert not any(".adapter." in name for name, _ in merged.named_parameters())
    assert Tokenizer.load(directory).fingerprint == toy.text.fingerprint
    assert fits(directory / "adapter", below)
    assert json.loads((directory / "adapter" / CONFIG).read_text())["base_model_name_or_path"] == str(below)
    over = load_adapters(load_language_model(below), directory / "adapter")
    assert type(over) is type(merged)
    with torch.no_grad():
        torch.testing.assert_close(over(IDS), merged(IDS), atol=1e-4, rtol=1e-5)
    plain = load_language_model(below)
    trunks = [getattr(one, "trunk", one) for one in (over, merged, plain)]
    moved = {
        name: not torch.equal(mine, theirs)
        for (name, mine), theirs in zip(plain_state(trunks[1]).items(), plain_state(trunks[2]).values(), strict=True)
    }
    assert {name for name, did in moved.items() if did} == {
        f"blocks.{layer}.{part}.weight"
        for layer in range(2)
        for part in ("attention.qkv", "attention.out", "mlp.up", "mlp.down")
    }


def test_they_learn(chain: SimpleNamespace, toy: Any, lines: Callable) -> None:
    before = load_language_model(toy.base)
    lost = [line["demonstration_loss"] for line in lines(chain.root / "sft/metrics.jsonl")]
    assert lost[-1] < lost[0] - 0.5
    assert chain.told["reward"]["heldout_accuracy"] > 0.7
    scores = [line["score"] for line in lines(chain.root / "ppo/metrics.jsonl")[1:]]
    assert sum(scores[-3:]) > sum(scores[:3]) + 1.0
    assert load_language_model(chain.root / "ppo").config == before.config


def test_demonstrations_score_0_in_the_plain_model_and_over_the_base(chain: SimpleNamespace, toy: Any) -> None:
    over = load_adapters(load_language_model(chain.root / "sft"), chain.root / "reward/adapter")
    for model in (load_scalar_model(chain.root / "reward"), over):
        assert abs(float(demonstration_scores(model, toy.text, toy.demonstrations).mean())) < 1e-3


# what a PPO run holds ----------------------------------------------------------------------------


def test_five_models_hold_the_base_once(chain: SimpleNamespace) -> None:
    held = models(chain)
    assert held.check is not None
    five = (held.policy, held.reference, held.critic, held.reward, held.check)
    base = storages(held.reference)
    own = [
        sum(4 * p.numel() for p in own_parameters(m).values())
        for m in (held.policy, held.critic, held.reward, held.check)
    ]
    assert storages(*five) == base + sum(own)
    assert sum(own) < base, "even on a model this small"
    pointers = {one.embed.weight.data_ptr() for one in (held.policy, held.reference, held.critic.trunk)}
    assert pointers == {held.reward.trunk.embed.weight.data_ptr()}


def test_only_adapters_and_the_head_learn_and_are_saved(
    chain: SimpleNamespace, toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = models(chain)
    for model in (held.policy, held.critic):
        learning = {name for name, p in model.named_parameters() if p.requires_grad}
        assert learning == set(own_parameters(model))
    seen: list[dict[str, torch.Tensor]] = []

    def train(state: Any, *args: Any, **keys: Any) -> None:
        state.save(tmp_path / "state")
        seen.append(read_state(tmp_path / "state")[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(ppo_module, "train", train)
    with pytest.raises(KeyboardInterrupt):
        ppo(chain.config, **chain.inputs, out=tmp_path / "out", **chain.common)
    (tensors,) = seen
    assert all(".adapter." in name or "/score." in name for name in tensors)
    assert {name.split("/")[1] for name in tensors} == {"policy", "critic", "average"}


def test_point_14_the_critic_equals_the_reward_model_at_every_position(chain: SimpleNamespace) -> None:
    held = models(chain)
    with torch.no_grad():
        assert torch.equal(held.critic(IDS), held.reward(IDS))
        assert (held.critic(IDS) - load_scalar_model(chain.root / "reward")(IDS)).abs().max() < 1e-4


def test_point_3_with_learning_rate_0_every_ratio_is_1(
    chain: SimpleNamespace, tmp_path: Path, lines: Callable, toy: Any
) -> None:
    """``lr`` must be positive, so it is one that float32 does not notice."""
    table = toy.tables["ppo"] | {"lr": 1e-30, "critic_lr": 1e-30, "episodes": 64, "snapshots": 1, "ptx_coef": 0.0}
    ppo(PPOConfig(**table, snapshot_prompts=8), **chain.inputs, out=tmp_path, **chain.common)
    for line in lines(tmp_path / "metrics.jsonl")[1:]:
        assert line["ratio_max"] == pytest.approx(1.0, abs=1e-4)
        assert line["approx_kl"] < 1e-6
        assert line["kl"] == pytest.approx(0.0, abs=1e-3)
        assert line["clip_fraction"] == 0


def test_a_reward_model_with_weights_of_its_own_is_shared_with_the_critic(chain: SimpleNamespace, toy: Any) -> None:
    held = models(chain, reward=toy.reward, check=toy.check)
    trunk = storages(held.reference)
    own = [sum(4 * p.numel() for p in own_parameters(m).values()) for m in (held.policy, held.critic)]
    assert held.check is not None
    whole = storages(held.policy, held.reference, held.critic, held.reward)
    assert whole == 2 * trunk + sum(own) + storages(held.reward.score)
    with torch.no_grad():
        assert torch.equal(held.critic(IDS), held.reward(IDS))
    held.critic.score.bias.data += 1
    with torch.no_grad():
        assert (held.critic(IDS) - held.reward(IDS)).min() > 0.9


def test_the_reference_is_what_it_was_after_training(chain: SimpleNamespace, toy: Any) -> None:
    held = models(chain)
    before = held.reference(IDS).detach().clone()
    shift = [p for name, p in own_parameters(held.policy).items() if ".B." in name]
    ids, segments = IDS, torch.ones_like(IDS)
    mask = torch.rand(3, 19, generator=torch.Generator().manual_seed(0)) < 0.5
    mine, _ = response_logprobs(held.policy, ids, segments, mask, 1.0)
    values = response_values(held.critic, ids, segments, mask)
    (mine.sum() + values.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in shift)
    assert all(p.grad is None for p in held.reference.parameters())
    with torch.no_grad():
        for p in shift:
            p -= 0.1 * p.grad
        assert torch.equal(held.reference(IDS), before)
        assert (held.policy(IDS) - before).abs().max() > 1e-3


# dropout in SFT ----------------------------------------------------------------------------------


def test_dropout_in_sft_is_keyed_by_conversation_and_step(
    toy: Any, chain: SimpleNamespace, tmp_path: Path, lines: Callable
) -> None:
    def losses(out: str, dropout: float, **compute: int) -> list[float]:
        config = SFTConfig(**toy.tables["sft"] | LEARN, epochs=1, batch=16)
        lora = LORA.model_copy(update={"dropout": dropout})
        sft(config, model=toy.base, demonstrations=toy.demonstrations, corpus=toy.corpus, out=tmp_path / out,
            compute=ComputeConfig(**compute), **chain.common | {"lora": lora})  # fmt: skip
        return [line["demonstration_loss"] for line in lines(tmp_path / out / "metrics.jsonl")]

    dropped = losses("dropped", 0.4)
    assert losses("again", 0.4) == dropped
    assert losses("split", 0.4, token_budget=1) == pytest.approx(dropped, abs=1e-4)
    plain = losses("plain", 0.0)
    assert abs(dropped[1] - plain[1]) > 1e-3
    assert json.loads((tmp_path / "dropped/adapter" / CONFIG).read_text())["lora_dropout"] == 0.4


def test_the_noise_of_a_conversation_goes_with_it(chain: SimpleNamespace, toy: Any) -> None:
    from preceptor.models.lora import fresh_adapters

    model = fresh_adapters(load_language_model(toy.base), LORA.model_copy(update={"dropout": 0.5}), 0, dropout=True)
    for parameter in own_parameters(model).values():
        parameter.data.normal_(0.0, 0.3, generator=torch.Generator().manual_seed(0))
    batch = [Rendered(IDS[row, :n].tolist(), [False] + [True] * (n - 1), False) for row, n in ((0, 9), (1, 5), (2, 18))]
    with torch.no_grad():
        together = sum(float(loss) for loss in conversation_losses(model, batch, 0, 4096, names=[3, 1, 2]))
        alone = [
            sum(float(loss) for loss in conversation_losses(model, [one], 0, 4096, names=[name]))
            for one, name in zip(batch, [3, 1, 2], strict=True)
        ]
        assert together == pytest.approx(sum(alone), rel=1e-5)
        assert abs(together - sum(float(x) for x in conversation_losses(model, batch, 0, 4096, names=[4, 1, 2]))) > 1e-2
        assert abs(together - sum(float(x) for x in conversation_losses(model, batch, 0, 4096))) > 1e-2


# going on, memory, bad input ---------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["sft", "reward", "ppo"])
def test_checkpointing_activations_changes_no_weight(
    chain: SimpleNamespace, toy: Any, tmp_path: Path, stage: str
) -> None:
    def call(checkpointing: bool) -> bytes:
        out = tmp_path / str(checkpointing)
        key = {"gradient_checkpointing": checkpointing}
        shown = {"demonstrations": toy.demonstrations}
        if stage == "sft":
            config = SFTConfig(**toy.tables["sft"] | key, epochs=1, batch=16)
            sft(config, model=toy.base, **shown, corpus=toy.corpus, out=out, **chain.common)
        elif stage == "reward":
            rewards = RewardConfig(**toy.tables["reward"] | key, epochs=1)
            reward(rewards, model=chain.root / "sft", rankings=[toy.rankings], **shown, out=out, check_out=None,
                   **chain.common)  # fmt: skip
        else:
            table = toy.tables["ppo"] | key | {"episodes": 64, "snapshots": 1, "snapshot_prompts": 8}
            ppo(PPOConfig(**table), **chain.inputs, out=out, **chain.common)
        return (out / "adapter" / TENSORS).read_bytes()

    assert call(True) == call(False)


def test_nothing_is_left_behind_but_the_models(chain: SimpleNamespace) -> None:
    for stage in ("sft", "reward", "check", "ppo"):
        assert not (chain.root / stage / CHECKPOINT).exists()


def test_an_unknown_target_stops_a_stage_before_anything_is_written(toy: Any, tmp_path: Path) -> None:
    lora = LoRAConfig(rank=2, targets=("c_attn",))
    config = SFTConfig(**toy.tables["sft"], epochs=1, batch=16)
    with pytest.raises(InputError, match=r"lora\.targets names c_attn"):
        sft(config, model=toy.base, demonstrations=toy.demonstrations, corpus=None, out=tmp_path / "out", seed=0,
            progress=toy.progress, lora=lora)  # fmt: skip
    assert not (tmp_path / "out").exists()
