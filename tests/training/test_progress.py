"""metrics.jsonl never has a step twice, whatever was killed; what is shown never disturbs it."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from preceptor.training import progress as module
from preceptor.training.progress import Progress, duration


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def run(out: Path, first: int, last: int, done: int = 0) -> None:
    with Progress(quiet=True).stage("sft", out) as stage:
        stage.start(10, done=done)
        for step in range(first, last + 1):
            stage.log(step, tokens=100, loss=step / 10)


def test_one_line_a_step_and_step_comes_first(tmp_path: Path) -> None:
    run(tmp_path, 1, 3)
    assert [next(iter(line.items())) for line in lines(tmp_path)] == [("step", 1), ("step", 2), ("step", 3)]
    assert lines(tmp_path)[0]["tokens"] == 100
    assert lines(tmp_path)[2]["loss"] == 0.3


@pytest.mark.parametrize("done", [0, 1, 2, 5])
def test_a_resumed_stage_forgets_what_lies_behind_its_checkpoint(tmp_path: Path, done: int) -> None:
    run(tmp_path, 1, 5)
    run(tmp_path, done + 1, 7, done=done)
    assert [line["step"] for line in lines(tmp_path)] == list(range(1, 8))


def test_a_torn_last_line_is_dropped(tmp_path: Path) -> None:
    run(tmp_path, 1, 4)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    run(tmp_path, 5, 6, done=4)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_step_zero_may_be_logged_again_after_a_restart(tmp_path: Path) -> None:
    run(tmp_path, 0, 1)
    run(tmp_path, 0, 2)
    assert [line["step"] for line in lines(tmp_path)] == [0, 1, 2]


def test_a_second_log_of_a_step_adds_to_its_line_also_after_a_resume(tmp_path: Path) -> None:
    run(tmp_path, 1, 2)
    with Progress(quiet=True).stage("sft", tmp_path) as stage:
        stage.start(10, done=2)
        stage.log(2, heldout=1.5)
        stage.log(3, loss=0.9)
        stage.log(3, tokens=7, heldout=1.25)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]
    second, third = lines(tmp_path)[1:]
    assert (second["loss"], second["heldout"]) == (0.2, 1.5)
    assert (third["loss"], third["heldout"], third["tokens"]) == (0.9, 1.25, 7)


def test_an_earlier_step_is_refused(tmp_path: Path) -> None:
    with Progress(quiet=True).stage("sft", tmp_path) as stage:
        stage.log(2, loss=1.0)
        with pytest.raises(ValueError, match="step 1 after step 2"):
            stage.log(1, loss=1.0)


def test_tensors_become_numbers_and_nan_becomes_null(tmp_path: Path) -> None:
    with Progress(quiet=True).stage("sft", tmp_path) as stage:
        stage.start(None)
        stage.log(1, a=torch.tensor(2.0), b=np.float32(0.5), c=float("nan"), d=torch.tensor(float("inf")), e=["x", 1.0])
    assert lines(tmp_path) == [{"step": 1, "a": 2.0, "b": 0.5, "c": None, "d": None, "e": ["x", 1.0]}]


def test_a_terminal_sees_stage_step_loss_speed_and_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.0)
    screen = io.StringIO()
    shown = Progress(console=Console(file=screen, force_terminal=True, width=140))
    with shown.stage("pretrain", tmp_path) as stage:
        stage.start(3)
        stage.log(1, tokens=100, loss=2.5)
        stage.log(2, tokens=100, loss=2.25)
        stage.note("[odd] text stays as it is")
    text = screen.getvalue()
    for part in ("pretrain", "2/3", "loss 2.25", "tokens/s", "left", "[odd] text stays"):
        assert part in text


def test_a_file_gets_few_plain_lines(tmp_path: Path) -> None:
    screen = io.StringIO()
    with Progress(console=Console(file=screen, force_terminal=False)).stage("pretrain", tmp_path) as stage:
        stage.start(100)
        for step in range(1, 101):
            stage.log(step, tokens=10, loss=1.0)
    assert screen.getvalue().splitlines()[0] == "pretrain: starts"
    assert len(screen.getvalue().splitlines()) == 2
    assert "\x1b" not in screen.getvalue()


def refuse(shown: Progress, out: Path) -> None:
    with shown.stage("data", out) as stage:
        stage.start(1)
        raise ValueError("bad")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_stage_that_refuses_its_input_says_nothing_itself(tmp_path: Path, terminal: bool) -> None:
    screen = io.StringIO()
    with pytest.raises(ValueError, match="bad"):
        refuse(Progress(console=Console(file=screen, force_terminal=terminal)), tmp_path)
    assert "data: " not in screen.getvalue()


def test_quiet_shows_nothing_and_no_directory_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(quiet=True).stage("rank", None) as stage:
        stage.start(2)
        stage.log(1, loss=1.0)
        stage.note("hidden")
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_durations_read_well() -> None:
    assert [duration(s) for s in (0.5, 59.94, 200, 7500)] == ["0.5 s", "59.9 s", "3 min 20 s", "2 h 05 min"]
