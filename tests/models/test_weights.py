"""Weights as people have them: in shards, in half precision, beside a tokenizer; what is not there is named."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from preceptor.errors import InputError
from preceptor.models.checkpoint import load_language_model, load_model, save_model, write_model
from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer

MakeModel = Callable[..., Transformer]
IDS = torch.arange(7, 19).view(2, 6)


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | changes))


def shard(directory: Path) -> list[Path]:
    """Divide model.safetensors in three, as large models come."""
    whole = load_file(directory / "model.safetensors")
    names = sorted(whole)
    weight_map, files = {}, []
    for part in range(3):
        file = f"model-{part + 1:05}-of-00003.safetensors"
        save_file({name: whole[name] for name in names[part::3]}, directory / file)
        weight_map |= dict.fromkeys(names[part::3], file)
        files.append(directory / file)
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return files


@pytest.fixture
def saved(tiny_model: MakeModel, tiny_tokenizer: Tokenizer, tmp_path: Path) -> Path:
    save_model(tiny_model(), tmp_path, tiny_tokenizer)
    return tmp_path


def test_shards_are_read_as_one(tiny_model: MakeModel, saved: Path) -> None:
    shard(saved)
    with torch.no_grad():
        assert torch.equal(load_language_model(saved)(IDS), tiny_model()(IDS))


def _lose_a_tensor(saved: Path, files: list[Path]) -> None:
    held = load_file(files[1])
    held.pop(sorted(held)[0])
    save_file(held, files[1])


def _outside(saved: Path, files: list[Path]) -> None:
    index = saved / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00002", "../model-00002"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda saved, files: files[1].unlink(), "model-00002-of-00003.safetensors: no such file; a shard that"),
        (lambda saved, files: files[2].write_bytes(b"torn"), "model-00003-of-00003.safetensors: is not a whole"),
        (_lose_a_tensor, "model-00002-of-00003.safetensors: lacks .*, which model.safetensors.index.json says"),
        (_outside, "index.json: has no weight_map from tensors to files beside it"),
        (lambda saved, files: edit(saved / "model.safetensors.index.json", weight_map=None), "has no weight_map"),
    ],
    ids=["missing", "torn", "short", "outside", "no-map"],
)
def test_a_spoilt_shard_is_named(saved: Path, spoil: Callable[[Path, list[Path]], Any], message: str) -> None:
    spoil(saved, shard(saved))
    with pytest.raises(InputError, match=message) as caught:
        load_model(saved)
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_refused(saved: Path) -> None:
    (saved / "model.safetensors").rename(saved / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin, which would have to be unpickled"):
        load_model(saved)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_as_float32(saved: Path, dtype: torch.dtype) -> None:
    whole = {name: tensor.to(dtype) for name, tensor in load_file(saved / "model.safetensors").items()}
    save_file(whole, saved / "model.safetensors")
    model = load_language_model(saved)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.embed.weight, whole["model.embed_tokens.weight"].float())


def test_quantised_weights_are_refused(saved: Path) -> None:
    edit(saved / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(InputError, match=r"its weights are quantised \(gptq\)"):
        load_model(saved)


@pytest.mark.parametrize(
    ("config", "generation", "first", "stops"),
    [
        (2, None, 2, ()),
        (2, 2, 2, ()),
        (2, [5, 2], 2, (2, 5)),
        ([5, 6], 2, 5, (5, 6, 2)),
        (None, [7], 7, ()),
        (None, None, None, ()),
    ],
)
def test_every_id_that_ends_a_response_is_kept(
    saved: Path, tmp_path: Path, config: Any, generation: Any, first: int | None, stops: tuple[int, ...]
) -> None:
    edit(saved / "config.json", eos_token_id=config)
    edit(saved / "generation_config.json", eos_token_id=generation)
    model = load_language_model(saved)
    assert (model.config.eos_token_id, model.config.stop_token_ids) == (first, stops)
    write_model(model, tmp_path / "again")
    assert load_model(tmp_path / "again").config == model.config
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "again")
    assert theirs.generation_config.eos_token_id == (list(stops) or first)


def test_a_tokenizer_may_have_fewer_tokens_than_the_weights_but_not_more(saved: Path) -> None:
    whole = load_file(saved / "model.safetensors")
    rows = len(whole["model.embed_tokens.weight"])
    padded = torch.cat([whole["model.embed_tokens.weight"], torch.zeros(10, 16)])
    save_file(whole | {"model.embed_tokens.weight": padded}, saved / "model.safetensors")
    edit(saved / "config.json", vocab_size=rows + 10)
    assert load_language_model(saved).config.vocab_size == rows + 10
    save_file(whole | {"model.embed_tokens.weight": padded[: rows - 1].clone()}, saved / "model.safetensors")
    edit(saved / "config.json", vocab_size=rows - 1)
    with pytest.raises(
        InputError, match=f"tokenizer.json: has a token {rows - 1}, but the weights have {rows - 1} rows"
    ):
        load_model(saved)


def _with_a_token_beyond(saved: Path, special: bool, **config: Any) -> None:
    tokenizer = json.loads((saved / "tokenizer.json").read_text())
    rows = json.loads((saved / "config.json").read_text())["vocab_size"]
    spare = tokenizer["added_tokens"][0] | {"id": rows, "content": "<image>", "special": special}
    tokenizer["added_tokens"].append(spare)
    (saved / "tokenizer.json").write_text(json.dumps(tokenizer))
    edit(saved / "tokenizer_config.json", **config)


def test_a_special_token_that_no_text_becomes_may_lie_beyond_the_weights(saved: Path) -> None:
    _with_a_token_beyond(saved, special=True)
    assert isinstance(load_model(saved), Transformer)


@pytest.mark.parametrize(
    ("special", "config"),
    [
        (False, {}),
        (True, {"eos_token": "<image>"}),
        (True, {"pad_token": {"content": "<image>"}}),
        (True, {"chat_template": "{{ messages }}<image>"}),
        (True, {"chat_template": [{"name": "default", "template": "<image>"}]}),
    ],
)
def test_a_token_that_is_used_may_not(saved: Path, special: bool, config: dict[str, Any]) -> None:
    _with_a_token_beyond(saved, special, **config)
    with pytest.raises(InputError, match=r"tokenizer\.json: has a token \d+, but the weights have"):
        load_model(saved)
    (saved / "tokenizer_config.json").write_text("{}")
    (saved / "chat_template.jinja").write_text("<image>")
    with pytest.raises(InputError, match=r"tokenizer\.json: has a token"):
        load_model(saved)


def test_the_text_part_of_a_model_with_eyes_is_read(tmp_path: Path) -> None:
    text = {
        "model_type": "gemma3_text", "vocab_size": 50, "hidden_size": 32, "intermediate_size": 44, "head_dim": 8,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 4,
        "max_position_embeddings": 32, "layer_types": ["sliding_attention", "full_attention"],
    }  # fmt: skip
    eyes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "image_size": 28, "patch_size": 14}  # fmt: skip
    config = transformers.Gemma3Config(text_config=text, vision_config=eyes, mm_tokens_per_image=1, eos_token_id=[1, 6])
    theirs = transformers.Gemma3ForConditionalGeneration(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = load_language_model(tmp_path)
    assert ours.config.stop_token_ids[:2] == (1, 6)
    ids = torch.arange(10, 34).view(2, 12)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(input_ids=ids).logits, atol=1e-5, rtol=1e-5)


def test_loading_holds_the_weights_about_once(tiny_model: MakeModel, tmp_path: Path) -> None:
    """The most that was ever resident, in a process of its own, beyond the file that is mapped."""
    shape = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 4}
    model = tiny_model(**shape)
    write_model(model, tmp_path)
    size = sum(parameter.numel() * 4 for parameter in model.parameters())
    assert size > 80e6, "too small to be seen"
    script = (
        "import resource, sys, torch\n"
        "from preceptor.models.checkpoint import load_model\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); load_model(sys.argv[1]); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    held = int(done.stdout) * (1 if sys.platform == "darwin" else 1024)
    assert held < 2.2 * size, f"{held / size:.2f} times the weights"
