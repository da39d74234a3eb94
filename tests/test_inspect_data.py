"""`preceptor data inspect`: what it prints, and that nothing in the data acts on the terminal."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from preceptor.cli import main
from preceptor.inspect_data import Inspector, inspect_data
from preceptor.text.tokenizer import Tokenizer

CHAT = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}
PAIR = {"prompt": "p", "chosen": "a", "rejected": "b", "labeler": "ann"}
BAD = "\x1b]0;owned\x07\x9b2J\u202e"


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    directory = tmp_path / "tokenizer"
    Tokenizer.train(["Why? Because."], 270).save(directory)
    return directory


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def shown(path: Path, model: Path | None = None, context: int | None = None, **options: Any) -> str:
    file = io.StringIO()
    console = Console(file=file, highlight=False, **options)
    assert inspect_data([path], Inspector(model, context, None, 2000), as_json=False, console=console) == []
    return file.getvalue()


def test_the_verb_of_two_words_stands_beside_the_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", str(write(tmp_path / "f", CHAT))]) == 0
    assert "messages (1 records)" in capsys.readouterr().out
    assert (
        main(["data", "--recipe", "smoke", "--set", "data.source=files", "--quiet", "--out", str(tmp_path / "d")]) == 2
    )
    assert "none is named" in capsys.readouterr().err
    for words in (["data", "--help"], ["data", "inspect", "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 0
        assert "preceptor data inspect" in capsys.readouterr().out


def test_trained_tokens_are_in_colour_or_else_in_brackets(tmp_path: Path, tokenizer: Path) -> None:
    path = write(tmp_path / "f", CHAT)
    whole = "<|begin|><|user|>Why?<|end|><|assistant|>[[Because.<|end|>]]"
    assert whole in shown(path, tokenizer, width=100)
    assert whole in shown(path, tokenizer, width=100, no_color=True)
    coloured = shown(path, tokenizer, width=100, force_terminal=True, color_system="standard", no_color=False)
    assert "<|assistant|>\x1b[1;32mBecause.<|end|>\x1b[0m" in coloured


def test_without_a_model_the_roles_are_named(tmp_path: Path) -> None:
    assert "user\nWhy?\nassistant\nBecause.\n" in "\n".join(
        line.rstrip() for line in shown(write(tmp_path / "f", CHAT), width=80).splitlines()
    )
    assert "rank 1\na\nrank 2\nb" in shown(write(tmp_path / "g", PAIR), width=80)


def test_what_a_context_cuts_is_counted_and_said(tmp_path: Path, tokenizer: Path) -> None:
    text = shown(write(tmp_path / "f", CHAT), tokenizer, 9, width=100)
    assert "> 9" in text and "1 (100.0%)" in text
    assert "(cut to 9 tokens)" in text


def test_nothing_in_the_data_acts(tmp_path: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad_chat = {"messages": [{"role": "user", "content": BAD}, {"role": "assistant", "content": BAD + "x" * 2000}]}
    good = [
        write(tmp_path / f"chat{BAD}", bad_chat),
        write(tmp_path / "pair", PAIR | {"chosen": BAD, "labeler": BAD}),
        write(tmp_path / "text", {"text": BAD}),
    ]
    bad = [
        write(tmp_path / "bad", {BAD: 1}),
        write(tmp_path / "bad2", {"id": BAD, "user": "u", "messages": [], BAD: 1}),
    ]
    outputs = []
    for more in ([], ["--json"], ["--model", str(tokenizer), "--context", "64"]):
        assert main(["data", "inspect", *map(str, good), *map(str, bad), *more]) == 2
        output = capsys.readouterr()
        assert output.err.count("\n") == 2
        outputs += [output.out, output.err]
    for text in outputs:
        assert not [
            one for one in text if (ord(one) < 32 and one != "\n") or 0x7F <= ord(one) < 0xA0 or one == "\u202e"
        ]
    assert "\\x1b]0;owned\\x07\\x9b2J\\u202e" in outputs[0]


def test_json_has_every_source_and_the_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = write(tmp_path / "good", PAIR), write(tmp_path / "bad", {"x": 1})
    assert main(["data", "inspect", str(bad), str(good), "--json"]) == 2
    output = capsys.readouterr()
    first, second = json.loads(output.out)
    assert first["source"] == str(bad) and "fits no format" in first["error"]
    assert second["rankings"]["responses"] == {"2": 1}
    assert output.err.count("\n") == 1


@pytest.mark.parametrize("width", [12, 20, 40, 200])
def test_any_width_will_do(tmp_path: Path, tokenizer: Path, width: int) -> None:
    text = shown(write(tmp_path / "f", CHAT, {"messages": [{"role": "tool"}]}), tokenizer, 9, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "Because" in text.replace("\n", "").replace(" ", "")


def test_a_terminal_of_ascii_gets_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    chat = {"messages": [{"role": "user", "content": "é"}, {"role": "assistant", "content": "😀"}]}
    assert main(["data", "inspect", str(write(tmp_path / "f", chat))]) == 0
    sys.stdout.flush()
    assert b"\\xe9" in raw.getvalue() and b"\\U0001f600" in raw.getvalue()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--context", "5"], "--context counts tokens; name the model"),
        (["--context", "3", "--model", "."], "--context 3: must be at least 8"),
        (["--format", "nope"], "there is no format 'nope'; use one of"),
        (["--model", "none"], "none"),
    ],
)
def test_a_wrong_option_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["data", "inspect", str(write(tmp_path / "f", CHAT)), *options]) == 2
    output = capsys.readouterr()
    assert message in output.err and output.err.count("\n") == 1


def test_a_format_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "f", CHAT | {"instruction": "Go.", "output": "ok"})
    assert main(["data", "inspect", str(path), "--format", "alpaca"]) == 0
    assert "alpaca (1 records)" in capsys.readouterr().out
