"""Adapters stand for a model: their base is found, and its tokenizer and rows come with it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.foreign import CHATML
from tests.foreign import write_model as write_foreign
from tests.models.adapters import near, ours, shake, take_in, theirs

from preceptor.errors import InputError
from preceptor.models.checkpoint import (
    load_language_model,
    load_model,
    load_scalar_model,
    open_language_model,
)
from preceptor.models.heads import ScalarModel
from preceptor.models.lora import LoRAConfig, fresh_adapters
from preceptor.models.peft import CONFIG, base_of, save_adapters
from preceptor.models.sources import find_model
from preceptor.text.tokenizer import Tokenizer


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
