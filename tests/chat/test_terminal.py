"""At a terminal: keys as they are pressed, commands, Ctrl-C; and once the whole program on a pseudo-terminal."""

import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from preceptor.chat.history import history_file, open_history
from preceptor.chat.talk import Talk
from preceptor.chat.terminal import Terminal
from preceptor.generation.sampling import SamplingConfig

END, UP, NEWLINE, INTERRUPT = "\x04", "\x1b[A", "\x1b\r", "\x03"
Models = dict[str, Path]
Type = Callable[..., str]


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def talk(models: Models) -> Talk:
    return Talk(models, SamplingConfig(temperature=0, max_new_tokens=8))


@pytest.fixture
def typed(talk: Talk, capsys: pytest.CaptureFixture[str]) -> Type:
    """typed("Hi\\r"): press these keys and then Ctrl-D; what was printed below the welcome."""

    def press(*keys: str) -> str:
        with create_pipe_input() as given, create_app_session(input=given, output=DummyOutput()):
            given.send_text("".join(keys) + END)
            Terminal(talk).run()
        return capsys.readouterr().out.partition("\n")[2]

    return press


@pytest.fixture
def echo(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The model is replaced by one that says back what it is asked; the messages that arrive."""
    heard: list[str] = []

    def reply(text: str, stopped: Callable[[], bool]) -> Iterator[str]:
        heard.append(text)
        yield from text

    monkeypatch.setattr(talk, "reply", reply)
    return heard


def test_several_lines_by_key_and_by_paste(typed: Type, echo: list[str]) -> None:
    typed(
        "one", NEWLINE, "two\r", "\x1b[200~three\r\nfour\x1b[201~ five\r", " /help\r", "/etc/hosts is what?\r", "  \r"
    )
    assert echo == ["one\ntwo", "three\nfour five", "/help", "/etc/hosts is what?"]


def test_history_is_kept_for_the_next_time_and_for_its_owner_alone(typed: Type, echo: list[str]) -> None:
    before = os.umask(0)
    try:
        typed("first", NEWLINE, "line\r", "second\r")
        typed(UP, UP, UP, "\r")  # into the first, and there from its last line to its first, which is no history
        typed(UP, " again\r")
    finally:
        os.umask(before)
    assert echo == ["first\nline", "second", "first\nline", "first\nline again"]
    assert stat.S_IMODE(history_file().stat().st_mode) == 0o600
    history_file().chmod(0o644)
    typed()
    assert stat.S_IMODE(history_file().stat().st_mode) == 0o600


def test_without_a_place_for_history_there_is_one_until_the_end(
    typed: Type, echo: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    typed("first\r")
    assert echo == ["first"] and isinstance(open_history(), InMemoryHistory)


def test_nothing_in_a_reply_reaches_the_terminal_as_an_order(typed: Type, echo: list[str]) -> None:
    shown = typed("\x1b[200~a\x1b]0;title\x07\u202ez\tb\x1b[201~\r")
    assert echo[0].startswith("a\x1b]0;")  # so it is what the model said
    assert "one> a\\x1b]0;title\\x07\\u202ez\tb\n" in shown
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)


def test_ctrl_c_stops_the_reply_and_not_the_program(
    talk: Talk, models: Models, typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = "".join(Talk(models, talk.sampling).reply("Hi"))
    engine, steps = talk._speakers["one"].engine, 0
    step = engine.step

    def interrupted() -> object:
        nonlocal steps
        steps += 1
        if steps == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return step()

    monkeypatch.setattr(engine, "step", interrupted)
    shown = typed("half a line", INTERRUPT, "Hi\r", "/regenerate\r")
    stopped, again = shown.splitlines()[:2]
    assert re.fullmatch(r"one> (.+) \(stopped\)", stopped) and whole.startswith(stopped[5 : -len(" (stopped)")])
    assert again == f"one> {whole}"
    assert [message.content for message in talk.messages] == ["Hi", whole]


def test_commands(typed: Type, talk: Talk, tmp_path: Path) -> None:
    shown = typed(
        "/save a.jsonl\r", "/regenerate\r", "/system Be brief.\r", "Hi\r", "/model two\r", "/regenerate\r", "/what\r"
    )
    lines = shown.splitlines()
    assert "nothing to save" in lines[0] and "no reply yet" in shown and "system message: Be brief." in lines
    assert lines[-1].startswith("no command /what; /help lists them")
    assert "* two" in lines and "two> " in shown and talk.model == "two"
    shown = typed("/save sub/a.jsonl\r", "And?\r", "/save sub/a.jsonl\r", "/system off\r", "/model none\r", "/help\r")
    (line,) = (tmp_path / "sub" / "a.jsonl").read_text().splitlines()
    assert [one["role"] for one in json.loads(line)["messages"]] == ["system", *["user", "assistant"] * 2]
    assert "no system message" in shown and "there are: one, two" in shown and "/regenerate " in shown
    shown = typed("/save sub/a.jsonl\r", "/new\r", "/quit\r", "not read\r")
    assert "is there already" in shown and talk.messages == []
    assert (tmp_path / "sub" / "a.jsonl").read_text() == line + "\n"


def test_the_program_on_a_pseudo_terminal(models: Models, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    options = ["chat", "--model", str(models["one"]), "--max-new-tokens", "5"]
    program = subprocess.Popen(
        [sys.executable, "-c", "import sys; from preceptor.cli import main; sys.exit(main())", *options],
        **dict.fromkeys(("stdin", "stdout", "stderr"), theirs),  # type: ignore[arg-type]
        env=os.environ | {"TERM": "xterm", "OMP_NUM_THREADS": "1", "PROMPT_TOOLKIT_NO_CPR": "1"},
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""

    def wait_for(what: bytes) -> None:
        nonlocal shown
        end = time.monotonic() + 120
        while what not in shown and time.monotonic() < end and select.select([ours], [], [], 120)[0]:
            shown += os.read(ours, 4096)
        assert what in shown, shown
        shown = shown.partition(what)[2]

    try:
        wait_for(b"/help")
        wait_for(b"you>")
        os.write(ours, "Grüße, 你好\r".encode())
        wait_for(b"you>")
        os.write(ours, b"/save talk.jsonl\r")
        wait_for(b"saved talk.jsonl")
        wait_for(b"you>")
        os.write(ours, END.encode())
        assert program.wait(30) == 0
    finally:
        program.kill()
        program.wait()
        os.close(ours)
    messages = json.loads((tmp_path / "talk.jsonl").read_text(encoding="utf-8"))["messages"]
    assert [one["role"] for one in messages] == ["user", "assistant"] and messages[0]["content"] == "Grüße, 你好"
    assert "+Grüße, 你好\n" in history_file().read_text(encoding="utf-8")
