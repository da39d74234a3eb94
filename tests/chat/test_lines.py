"""From a script: a message a line, a reply a line; nothing that a terminal would obey where one is looking."""

import io
import sys
from pathlib import Path

import pytest

from preceptor.chat.lines import chat_lines
from preceptor.chat.talk import Talk
from preceptor.errors import InputError
from preceptor.generation.sampling import SamplingConfig

GREEDY = SamplingConfig(temperature=0, max_new_tokens=4)


def test_replies_to_a_terminal_are_safe_and_others_are_as_they_are(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    talk = Talk(models, GREEDY)
    monkeypatch.setattr(talk, "reply", lambda text: iter(["a\x1b", "[31m", text]))
    for looking, shown in ((False, "a\x1b[31mHi\n"), (True, "a\\x1b[31mHi\n")):
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n Hi \n/quit\nHi\n"))
        monkeypatch.setattr(sys.stdout, "isatty", lambda looking=looking: looking)
        chat_lines(talk)
        assert capsys.readouterr().out == shown


def test_what_is_not_utf8_is_refused(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Gr\xfc\xdfe\n"), encoding="utf-8"))
    with pytest.raises(InputError, match="not UTF-8"):
        chat_lines(Talk(models, GREEDY))
