"""Adapters on disk against the peft library: it reads ours, we read its, and both compute the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file
from tests.models.adapters import IDS, TARGETS, near, ours, shake, theirs

from preceptor.models.checkpoint import (
    load_language_model,
    load_model,
    write_model,
)
from preceptor.models.families import OUTSIDE_BLOCKS
from preceptor.models.families import family as family_of
from preceptor.models.heads import ScalarModel
from preceptor.models.lora import LoRAConfig
from preceptor.models.peft import TENSORS, load_adapters, save_adapters


@pytest.mark.parametrize("every", [True, False])
def test_peft_reads_ours(base: Path, family: str, tmp_path: Path, every: bool) -> None:
    config = LoRAConfig(rank=4, alpha=6.0, targets=("all-linear",) if every else tuple(TARGETS[family]))
    model = ours(base, config)
    save_adapters(model, tmp_path / "adapter", config, base)
    read = peft.PeftModel.from_pretrained(transformers.AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter")
    with torch.no_grad():
        near(model(IDS), read.eval()(IDS).logits)
        assert (model(IDS) - load_language_model(base)(IDS)).abs().max() > 0.1
    active = {name for name, _ in read.named_parameters() if "lora_A" in name}
    assert len(active) == len(load_file(tmp_path / "adapter" / TENSORS)) // 2, "no adapter of its that we did not give"
    assert read.peft_config["default"].base_model_name_or_path == str(base)


def test_peft_finds_the_base_by_itself(base: Path, tmp_path: Path) -> None:
    config = LoRAConfig(rank=4)
    model = ours(base, config)
    save_adapters(model, tmp_path / "adapter", config, base)
    read = peft.AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter")
    with torch.no_grad():
        near(model(IDS), read.eval()(IDS).logits)


def test_peft_reads_our_reward_adapters_with_their_head(base: Path, family: str, tmp_path: Path) -> None:
    config = LoRAConfig(rank=4)
    model = ScalarModel(ours(base, config))
    shake(model.score.parameters(), 0.3)
    save_adapters(model, tmp_path / "adapter", config, base)
    if family == "gemma3":  # transformers has no token classification of it; its other head reads the last token
        kind = transformers.AutoModelForSequenceClassification
    else:
        kind = transformers.AutoModelForTokenClassification
    read = peft.PeftModel.from_pretrained(kind.from_pretrained(base, num_labels=1), tmp_path / "adapter").eval()
    with torch.no_grad():
        logits = read(IDS).logits[..., 0]
        if family == "gemma3":
            near(model(IDS)[:, -1], logits + model.score.bias)
        else:
            near(model(IDS), logits)
    again = load_adapters(load_language_model(base), tmp_path / "adapter")
    assert isinstance(again, ScalarModel)
    with torch.no_grad():
        assert torch.equal(model(IDS), again(IDS))


@pytest.mark.parametrize(
    "keys",
    [{}, {"use_rslora": True}, {"init_lora_weights": "gaussian"}, {"lora_dropout": 0.4}],
    ids=lambda keys: "".join(keys),
)
def test_we_read_peft_s(base: Path, family: str, tmp_path: Path, keys: dict[str, Any]) -> None:
    model = theirs(base, TARGETS[family], tmp_path / "adapter", **keys)
    read = load_adapters(load_language_model(base), tmp_path / "adapter")
    with torch.no_grad():
        near(read(IDS), model(IDS).logits)


def test_we_read_ranks_and_alphas_by_pattern(make_base: Callable[[str], Path], tmp_path: Path) -> None:
    base = make_base("llama")
    patterns = {"rank_pattern": {"q_proj": 2, "layers.1.mlp.up_proj": 7}, "alpha_pattern": {"q_proj": 5}}
    model = theirs(base, "all-linear", tmp_path / "adapter", **patterns)
    read = load_adapters(load_language_model(base), tmp_path / "adapter")
    with torch.no_grad():
        near(read(IDS), model(IDS).logits)


def test_what_is_saved_comes_back(base: Path, tmp_path: Path) -> None:
    config = LoRAConfig(rank=4, targets=("all-linear",))
    model = ours(base, config)
    save_adapters(model, tmp_path / "adapter", config, base)
    again = load_adapters(load_language_model(base), tmp_path / "adapter")
    with torch.no_grad():
        assert torch.equal(again(IDS), model(IDS))


# merging -----------------------------------------------------------------------------------------


def test_what_is_written_whole_is_merged(base: Path, family: str, tmp_path: Path) -> None:
    model = ours(base, LoRAConfig(rank=4))
    write_model(model, tmp_path / "merged")
    read = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    with torch.no_grad():
        near(model(IDS), read(IDS).logits)
    scalar = ScalarModel(model)
    write_model(scalar, tmp_path / "scalar")
    again = load_model(tmp_path / "scalar")
    assert not any("adapter" in name for name, _ in again.named_parameters())
    with torch.no_grad():
        near(scalar(IDS), again(IDS))
    assert family_of(model.config.family, "") is not None


def test_what_lies_outside_the_blocks_is_known_of_every_family(base: Path) -> None:
    config = load_language_model(base).config
    names = family_of(config.family, "test")
    found = {names.LM_HEAD, names.SCORE}
    for piece in names.pieces(config):
        if piece.ours in ("embed.weight", "positions.weight"):
            found.add(piece.theirs.split(".")[-2])
        elif piece.ours.startswith("blocks."):
            assert not OUTSIDE_BLOCKS.intersection(piece.theirs.split("."))
    assert found <= OUTSIDE_BLOCKS
