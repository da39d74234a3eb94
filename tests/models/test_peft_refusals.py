"""Adapters that cannot be read, or are for another base: one clear line each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.models.adapters import ours, theirs

from preceptor.errors import InputError
from preceptor.models.checkpoint import (
    load_language_model,
    write_model,
)
from preceptor.models.lora import LoRAConfig, fresh_adapters
from preceptor.models.peft import CONFIG, TENSORS, fits, load_adapters, save_adapters
from preceptor.models.sources import find_model


def test_a_base_that_was_trained_anew_is_not_merged_with_old_adapters(tiny_base: Path, tmp_path: Path) -> None:
    config = LoRAConfig(rank=2)
    model = load_language_model(tiny_base)
    save_adapters(fresh_adapters(model, config, 0), tmp_path / "adapter", config, tiny_base)
    model.embed.weight.data[0, 0] += 1
    write_model(model, tiny_base)
    with pytest.raises(InputError, match=r"adapters were trained over other weights than .*tiny holds now") as caught:
        find_model(tmp_path / "adapter", tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").glob("*"))


def test_only_the_very_base_fits(make_base: Callable[..., Path], tmp_path: Path) -> None:
    base = make_base("llama")
    config = LoRAConfig(rank=4)
    save_adapters(ours(base, config), tmp_path / "adapter", config, base)
    assert fits(tmp_path / "adapter", base)
    assert not fits(tmp_path / "nothing", base)
    other = make_base("llama", "other")
    model = load_language_model(other)
    model.embed.weight.data[0, 0] += 1
    write_model(model, other)
    assert not fits(tmp_path / "adapter", other)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"hidden_size": 64}, r"layers\.0\.mlp\.down_proj takes A and B of the shapes \[\(4, 44\), \(64, 4\)\], not"),
        ({"num_hidden_layers": 1}, r"there is no linear layer model\.layers\.1\.mlp\.down_proj"),
    ],
)
def test_adapters_for_another_base_are_one_clear_line(
    make_base: Callable[..., Path], tmp_path: Path, shape: dict[str, int], said: str
) -> None:
    base, other = make_base("llama"), make_base("llama", "other", **shape)
    config = LoRAConfig(rank=4)
    save_adapters(ours(base, config), tmp_path / "adapter", config, base)
    with pytest.raises(InputError, match=rf"the adapters are for another base model \({said}") as caught:
        load_adapters(load_language_model(other), tmp_path / "adapter")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="the adapters are for another base model"):
        load_adapters(load_language_model(make_base("gpt2", "third")), tmp_path / "adapter")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peft_type": "IA3"}, "adapters of the type IA3; only LORA is read"),
        ({"use_dora": True}, "use_dora is not supported; merge the adapters with peft"),
        ({"bias": "all"}, "bias = all is not supported"),
        ({"init_lora_weights": "pissa_niter_16"}, "init_lora_weights = pissa_niter_16 is not supported"),
    ],
)
def test_adapters_of_another_kind_are_refused(
    tiny_base: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    theirs(tiny_base, ["q_proj"], tmp_path / "adapter")
    path = tmp_path / "adapter" / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=said):
        load_adapters(load_language_model(tiny_base), tmp_path / "adapter")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"target_modules": ["q_proj", "lm_head"]}, r"changes lm_head \(base_model\.model\.lm_head\..*\)"),
        ({"target_modules": ["embed_tokens"]}, r"changes embed_tokens \(.*\.embed_tokens\..*\)"),
        ({"modules_to_save": ["lm_head"]}, r"changes lm_head \(base_model\.model\.lm_head\.weight\)"),
        ({"modules_to_save": ["embed_tokens"]}, r"changes embed_tokens \(.*embed_tokens\.weight\)"),
        ({"trainable_token_indices": [7]}, r"changes embed_tokens \(.*trainable_tokens_delta\)"),
    ],
)
def test_embeddings_and_heads_get_no_adapters(
    make_base: Callable[..., Path], tmp_path: Path, keys: dict[str, Any], said: str
) -> None:
    base = make_base("llama", tie_word_embeddings=False)
    theirs(base, keys.pop("target_modules", ["q_proj"]), tmp_path / "adapter", **keys)
    with pytest.raises(InputError, match=rf"{said}, and embeddings and heads get no adapters here; merge") as caught:
        load_adapters(load_language_model(base), tmp_path / "adapter")
    assert "\n" not in str(caught.value)


def test_tensors_that_are_not_there_torn_or_of_something_else(tiny_base: Path, tmp_path: Path) -> None:
    theirs(tiny_base, ["q_proj"], tmp_path / "adapter")
    path, base = tmp_path / "adapter" / TENSORS, load_language_model(tiny_base)
    whole, tensors = path.read_bytes(), load_file(path)
    save_file(tensors | {"base_model.model.model.norm.weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match=r"has base_model\.model\.model\.norm\.weight, which is no LoRA of a linear"):
        load_adapters(base, tmp_path / "adapter")
    save_file({name: tensor for name, tensor in tensors.items() if "0.self_attn.q_proj.lora_A" not in name}, path)
    with pytest.raises(InputError, match=r"layers\.0\.self_attn\.q_proj has no pair of matrices"):
        load_adapters(base, tmp_path / "adapter")
    path.write_bytes(whole[:-5])
    with pytest.raises(InputError, match="is not a whole safetensors file"):
        load_adapters(base, tmp_path / "adapter")
    path.unlink()
    (tmp_path / "adapter" / "adapter_model.bin").touch()
    with pytest.raises(InputError, match="would have to be unpickled"):
        load_adapters(base, tmp_path / "adapter")
