"""A written GGUF file says what the model says: to our reader, and to the one of transformers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Quantisation
from gguf import quants

from preceptor.errors import InputError
from preceptor.models.checkpoint import load_language_model, new_model, open_language_model, save_model
from preceptor.models.config import ModelConfig
from preceptor.models.gguf.convert import convert_gguf
from preceptor.models.gguf.export import export_gguf
from preceptor.text.conversation import Message, render_prompt
from preceptor.text.tokenizer import Tokenizer

EXAMPLES = ("llama", "llama-3", "llama-linear", "qwen2", "qwen3", "gptneox", "gpt2")
IDS = torch.randint(300, (2, 20), generator=torch.Generator().manual_seed(0))
TEXTS = ["the 123 things in\n\n  it's Straße 北京 😀", "<|user|>", "  "]


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A model that Preceptor made, in its directory."""
    tokenizer = Tokenizer.train(["the cat sat on the mat, and that is that; 123 and 456"] * 3, 290)
    small = ModelConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    model = new_model(small, tokenizer, causal=True, generator=torch.Generator().manual_seed(1))
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
    save_model(model, tmp_path / "ours", tokenizer)
    return tmp_path / "ours"


@pytest.mark.parametrize("name", EXAMPLES)
def test_there_and_back_is_the_same_model(
    name: str, example: Callable[[str], Any], gguf_file: Callable[..., Path], tmp_path: Path
) -> None:
    convert_gguf(gguf_file(example(name), tokenizer__ggml__eot_token_id=1), tmp_path / "first")
    model, tokenizer = open_language_model(tmp_path / "first")
    export_gguf(model, tokenizer, tmp_path / "again.gguf")
    convert_gguf(tmp_path / "again.gguf", tmp_path / "second")
    back, back_tokenizer = open_language_model(tmp_path / "second")
    assert back.config == model.config
    torch.testing.assert_close(back(IDS), model(IDS), atol=0, rtol=0)
    for text in TEXTS:
        assert back_tokenizer.encode(text) == tokenizer.encode(text)
    assert back_tokenizer.eos_ids == tokenizer.eos_ids and back_tokenizer.pad_id == tokenizer.pad_id


def test_a_model_of_ours_is_read_by_transformers(ours: Path, tmp_path: Path) -> None:
    model, tokenizer = open_language_model(ours)
    export_gguf(model, tokenizer, tmp_path / "ours.gguf")
    read = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="ours.gguf", dtype=torch.float32)
    ids = torch.tensor([tokenizer.encode("the cat sat")])
    with torch.no_grad():
        torch.testing.assert_close(read.eval()(ids).logits[..., : model.config.vocab_size], model(ids))
    theirs = read.generate(ids, max_new_tokens=12, do_sample=False)
    once = transformers.AutoModelForCausalLM.from_pretrained(ours).generate(ids, max_new_tokens=12, do_sample=False)
    assert theirs.tolist() == once.tolist()


def test_the_chat_template_goes_along(ours: Path, tmp_path: Path) -> None:
    model, tokenizer = open_language_model(ours)
    export_gguf(model, tokenizer, tmp_path / "ours.gguf")
    convert_gguf(tmp_path / "ours.gguf", tmp_path / "back")
    asked = [Message(role="system", content="Be kind."), Message(role="user", content="the cat? <|end|>")]
    back = Tokenizer.load(tmp_path / "back")
    assert render_prompt(back, asked, 100).ids == render_prompt(tokenizer, asked, 100).ids


@pytest.mark.parametrize(("precision", "kind"), [("f16", Quantisation.F16), ("q8_0", Quantisation.Q8_0)])
def test_fewer_bits_change_the_matrices_and_nothing_else(
    precision: Any, kind: Quantisation, ours: Path, tmp_path: Path
) -> None:
    model, tokenizer = open_language_model(ours)
    export_gguf(model, tokenizer, tmp_path / "whole.gguf")
    export_gguf(model, tokenizer, tmp_path / "small.gguf", precision)
    assert (tmp_path / "small.gguf").stat().st_size < (tmp_path / "whole.gguf").stat().st_size
    convert_gguf(tmp_path / "small.gguf", tmp_path / "back")
    for parameter in model.parameters():
        if parameter.ndim == 2:
            values = quants.dequantize(quants.quantize(parameter.detach().numpy(), kind), kind)
            parameter.data = torch.from_numpy(values.copy()).view(parameter.shape)
    torch.testing.assert_close(load_language_model(tmp_path / "back")(IDS % 290), model(IDS % 290))


def test_what_cannot_be_written_is_one_line_and_nothing_is_written(ours: Path, tmp_path: Path) -> None:
    model, tokenizer = open_language_model(ours)
    whole = model.config
    for change, words in (
        ({"family": "gemma3_text"}, "gemma3"),
        ({"sliding_window": 8}, "sliding"),
        ({"causal": False}, "masked"),
    ):
        model.config = replace(whole, **change)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=words):
            export_gguf(model, tokenizer, tmp_path / "no.gguf")
    assert not list(tmp_path.glob("*.gguf*"))
