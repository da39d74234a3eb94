"""Adapters on disk against the peft library: it reads ours, we read its, and both compute the same."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tests.foreign import CHATML
from tests.foreign import write_model as write_foreign
from torch import Tensor

from preceptor.errors import InputError
from preceptor.models.checkpoint import (
    load_language_model,
    load_model,
    load_scalar_model,
    open_language_model,
    save_model,
    write_model,
)
from preceptor.models.config import ModelConfig
from preceptor.models.families import OUTSIDE_BLOCKS
from preceptor.models.families import family as family_of
from preceptor.models.heads import ScalarModel
from preceptor.models.lora import LoRAConfig, fresh_adapters, own_parameters
from preceptor.models.peft import CONFIG, TENSORS, base_of, fits, load_adapters, save_adapters
from preceptor.models.sources import find_model
from preceptor.models.transformer import Transformer
from preceptor.stages.import_model import import_model
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.progress import Progress

VOCAB = 60
SMALL = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 48, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
GQA = SMALL | {"num_key_value_heads": 2}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", GQA),
    "qwen2": ("Qwen2", GQA),
    "gemma3": (
        "Gemma3",
        GQA
        | {"head_dim": 16, "sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "neox": ("GPTNeoX", SMALL | {"rotary_pct": 0.25, "hidden_dropout": 0.0, "classifier_dropout": 0.0}),
    "gpt2": (
        "GPT2",
        {"vocab_size": VOCAB, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 48, "pad_token_id": 0,
         "bos_token_id": 1, "eos_token_id": 2, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    ),
}  # fmt: skip
TARGETS = {
    "llama": ["q_proj", "v_proj", "down_proj"],
    "qwen2": ["k_proj", "up_proj"],
    "gemma3": ["o_proj", "gate_proj"],
    "neox": ["query_key_value", "dense_4h_to_h"],
    "gpt2": ["c_attn", "mlp.c_proj"],
}
IDS = torch.randint(3, VOCAB, (2, 11), generator=torch.Generator().manual_seed(0))


def shake(parameters: Any, scale: float) -> None:
    generator = torch.Generator().manual_seed(1)
    for parameter in parameters:
        centre = parameter.data.mean() if parameter.ndim == 1 else 0.0
        parameter.data = centre + scale * torch.randn(parameter.shape, generator=generator)


def near(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=3e-5, rtol=1e-5)


@pytest.fixture(params=SHAPES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def make_base(tmp_path: Path) -> Callable[[str], Path]:
    """make_base(family): a base model's directory, as transformers writes it."""

    def make(family: str, name: str = "base", **shape: Any) -> Path:
        kind, config = SHAPES[family]
        text = "Text" if kind == "Gemma3" else ""
        model = getattr(transformers, kind + ("LMHeadModel" if kind == "GPT2" else "ForCausalLM"))(
            getattr(transformers, f"{kind}{text}Config")(**config | shape)
        )
        shake(model.parameters(), 0.2)
        model.save_pretrained(tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def base(make_base: Callable[[str], Path], family: str) -> Path:
    return make_base(family)


def ours(base: Path, config: LoRAConfig) -> Transformer:
    model = fresh_adapters(load_language_model(base), config, 0, "x")
    shake(own_parameters(model).values(), 0.3)
    return model


def theirs(base: Path, targets: Any, out: Path, **keys: Any) -> Any:
    """peft's adapters, saved in ``out``, and its model."""
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    config = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=targets, **{"r": 4, "lora_alpha": 12} | keys)
    adapted = peft.get_peft_model(model, config).eval()
    shake([p for name, p in adapted.named_parameters() if "lora_" in name], 0.3)
    adapted.save_pretrained(out)
    return adapted


def take_in(source: Path, out: Path) -> dict[str, Any]:
    """`preceptor import`."""
    return import_model(ModelConfig(start=source), out=out, seed=0, progress=Progress(quiet=True))


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


@pytest.fixture
def tiny_base(tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """A base model of ours, with its tokenizer."""
    save_model(tiny_model(), tmp_path / "tiny", tiny_tokenizer)
    return tmp_path / "tiny"


def test_adapters_stand_for_a_model(tiny_base: Path, tmp_path: Path) -> None:
    model = theirs(tiny_base, ["q_proj", "up_proj"], tmp_path / "adapter")
    directory = find_model(tmp_path / "adapter", tmp_path / "cache")
    ids = torch.arange(7, 19)[None]
    with torch.no_grad():
        near(load_language_model(directory)(ids), model(ids).logits)
    assert Tokenizer.load(directory).fingerprint == Tokenizer.load(tiny_base).fingerprint
    written = (directory / "model.safetensors").stat().st_mtime_ns
    assert find_model(tmp_path / "adapter", tmp_path / "cache") == directory
    assert (directory / "model.safetensors").stat().st_mtime_ns == written, "merged once"
    config = json.loads((tmp_path / "adapter" / CONFIG).read_text())
    (tmp_path / "adapter" / CONFIG).write_text(json.dumps(config | {"lora_alpha": 1}))
    assert find_model(tmp_path / "adapter", tmp_path / "cache") != directory
    with pytest.raises(InputError, match="holds adapters without their base"):
        load_model(tmp_path / "adapter")


def test_a_base_that_is_gone_is_named(tiny_base: Path, tmp_path: Path) -> None:
    theirs(tiny_base, ["q_proj"], tmp_path / "adapter")
    tiny_base.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"adapter: the base of its adapters cannot be had: .*no such model") as caught:
        find_model(tmp_path / "adapter", tmp_path / "cache")
    assert "\n" not in str(caught.value)
    config = json.loads((tmp_path / "adapter" / CONFIG).read_text())
    (tmp_path / "adapter" / CONFIG).write_text(
        json.dumps(config | {"base_model_name_or_path": str(tmp_path / "adapter")})
    )
    with pytest.raises(InputError, match="name themselves as their base"):
        find_model(tmp_path / "adapter", tmp_path / "cache")


def test_a_base_of_the_hub_keeps_its_id(tiny_base: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "hub/models--anna--tiny-1/snapshots" / ("ab" * 20)
    snapshot.parent.mkdir(parents=True)
    tiny_base.rename(snapshot)
    config = LoRAConfig(rank=2)
    save_adapters(fresh_adapters(load_language_model(snapshot), config, 0), tmp_path / "adapter", config, snapshot)
    assert base_of(tmp_path / "adapter") == "anna/tiny-1@" + "ab" * 20


def test_a_base_named_from_here_is_found_from_elsewhere(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    base, config = Path(tiny_base.name), LoRAConfig(rank=2)
    save_adapters(fresh_adapters(load_language_model(base), config, 0), tmp_path / "adapter", config, base)
    monkeypatch.chdir("/")
    assert find_model(tmp_path / "adapter", tmp_path / "cache").is_dir()


# a base without a chat template ------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("spare", [0, 8])
def test_adapters_over_a_base_without_a_template_come_in_as_the_base_does(
    tmp_path: Path, spare: int, tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the rows are as many as the tokens or more: the same role markers, and rows for them in the same way."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    known = Tokenizer.load(write_foreign(tmp_path / "base", template=None)).vocab_size - 3
    base = write_foreign(tmp_path / "base", template=None, vocab_size=known + spare, tie_word_embeddings=tied)
    trained = theirs(base, ["q_proj", "down_proj"], tmp_path / "adapter")
    summaries = [take_in(base, tmp_path / "plain"), take_in(tmp_path / "adapter", tmp_path / "merged")]
    assert summaries[0]["added_tokens"] == ["<|system|>", "<|user|>", "<|assistant|>"]
    assert summaries[1] == summaries[0] | {"source": str(tmp_path / "adapter")}
    plain, merged = (open_language_model(tmp_path / name) for name in ("plain", "merged"))
    assert merged[1].fingerprint == plain[1].fingerprint
    assert torch.equal(merged[0].embed.weight, plain[0].embed.weight)
    assert torch.equal(merged[0].head.weight, plain[0].head.weight)
    ids = torch.tensor([merged[1].encode("ann likes bob. dan sees eve.")])
    with torch.no_grad():
        near(merged[0](ids)[..., :known], trained(ids).logits[..., :known])
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        assert (tmp_path / "merged" / name).read_text() == (tmp_path / "plain" / name).read_text()


def test_the_tokenizer_beside_adapters_is_taken_and_the_ends_that_the_base_names(tmp_path: Path) -> None:
    base = write_foreign(tmp_path / "base", template=None)
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 5]}))
    theirs(base, ["q_proj"], tmp_path / "adapter")
    shutil.copyfile(base / "tokenizer.json", tmp_path / "adapter/tokenizer.json")
    config = json.loads((base / "tokenizer_config.json").read_text()) | {"chat_template": CHATML}
    (tmp_path / "adapter/tokenizer_config.json").write_text(json.dumps(config))
    before = find_model(tmp_path / "adapter", tmp_path / "cache")
    text = open_language_model(before)[1]
    assert text.has_own_template
    assert not text.added
    assert text.eos_ids == (2, 5)
    (tmp_path / "adapter/tokenizer_config.json").unlink()
    after = find_model(tmp_path / "adapter", tmp_path / "cache")
    assert after != before, "a changed template is another model"
    assert not open_language_model(after)[1].has_own_template


def test_a_reward_model_of_adapters_over_a_base_without_a_template_has_rows_for_the_markers(tmp_path: Path) -> None:
    base = write_foreign(tmp_path / "base", template=None)
    config = LoRAConfig(rank=2)
    trained = ScalarModel(ours(base, config))
    shake(trained.score.parameters(), 0.3)
    save_adapters(trained, tmp_path / "adapter", config, base)
    directory = find_model(tmp_path / "adapter", tmp_path / "cache")
    text, model = Tokenizer.load(directory), load_scalar_model(directory)
    assert not text.added
    assert model.trunk.config.vocab_size == text.vocab_size == trained.trunk.config.vocab_size + 3
    ids = torch.tensor([text.encode("ann likes bob.")])
    with torch.no_grad():
        near(model(ids), trained(ids))
    rows = model.trunk.embed.weight
    torch.testing.assert_close(rows[-3:], rows[:-3].mean(0).expand(3, -1))


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
def test_a_tokenizer_that_cannot_be_read_is_named_where_it_lies(tmp_path: Path, file: str) -> None:
    base = write_foreign(tmp_path / "base", template=None)
    theirs(base, ["q_proj"], tmp_path / "adapter")
    (base / file).write_text("[]")
    with pytest.raises(InputError, match=rf"^{base / file}: ") as caught:
        find_model(tmp_path / "adapter", tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_a_tokenizer_that_has_grown_beside_adapters_is_refused(tmp_path: Path) -> None:
    base = write_foreign(tmp_path / "base", template=None)
    theirs(base, ["q_proj"], tmp_path / "adapter")
    larger = write_foreign(tmp_path / "larger", template=None, vocabulary=320)
    shutil.copyfile(larger / "tokenizer.json", tmp_path / "adapter/tokenizer.json")
    with pytest.raises(InputError, match=r"adapter: its tokenizer has more tokens than .*base; adapters for grown"):
        find_model(tmp_path / "adapter", tmp_path / "cache")


# bad input ---------------------------------------------------------------------------------------


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
