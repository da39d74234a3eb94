"""Models on disk come back bit for bit, and what cannot be one says so in a line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import preceptor
from preceptor.errors import InputError
from preceptor.models.checkpoint import load_language_model, load_model, load_scalar_model, save_model
from preceptor.models.config import ModelConfig
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer

MakeModel = Callable[..., Transformer]
IDS = torch.arange(7, 19).view(2, 6)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_a_language_model_comes_back_bit_for_bit(
    tiny_model: MakeModel, tiny_tokenizer: Tokenizer, tmp_path: Path, family: str, causal: bool, tied: bool
) -> None:
    model = tiny_model(family, causal=causal, tie_word_embeddings=tied)
    save_model(model, tmp_path, tiny_tokenizer)
    again = preceptor.load_model(tmp_path)
    assert isinstance(again, Transformer)
    assert again.config == model.config
    assert again.config.pad_token_id == tiny_tokenizer.pad_id != again.config.eos_token_id
    with torch.no_grad():
        assert torch.equal(again(IDS), model(IDS))
    assert Tokenizer.load(tmp_path).fingerprint == tiny_tokenizer.fingerprint


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_scalar_model_comes_back_bit_for_bit_with_its_bias(
    tiny_scalar: Callable[..., ScalarModel], tiny_tokenizer: Tokenizer, tmp_path: Path, family: str
) -> None:
    model = tiny_scalar(bias=-0.625, family=family)
    save_model(model, tmp_path, tiny_tokenizer)
    again = load_scalar_model(tmp_path)
    assert again.score.bias.item() == -0.625
    with torch.no_grad():
        assert torch.equal(again(IDS), model(IDS))
    with pytest.raises(InputError, match="is a reward model; name a language model"):
        load_language_model(tmp_path)


def test_a_language_model_is_no_reward_model(tiny_model: MakeModel, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path, tiny_tokenizer)
    with pytest.raises(InputError, match="is a language model; name a reward model"):
        load_scalar_model(tmp_path)


def _edit(**changes: Any) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        path = directory / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def _tear(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_edit(model_type="mamba"), "unknown model family 'mamba'; the known ones are"),
        (_edit(hidden_size=32), "the weights do not fit config.json"),
        (_edit(num_hidden_layers=3), "the weights lack .*layers.2"),
        (_edit(num_key_value_heads=3), "share key heads evenly"),
        (_edit(hidden_act="relu"), "activation 'relu' is not supported"),
        (_tear, "is not a whole safetensors file"),
        (lambda directory: (directory / "model.safetensors").unlink(), "the model directory is incomplete"),
        (lambda directory: (directory / "config.json").write_text("[]"), "must hold a JSON object"),
        (lambda directory: (directory / "config.json").write_text("{"), "config.json:1: not valid JSON"),
    ],
)
def test_a_spoilt_directory_is_a_clear_error(
    tiny_model: MakeModel, tiny_tokenizer: Tokenizer, tmp_path: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    save_model(tiny_model(), tmp_path, tiny_tokenizer)
    spoil(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_directory_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model directory"):
        load_model(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"hidden_size": 30, "num_attention_heads": 4}, "multiple of num_attention_heads"),
        ({"hidden_size": 12, "num_attention_heads": 4}, "must be even for rotary"),
        ({"num_attention_heads": 4, "num_key_value_heads": 3}, "multiple of num_key_value_heads"),
        ({"family": "gpt2", "num_key_value_heads": 2}, "gpt2 has one key/value head"),
        ({"depth": 3}, "Extra inputs"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(shape: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig(**shape)
