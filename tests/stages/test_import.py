"""Taking a pretrained model in: a plain Hugging Face directory comes out, or one clear line and nothing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from preceptor.cli import main
from preceptor.errors import InputError
from preceptor.models.config import ModelConfig
from preceptor.stages.import_model import import_model
from preceptor.text.conversation import Message, render
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.progress import Progress

from ..foreign import CHATML, write_model

TALK = [Message(role="user", content="Say ann"), Message(role="assistant", content="ann likes bob.")]


def take(source: Path | str, out: Path) -> dict[str, Any]:
    return import_model(ModelConfig(start=Path(source)), out=out, seed=0, progress=Progress(quiet=True))


def logits(directory: Path, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return transformers.AutoModelForCausalLM.from_pretrained(directory).eval()(torch.tensor([ids])).logits[0]


def test_a_model_with_a_template_comes_out_as_it_was(tmp_path: Path) -> None:
    source = write_model(tmp_path / "theirs", template=CHATML)
    summary = take(source, tmp_path / "base")
    assert summary["chat_template"] == "own"
    assert summary["added_tokens"] == []
    assert summary["source"] == str(source)
    assert summary["revision"] is None
    ids = render(Tokenizer.load(tmp_path / "base"), TALK).ids
    torch.testing.assert_close(logits(tmp_path / "base", ids), logits(source, ids), rtol=1e-5, atol=1e-5)
    theirs, ours = (
        transformers.AutoTokenizer.from_pretrained(one).apply_chat_template(
            [one.model_dump() for one in TALK], tokenize=False
        )
        for one in (source, tmp_path / "base")
    )
    assert ours == theirs


@pytest.mark.parametrize("tied", [True, False])
def test_a_base_model_gets_role_markers_and_rows_for_them(tmp_path: Path, tied: bool) -> None:
    source = write_model(tmp_path / "theirs", template=None, tie_word_embeddings=tied)
    known = Tokenizer.load(source).vocab_size - len(Tokenizer.load(source).added)
    summary = take(source, tmp_path / "base")
    assert summary["chat_template"] == "ours"
    assert {"<|system|>", "<|user|>", "<|assistant|>"} <= set(summary["added_tokens"])
    text = Tokenizer.load(tmp_path / "base")
    assert not text.added, "they are its own now"
    assert summary["vocab_size"] == text.vocab_size == known + len(summary["added_tokens"])
    ids = render(text, TALK).ids
    assert max(ids) >= known
    found = logits(tmp_path / "base", ids)
    assert found.shape[1] == text.vocab_size
    plain = text.encode("ann likes bob.")
    torch.testing.assert_close(logits(tmp_path / "base", plain)[:, :known], logits(source, plain)[:, :known])
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    for matrix in (model.get_input_embeddings().weight, model.get_output_embeddings().weight):
        torch.testing.assert_close(matrix[known:], matrix[:known].mean(0).expand(len(summary["added_tokens"]), -1))


Spoil = Callable[[Path], None]


def without(name: str) -> Spoil:
    return lambda directory: (directory / name).unlink()


def with_config(**changes: Any) -> Spoil:
    def spoil(directory: Path) -> None:
        path = directory / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def torn(directory: Path) -> None:
    with (directory / "model.safetensors").open("r+b") as file:
        file.truncate(500)


def a_missing_shard(directory: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    (directory / "model.safetensors").unlink()


def too_many_tokens(directory: Path) -> None:
    write_model(directory / "larger", template=CHATML, vocabulary=400)
    shutil.move(directory / "larger" / "tokenizer.json", directory / "tokenizer.json")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("config.json"), "config.json: no such file"),
        (without("tokenizer.json"), "tokenizer.json: no such file"),
        (without("model.safetensors"), "model.safetensors: no such file"),
        (torn, "model.safetensors: is not a whole safetensors file"),
        (a_missing_shard, "model-00001-of-00002.safetensors: no such file; a shard"),
        (with_config(model_type="mamba"), "mamba"),
        (with_config(hidden_size=16), "do not fit config.json"),
        (too_many_tokens, "rows of embeddings"),
    ],
)
def test_what_cannot_be_taken_is_one_line_and_leaves_nothing(
    spoil: Spoil, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_model(tmp_path / "theirs", template=CHATML)
    spoil(source)
    capsys.readouterr()  # transformers' own progress
    assert main(["import", "--model", str(source), "--out", str(tmp_path / "base"), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_a_verb_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_model(tmp_path / "theirs", template=CHATML)
    command = ["import", "--model", str(source), "--out", str(tmp_path / "base"), "--quiet"]
    capsys.readouterr()
    assert main(command) == 0
    summary = json.loads(capsys.readouterr().out)
    record = json.loads((tmp_path / "base/provenance.json").read_text())
    assert record["stage"] == "import"
    assert record["summary"] == summary
    assert len(record["data"][str(source)]["sha256"]) == 64
    assert main(command) == 0, "and is not done again"
    with pytest.raises(InputError, match="names no model"):
        import_model(ModelConfig(), out=tmp_path / "none", seed=0, progress=Progress(quiet=True))
