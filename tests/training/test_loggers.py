"""Metrics reach other places as they reach metrics.jsonl, and nothing is begun before there is something to tell."""

import sys
from types import ModuleType

import pytest

from preceptor.cli import main
from preceptor.errors import InputError
from preceptor.training.loggers import open_loggers
from preceptor.training.progress import Progress


class Run:
    """What wandb and trackio give back from ``init``."""

    def __init__(self, told):
        self.told = told

    def define_metric(self, name, step_metric):
        self.told.append(("axis", name, step_metric))

    def log(self, metrics):
        self.told.append(("log", metrics))

    def finish(self):
        self.told.append(("finish",))


@pytest.fixture
def told(monkeypatch):
    """Modules that are called as wandb, trackio and mlflow are, and keep what they are told."""
    calls = []
    for name in ("wandb", "trackio"):
        module = ModuleType(name)
        module.__spec__ = sys.__spec__
        module.init = lambda **options: calls.append(("init", options)) or Run(calls)
        monkeypatch.setitem(sys.modules, name, module)
    return calls


def log_two_steps(names, out):
    with open_loggers(names, out) as loggers, Progress(quiet=True, loggers=loggers).stage("sft", out) as stage:
        stage.start(2)
        stage.log(1, loss=0.5, note="text", broken=float("nan"))
        stage.log(2, loss=0.25)


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_finite_numbers_are_told_under_the_name_of_their_stage(name, told, tmp_path):
    log_two_steps([name], tmp_path / "mine")
    assert told[0][0] == "init" and told[0][1]["resume"] == "allow"
    assert [one[1] for one in told if one[0] == "log"] == [
        {"sft/loss": 0.5, "sft/step": 1},
        {"sft/loss": 0.25, "sft/step": 2},
    ]
    assert told[-1] == ("finish",)


def test_a_logger_begins_with_the_first_metrics(told, tmp_path):
    with open_loggers(["wandb"], tmp_path):
        pass
    assert told == []


def test_tensorboard_has_the_curve(tmp_path):
    event = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log_two_steps(["tensorboard"], tmp_path)
    read = event.EventAccumulator(str(tmp_path / ".tensorboard"))
    read.Reload()
    assert [(one.step, one.value) for one in read.Scalars("sft/loss")] == [(1, 0.5), (2, 0.25)]


def test_unknown_and_missing_loggers_are_refused(tmp_path, monkeypatch, capsys):
    with pytest.raises(InputError, match="give tensorboard, wandb, mlflow, trackio"), open_loggers(["tb"], tmp_path):
        pass
    monkeypatch.setattr("preceptor.training.loggers.find_spec", lambda name: None)
    assert main(["run", "smoke", "--out", str(tmp_path / "run"), "--log", "mlflow"]) == 2
    assert "pip install mlflow" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
