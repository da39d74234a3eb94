"""Both families against transformers: what one writes the other reads, and both compute the same."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from preceptor.errors import InputError
from preceptor.generation.engine import generate
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.checkpoint import load_language_model, load_model, load_scalar_model, write_model
from preceptor.models.config import ModelConfig
from preceptor.models.families import family
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer

VOCAB, CONTEXT = 50, 32


def near(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def ids(batch: int = 3, time: int = 17, seed: int = 0) -> Tensor:
    return torch.randint(VOCAB, (batch, time), generator=torch.Generator().manual_seed(seed))


def shake(module: torch.nn.Module) -> None:
    """Random values for every parameter, norms and biases too, so that none can be forgotten unseen."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        centre = parameter.data.mean() if parameter.ndim == 1 else 0.0
        parameter.data = centre + 0.2 * torch.randn(parameter.shape, generator=generator)


def their_llama(**changes: Any) -> Any:
    config = transformers.LlamaConfig(
        **{
            "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 3,
            "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": CONTEXT,
            "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "rms_norm_eps": 1e-3,
        } | changes
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def their_gpt2(**changes: Any) -> Any:
    config = transformers.GPT2Config(
        **{
            "vocab_size": VOCAB, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": CONTEXT,
            "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
            "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        } | changes
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


THEIRS: dict[str, Callable[[], Any]] = {
    "llama": lambda: their_llama(tie_word_embeddings=False),
    "llama-tied": lambda: their_llama(tie_word_embeddings=True),
    "llama-gqa": lambda: their_llama(num_key_value_heads=2),
    "llama-wide-heads": lambda: their_llama(num_key_value_heads=1, head_dim=12),
    "llama-theta": lambda: their_llama(rope_parameters={"rope_type": "default", "rope_theta": 500.0}),
    "gpt2": their_gpt2,
    "gpt2-untied": lambda: their_gpt2(tie_word_embeddings=False),
    "gpt2-inner": lambda: their_gpt2(n_inner=40),
}

OURS: dict[str, dict[str, Any]] = {
    "llama": {"family": "llama", "num_key_value_heads": 4},
    "llama-gqa-untied": {
        "family": "llama",
        "num_key_value_heads": 2,
        "tie_word_embeddings": False,
        "rope_theta": 700.0,
    },
    "gpt2": {"family": "gpt2", "num_key_value_heads": 4},
    "gpt2-untied": {"family": "gpt2", "num_key_value_heads": 4, "tie_word_embeddings": False},
}


def our_model(name: str, **changes: Any) -> Transformer:
    table = ModelConfig(
        hidden_size=32, intermediate_size=44, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=CONTEXT, **OURS[name],
    )  # fmt: skip
    config = family(table.family, "test").configure(table, VOCAB)
    model = Transformer(replace(config, pad_token_id=0, bos_token_id=1, eos_token_id=2, **changes))
    shake(model)
    return model.eval()


def written(model: Transformer | ScalarModel, directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    write_model(model, directory)
    return directory


@pytest.mark.parametrize("name", THEIRS)
def test_we_read_theirs(name: str, tmp_path: Path) -> None:
    theirs = THEIRS[name]().eval()
    shake(theirs)
    theirs.save_pretrained(tmp_path)
    ours = load_language_model(tmp_path)
    assert ours.config.tie_word_embeddings == theirs.config.tie_word_embeddings
    assert (ours.head.weight is ours.embed.weight) == ours.config.tie_word_embeddings
    with torch.no_grad():
        near(ours(ids()), theirs(ids()).logits)


@pytest.mark.parametrize("name", OURS)
def test_they_read_ours(name: str, tmp_path: Path) -> None:
    ours = our_model(name)
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(
        written(ours, tmp_path), dtype=torch.float32, output_loading_info=True
    )
    assert not any(info.values()), info  # nothing missing, left over or of another shape
    with torch.no_grad():
        near(ours(ids()), theirs.eval()(ids()).logits)
        near(load_language_model(tmp_path)(ids()), ours(ids()))
    special = theirs.generation_config
    assert (special.pad_token_id, special.bos_token_id, special.eos_token_id) == (0, 1, 2)


@pytest.mark.parametrize("name", OURS)
def test_their_greedy_generate_equals_our_engine(name: str, tmp_path: Path) -> None:
    ours = our_model(name)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(written(ours, tmp_path), dtype=torch.float32).eval()
    prompts = [row[: 3 + 2 * i].tolist() for i, row in enumerate(ids(batch=6))]
    made = generate(ours, prompts, SamplingConfig(temperature=0, max_new_tokens=12), eos_id=2, pad_id=0)
    for prompt, (mine,) in zip(prompts, made, strict=True):
        row = torch.tensor([prompt])
        output = theirs.generate(row, attention_mask=torch.ones_like(row), do_sample=False, max_new_tokens=12)
        assert mine.ids == output[0, len(prompt) :].tolist()


@pytest.mark.parametrize("name", ["llama", "llama-gqa-untied", "gpt2"])
def test_bidirectional_equals_theirs_under_an_open_mask(name: str, tmp_path: Path) -> None:
    ours = our_model(name, causal=False)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        written(ours, tmp_path), dtype=torch.float32, attn_implementation="eager"
    ).eval()
    open_mask = torch.zeros(3, 1, 17, 17)  # added to the scores
    with torch.no_grad():
        expected = theirs(ids(), attention_mask=open_mask).logits
        near(ours(ids()), expected)
        again = load_language_model(tmp_path)
        assert not again.config.causal
        near(again(ids()), expected)
        causal = our_model(name)
        assert not torch.allclose(causal(ids()), expected, atol=1e-2)


@pytest.mark.parametrize("name", OURS)
def test_scores_with_their_bias_survive_and_transformers_reads_them(name: str, tmp_path: Path) -> None:
    ours = ScalarModel(our_model(name))
    shake(ours)
    ours.score.bias.data.fill_(0.75)
    theirs, info = transformers.AutoModelForTokenClassification.from_pretrained(
        written(ours.eval(), tmp_path), dtype=torch.float32, output_loading_info=True
    )
    expected_class = {"llama": "LlamaForTokenClassification", "gpt2": "GPT2ForTokenClassification"}
    assert type(theirs).__name__ == expected_class[ours.trunk.config.family]
    assert not any(info.values()), info
    with torch.no_grad():
        scores = ours(ids())
        assert scores.shape == (3, 17)
        near(scores, theirs.eval()(ids()).logits[..., 0])
        near(load_scalar_model(tmp_path)(ids()), scores)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both-ways"])
def test_padding_changes_no_logit(name: str, causal: bool) -> None:
    model, tokens = our_model(name, causal=causal), ids(batch=2, time=9)
    with torch.no_grad():
        plain = model(tokens)
        for left, right in ((1, 0), (4, 0), (0, 5), (3, 2)):
            padded = torch.nn.functional.pad(tokens, (left, right))
            segments = torch.nn.functional.pad(torch.ones_like(tokens), (left, right))
            near(model(padded, segments)[:, left : left + 9], plain)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both-ways"])
def test_packing_equals_one_by_one(name: str, causal: bool) -> None:
    model = our_model(name, causal=causal)
    pieces = [ids(1, time, seed)[0] for seed, time in enumerate((5, 1, 9, 7))]
    packed = torch.cat([*pieces, torch.zeros(3, dtype=torch.int64)])[None]
    lengths = torch.tensor([5, 1, 9, 7, 3])
    segments = torch.tensor([1, 2, 3, 4, 0]).repeat_interleave(lengths)[None]
    with torch.no_grad():
        together = model(packed, segments)[0].split(lengths.tolist())
        for piece, logits in zip(pieces, together, strict=False):
            near(logits, model(piece[None])[0])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return written(our_model("llama"), tmp_path / "model")


def edit_config(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_unknown_family_lists_the_known(saved: Path) -> None:
    edit_config(saved, model_type="mamba")
    with pytest.raises(
        InputError, match=r"config\.json: unknown model family 'mamba'; the known ones are gemma3, .*gpt2, .*llama"
    ):
        load_model(saved)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(saved: Path, missing: str) -> None:
    (saved / missing).unlink()
    with pytest.raises(InputError, match=missing):
        load_model(saved)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        load_model(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0, 4, 100, 5000], ids=lambda keep: f"{keep}-bytes")
def test_torn_weights_are_named(saved: Path, keep: int) -> None:
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"model\.safetensors: is not a whole safetensors file"):
        load_model(saved)


def test_weights_of_another_shape_or_of_too_few_layers_are_named(saved: Path) -> None:
    edit_config(saved, num_hidden_layers=4)
    with pytest.raises(InputError, match="the weights lack"):
        load_model(saved)
    edit_config(saved, num_hidden_layers=3, vocab_size=VOCAB + 1)
    with pytest.raises(InputError, match="do not fit"):
        load_model(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"attention_bias": True},
        {"hidden_act": "relu"},
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}},
        {"num_key_value_heads": 3},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_the_decoder_does_not_have_is_refused(saved: Path, changes: dict[str, Any]) -> None:
    edit_config(saved, **changes)
    with pytest.raises(InputError, match=r"config\.json"):
        load_model(saved)


def test_the_wrong_head_is_named(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a language model"):
        load_scalar_model(saved)
    reward = written(ScalarModel(our_model("gpt2")), tmp_path / "reward")
    with pytest.raises(InputError, match="is a reward model"):
        load_language_model(reward)
