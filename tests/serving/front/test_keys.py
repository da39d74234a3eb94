"""The file of keys: what it holds and what not, and how a running server follows it."""

import stat
from pathlib import Path

import pytest

from preceptor.cli import main
from preceptor.errors import InputError
from preceptor.serving.front import keys as module
from preceptor.serving.front.keys import KeyRing, new_key


def test_the_file_holds_the_hash_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys.jsonl"
    assert main(["serve-key", "ann", "--keys", str(path), "--at-once", "2", "--tokens-per-minute", "900"]) == 0
    key = capsys.readouterr().out.strip()
    text = path.read_text(encoding="utf-8")
    assert len(key) > 43 and key not in text and key.removeprefix("preceptor-") not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = KeyRing(path).find(key)
    assert found is not None
    assert (found.name, found.at_once, found.tokens_per_minute, found.requests_per_minute) == ("ann", 2, 900, None)
    for wrong in ("", key[:-1], key + "x", found.sha256):
        assert KeyRing(path).find(wrong) is None
    assert main(["serve-key", "ann", "--keys", str(path)]) == 2
    assert "has a key called ann" in capsys.readouterr().err


def test_a_running_server_follows_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.jsonl"
    ann, bob = new_key(path, "ann"), new_key(path, "bob")
    ring = KeyRing(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text(lines[1] + "\n", encoding="utf-8")
    assert ring.find(ann) is not None  # not looked at again yet
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    assert ring.find(ann) is None and ring.find(bob) is not None
    path.write_text("no JSON\n", encoding="utf-8")
    assert ring.find(bob) is not None  # half a file, as an editor writes it, locks nobody out
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert ring.find(ann) is not None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{}", "name"),
        ('{"name": "a b", "sha256": "' + "0" * 64 + '", "created": "2026-01-01"}', "name"),
        ('{"name": "a", "sha256": "x", "created": "2026-01-01"}', "sha256"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"keys.jsonl:1: .*{said}"):
        KeyRing(path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serve-key", "a b", "--keys", "k"], "no name for a key"),
        (["serve-key", "ann", "--keys", "k", "--at-once", "0"], "--at-once 0: give at least 1"),
        (["serve", "--model", "m", "--host", "0.0.0.0"], "without a key; make one with `preceptor serve-key`"),
        (["serve", "--backend", "http://x", "--timeout", "0"], "--timeout 0: give"),
        (["serve", "--backend", "http://x", "--reward", "r"], "--reward: is for models that are served here"),
        (["serve", "--backend", "no address", "--port", "0"], "is no address"),
        (["serve", "--backend", "http://x", "--keys", "none.jsonl", "--port", "0"], "none.jsonl: no such file"),
    ],
)
def test_bad_words_are_refused_in_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
