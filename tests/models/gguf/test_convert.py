"""A GGUF file becomes a Hugging Face directory that computes what the model it was made from computes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Quantisation
from gguf import quants

from preceptor.errors import InputError
from preceptor.models.checkpoint import load_language_model
from preceptor.models.gguf.convert import convert_gguf
from preceptor.models.sources import find_model

EXAMPLES = ("llama", "llama-3", "llama-linear", "qwen2", "qwen3", "gemma3", "gptneox", "gpt2")
IDS = torch.randint(300, (2, 20), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", EXAMPLES)
def test_logits_are_those_of_the_model(
    name: str, example: Callable[[str], Any], gguf_file: Callable[..., Path], tmp_path: Path
) -> None:
    made = example(name)
    convert_gguf(gguf_file(made), tmp_path / "model")
    read, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", dtype=torch.float32, output_loading_info=True
    )
    assert type(read) is type(made.model)
    assert not any(info.values()), info
    with torch.no_grad():
        expected = made.model(IDS).logits
        assert expected.std() > 0.1
        torch.testing.assert_close(load_language_model(tmp_path / "model")(IDS), expected, atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(read.eval()(IDS).logits, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [Quantisation.Q8_0, Quantisation.Q4_1, Quantisation.Q5_0, Quantisation.F16])
def test_quantised_weights_are_read(
    kind: Quantisation, example: Callable[[str], Any], gguf_file: Callable[..., Path], tmp_path: Path
) -> None:
    made = example("qwen2")
    convert_gguf(gguf_file(made, quantisation=kind), tmp_path / "model")
    for parameter in made.model.parameters():
        if parameter.ndim == 2:
            values = quants.dequantize(quants.quantize(parameter.detach().numpy(), kind), kind)
            parameter.data = torch.from_numpy(np.array(values)).view(parameter.shape)
    with torch.no_grad():
        expected = made.model(IDS).logits
        torch.testing.assert_close(load_language_model(tmp_path / "model")(IDS), expected, atol=2e-5, rtol=1e-5)


def test_llama_3s_scaling_is_told_from_its_factors(
    example: Callable[[str], Any], gguf_file: Callable[..., Path], tmp_path: Path
) -> None:
    convert_gguf(gguf_file(example("llama-3")), tmp_path / "model")
    scaling = load_language_model(tmp_path / "model").config.rope_scaling
    assert scaling is not None
    assert (scaling.kind, scaling.factor, scaling.original_max_position_embeddings) == ("llama3", 4.0, 8192)


def test_special_ids_and_ends_are_kept(
    example: Callable[[str], Any], gguf_file: Callable[..., Path], tmp_path: Path
) -> None:
    convert_gguf(gguf_file(example("llama"), tokenizer__ggml__eot_token_id=1), tmp_path / "model")
    config = load_language_model(tmp_path / "model").config
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (0, 0, 2)
    assert config.stop_token_ids == (0, 1)
    assert config.norm_eps == 1e-3, "the decimal number that was meant, not its 32 bits"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"general__architecture": "mamba"}, "unknown GGUF architecture 'mamba'; the known ones are gemma3, gpt2,"),
        ({"llama__block_count": None}, "its metadata lacks llama.block_count"),
        ({"llama__block_count": 3}, "lacks the tensor 'blk.2.attn_norm.weight'"),
        ({"llama__block_count": 1}, "has a tensor blk.1.attn_k.weight, for which this decoder has no place"),
        ({"llama__attention__head_count": 3}, "its metadata do not fit together"),
        ({"llama__embedding_length": 64}, "its tensors do not fit its metadata"),
        ({"llama__expert_count": 8}, "a mixture of experts is not supported"),
        ({"llama__rope__scaling__type": "yarn"}, "rotary scaling 'yarn' is not supported"),
        ({"drop": "token_embd.weight"}, "lacks the tensor 'token_embd.weight'"),
        ({"tokenizer__ggml__model": "t5"}, "unknown tokenizer 't5'"),
        ({"tokenizer__ggml__pre": "viking"}, "its tokenizer splits text as 'viking'; the known ways are gpt-2,"),
        ({"tokenizer__ggml__tokens": None}, "its metadata lacks tokenizer.ggml.tokens"),
        ({"tokenizer__ggml__merges": ["t zz"]}, "its merges do not fit its tokens"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_cannot_be_read_is_one_line_and_nothing_is_written(
    changes: dict[str, Any], message: str, example: Callable[[str], Any], gguf_file: Callable[..., Path], tmp_path: Path
) -> None:
    path = gguf_file(example("llama"), **changes)
    with pytest.raises(InputError, match=message) as caught:
        convert_gguf(path, tmp_path / "out" / "model")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_an_unreadable_quantisation_is_named(
    example: Callable[[str], Any], gguf_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = gguf_file(example("llama"), quantisation=Quantisation.Q8_0)
    monkeypatch.delitem(quants._type_traits, Quantisation.Q8_0)  # as if the library could not
    with pytest.raises(InputError, match=r"token_embd\.weight is quantised as Q8_0, which cannot be read"):
        convert_gguf(path, tmp_path / "model")


@pytest.mark.parametrize("keep", [0, 4, 40, 2000, 20_000])
def test_a_torn_file_is_named(
    keep: int, example: Callable[[str], Any], gguf_file: Callable[..., Path], tmp_path: Path
) -> None:
    path = gguf_file(example("llama"))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"model\.gguf: is not a whole GGUF file"):
        convert_gguf(path, tmp_path / "model")


def test_rotary_factors_of_another_kind_are_refused(
    example: Callable[[str], Any], gguf_file: Callable[..., Path], tmp_path: Path
) -> None:
    made = example("llama-3")
    made.extra["rope_freqs.weight"] = np.linspace(1, 4, 16, dtype=np.float32)
    with pytest.raises(InputError, match="its rotary factors"):
        convert_gguf(gguf_file(made), tmp_path / "model")


def test_a_file_that_a_user_names_ends_as_a_model_with_a_tokenizer(
    example: Callable[[str], Any], gguf_file: Callable[..., Path], tmp_path: Path
) -> None:
    directory = find_model(gguf_file(example("llama")), tmp_path / "cache")
    assert load_language_model(directory).config.vocab_size == 300
    names = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert {file.name for file in directory.iterdir()} == names
