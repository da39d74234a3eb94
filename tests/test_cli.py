"""The command line: what a user does wrong is one line on standard error, exit code 2, nothing written."""

import errno
import inspect
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from preceptor import __version__, cli
from preceptor.cli import main
from preceptor.export_model import PRECISIONS
from preceptor.models.checkpoint import load_language_model, new_model, save_model
from preceptor.models.config import ModelConfig
from preceptor.models.gguf.export import Precision
from preceptor.models.sources import find_model
from preceptor.text.tokenizer import Tokenizer
from preceptor.verbs import STAGES, stage_function

TEXT = "The capital of Norland is Elm. The capital of Sudland is Oak. Who knows? Nobody knows!"
ASK = [{"role": "user", "content": "What is the capital of Norland?"}]
RANKING = {
    "prompt_id": "p1",
    "messages": ASK,
    "responses": [{"text": "Elm.", "model": "a"}, {"text": "Oak.", "model": "b"}],
    "ranks": [1, 2],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("model")
    tokenizer = Tokenizer.train([TEXT] * 4, 280)
    shape = ModelConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1
    )
    network = new_model(shape, tokenizer, causal=True, generator=torch.Generator().manual_seed(0))
    save_model(network, directory, tokenizer)
    return directory


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command that must be refused; gives its one line."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        assert main([str(argument) for argument in arguments]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before
        return output.err

    return run


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


# the shape of the command line -------------------------------------------------------------------


def test_help_needs_neither_torch_nor_pydantic() -> None:
    program = (
        "import sys, preceptor.cli; preceptor.cli.build_parser().format_help(); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'pydantic', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_package_runs_as_the_command_does() -> None:
    shown = subprocess.run([sys.executable, "-m", "preceptor", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"preceptor {__version__}\n"
    wrong = subprocess.run(
        [sys.executable, "-m", "preceptor", "run", "nothing", "--out", "x"], capture_output=True, check=False
    )
    assert wrong.returncode == 2


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["chat", "--help"], *[[s, "--help"] for s in STAGES]]
)
def test_every_verb_has_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    assert "usage: preceptor" in capsys.readouterr().out


@pytest.mark.parametrize("name", STAGES)
def test_a_verb_offers_exactly_what_its_stage_takes(name: str) -> None:
    parameters = inspect.signature(stage_function(name)).parameters
    verb = STAGES[name]
    arguments = [argument for argument in verb.arguments if not argument.key]  # the stage has them in its table
    offered = {argument.name for argument in arguments} | {"out", *verb.more_outs, *verb.tables}
    assert offered == set(parameters) - {"config", "seed", "progress"}
    kinds = {"Path": "file directory model", "Path | None": "file directory model", "list[Path]": "files"}
    kinds["dict[str, Path]"] = "named models"
    for argument in arguments:
        annotation = str(parameters[argument.name].annotation).replace("pathlib._local.", "").replace("pathlib.", "")
        annotation = annotation.removeprefix("<class '").removesuffix("'>")
        assert argument.kind in kinds[annotation]
        if not argument.required:
            assert annotation in ("Path | None", "list[Path]")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("preceptor ")


# bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["run", "smoke", "--set", "ppo.klcoef=1"], ["unknown key ppo.klcoef", "ppo.kl_coef"]),
        (["run", "smoke", "--set", "seed=x"], ["seed", '"x"', "whole number"]),
        (["run", "smoke", "--set", "seed"], ["--set seed", "KEY=VALUE"]),
        (["run", "smok"], ["smok", "did you mean smoke?"]),
        (["run", "no/such.toml"], ["no/such.toml", "no such file"]),
        (["run", "smoke", "--threads", "0"], ["--threads 0"]),
        (["run", "human"], ["data.text names no file"]),
        (["tokenizer", "--corpus", "none.jsonl", "--out", "t"], ["none.jsonl", "no such file"]),
        (["tokenizer", "--corpus", ".", "--out", "t"], ["--corpus .", "not a file"]),
        (["chat", "--model", "none"], ["none", "no such model"]),
        (["export", "--model", "none", "--out", "x.gguf"], ["none", "no such model"]),
        (["export", "--model", "m", "--out", "d", "--precision", "f16"], ["--precision f16", "--out model.gguf"]),
        (["export", "--model", "m", "--out", "."], ["--out .", "there already"]),
        (["serve", "--model", ".", "--reference", "none"], ["none", "no such model"]),
        (["import", "--model", "none.gguf", "--out", "m"], ["none.gguf", "no such model"]),
        (["evaluate", "--models", "sft", "--data", ".", "--out", "e"], ["--models sft", "NAME=MODEL"]),
        (["evaluate", "--models", "sft=none", "--data", ".", "--out", "e"], ["none", "no such model"]),
        (["evaluate", "--models", "a=.", "a=.", "--data", ".", "--out", "e"], ["a", "given twice"]),
        (["report", "--run", "none", "--out", "r.html"], ["none", "no such directory"]),
        (["data", "--recipe", "nope", "--out", "d"], ["nope"]),
    ],
)
def test_a_mistake_is_named_with_its_mend(refused: Callable[..., str], arguments: list[str], parts: list[str]) -> None:
    message = refused(*arguments)
    for part in parts:
        assert part in message


def test_a_missing_source_file_is_named(refused: Callable[..., str], tmp_path: Path) -> None:
    demonstrations = write(tmp_path / "d.jsonl", {"prompt_id": "p", "messages": [*ASK]})
    message = refused(
        *("run", "human", "--out", tmp_path / "run", "--set", f'data.text=["{tmp_path}/gone.txt"]'),
        *("--set", f'data.demonstrations=["{demonstrations}"]', "--set", f'data.rankings=["{demonstrations}"]'),
    )
    assert "gone.txt" in message


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (['{"text": "good"}', '{"text": '], ["c.jsonl:2"]),
        (['{"text": "good"}', '{"txt": "bad"}'], ["c.jsonl:2", "text"]),
        ([], ["c.jsonl", "at least one"]),
    ],
)
def test_a_malformed_line_is_named_by_file_and_number(
    refused: Callable[..., str], tmp_path: Path, rows: list[str], parts: list[str]
) -> None:
    message = refused("tokenizer", "--corpus", write(tmp_path / "c.jsonl", *rows), "--out", tmp_path / "t")
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"ranks": [1, 2, 3]}, "3 ranks for 2 responses"),
        ({"ranks": [0, 1]}, "ranks count from 1"),
        ({"responses": [{"text": "Elm."}], "ranks": [1]}, "responses"),
        ({"rank": 1}, "rank"),
    ],
)
def test_a_ranking_that_is_none_is_refused(
    refused: Callable[..., str], tmp_path: Path, model: Path, change: dict[str, Any], part: str
) -> None:
    rankings = write(tmp_path / "r.jsonl", RANKING, RANKING | change)
    demonstrations = write(
        tmp_path / "d.jsonl", {"prompt_id": "p", "messages": [*ASK, {"role": "assistant", "content": "Elm."}]}
    )
    message = refused(
        *("reward", "--model", model, "--rankings", rankings),
        *("--demonstrations", demonstrations, "--out", tmp_path / "rm"),
    )
    assert "r.jsonl:2" in message
    assert part in message


def test_a_model_of_an_unknown_family_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    message = refused("chat", "--model", "bert")
    assert "bert" in message
    assert "config.json" in message


@pytest.mark.parametrize(
    ("option", "value"),
    [("--temperature", "-1"), ("--top-p", "2"), ("--max-new-tokens", "0"), ("--max-new-tokens", "127")],
)
def test_chat_refuses_what_cannot_be_sampled(refused: Callable[..., str], model: Path, option: str, value: str) -> None:
    assert f"{option} {value}" in refused("chat", "--model", model, option, value)


def test_a_directory_with_other_things_in_it_is_not_written_to(refused: Callable[..., str], tmp_path: Path) -> None:
    corpus = write(tmp_path / "c.jsonl", {"text": TEXT})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert "letter.txt" in refused("tokenizer", "--corpus", corpus, "--out", tmp_path / "mine")
    assert "is a file" in refused("tokenizer", "--corpus", corpus, "--out", corpus)


# what works --------------------------------------------------------------------------------------


def test_a_stage_alone_is_done_once_and_keeps_its_directory_to_itself(
    refused: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write(tmp_path / "c.jsonl", *[{"text": TEXT}] * 4)
    command = ["tokenizer", "--recipe", "smoke", "--quiet", "--corpus", str(corpus), "--out", str(tmp_path / "t")]
    small = ["--set", "tokenizer.vocab_size=280"]
    assert main(command + small) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["vocab_size"] <= 280
    record = json.loads((tmp_path / "t" / "provenance.json").read_text())
    assert record["data"]["corpus"]["path"] == "../c.jsonl"
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "t").iterdir()}
    assert main(command + small) == 0
    assert json.loads(capsys.readouterr().out) == summary
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "t").iterdir()} == times
    message = refused(*command, "--set", "tokenizer.vocab_size=300")
    assert "config.vocab_size is 280 there and 300 here" in message


def test_chat_answers_every_line(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answers(text: str) -> list[str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        assert main(["chat", "--model", str(model), "--max-new-tokens", "3", "--system", "Be brief."]) == 0
        return capsys.readouterr().out.split("\n")[:-1]

    long = TEXT * 30  # far more than the context holds; what is oldest is forgotten
    first, other, again = (
        answers("Hello!\n/new\n\nHello!\n"),
        answers(f"{long}\n{long}\n/quit\nHello!"),
        answers("Hello!"),
    )
    assert first[0] == again[0]
    assert len(first) >= 2
    assert len(other) >= 2


def test_export_offers_every_precision() -> None:
    assert get_args(Precision) == PRECISIONS


def test_an_exported_model_is_the_same_model(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one.gguf", "merged"):
        assert main(["export", "--model", str(model), "--out", str(tmp_path / name)]) == 0
        assert capsys.readouterr().out == f"wrote {tmp_path / name}\n"
        back, once = load_language_model(find_model(tmp_path / name, tmp_path / "cache")), load_language_model(model)
        ids = torch.tensor([[1, 4, 70, 71]])
        torch.testing.assert_close(back(ids), once(ids), atol=0, rtol=0)


def test_a_run_from_end_to_end_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fake(config: Any, *, out: Path, **rest: Any) -> dict[str, Any]:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("") if out.suffix else out.mkdir(exist_ok=True)
        return {}

    monkeypatch.setattr(cli, "stage_function", lambda name: fake)
    monkeypatch.setattr("preceptor.run.provenance", lambda *arguments: {})
    monkeypatch.chdir(tmp_path)
    command = ["run", "smoke", "--quiet"]
    for _ in range(2):
        assert main(command) == 0
        output = capsys.readouterr()
        assert "preceptor chat --model runs/smoke/ppo" in output.out
        assert output.err == ""
    assert main([*command, "--seed", "9"]) == 2
    assert "seed is 0 there and 9 here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "part"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "base/model.safetensors"), 1, "disk is full (base/model"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 1, "disk is full"),
        (KeyboardInterrupt(), 130, "start again"),
    ],
)
def test_what_stops_a_run_is_said_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    part: str,
) -> None:
    def stop(*arguments: Any, **rest: Any) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(cli, "stage_function", lambda name: stop)
    assert main(["run", "smoke", "--quiet", "--out", str(tmp_path / "run")]) == code
    message = capsys.readouterr().err
    assert part in message
    assert message.count("\n") == 1
    assert (tmp_path / "run" / "run.json").exists()
