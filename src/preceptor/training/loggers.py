"""Other places that metrics go to, beside ``metrics.jsonl``: TensorBoard, Weights & Biases, MLflow, trackio.

None is needed, each is a package of its own, and none changes a result, so they are named on the command line and not
in the recipe. What reaches them is what is written to metrics.jsonl, under ``stage/metric``. A run that was killed
takes a few steps again when it goes on, and tells of them again; metrics.jsonl alone is without doubles.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from preceptor.errors import InputError

PROJECT = "preceptor"


class Logger(Protocol):
    """Takes the metrics of one step of one stage."""

    def __call__(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Record them."""
        ...


@contextmanager
def open_loggers(names: Sequence[str], out: Path) -> Iterator[list[Logger]]:
    """The loggers of these names for the run in ``out``, closed at the end; InputError for one that is not there.

    Each begins with the first metrics: input that turns out to be unusable leaves no trace anywhere.
    """
    for name in names:
        if name not in LOGGERS:
            raise InputError(f"--log {name}: there is no such logger; give {', '.join(LOGGERS)}")
        if find_spec(name) is None:
            raise InputError(f"--log {name}: the package is missing; pip install {name}")
    with ExitStack() as stack:

        def late(name: str) -> Logger:
            opened: list[Logger] = []

            def log(stage: str, step: int, metrics: Mapping[str, float]) -> None:
                if not opened:
                    opened.append(stack.enter_context(LOGGERS[name](out)))
                opened[0](stage, step, metrics)

            return log

        yield [late(name) for name in dict.fromkeys(names)]


def _under(stage: str, metrics: Mapping[str, float]) -> dict[str, float]:
    return {f"{stage}/{name}": value for name, value in metrics.items()}


def _run_name(out: Path) -> str:
    return out.resolve().name


def _run_id(out: Path) -> str:
    """The same for the same directory, so that a run that goes on is the same run there."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", out.resolve().as_posix()).strip("-")[-120:]


@contextmanager
def _tensorboard(out: Path) -> Iterator[Logger]:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(out / ".tensorboard"))

    def log(stage: str, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in _under(stage, metrics).items():
            writer.add_scalar(name, value, step)

    try:
        yield log
    finally:
        writer.close()


@contextmanager
def _wandb(out: Path) -> Iterator[Logger]:
    wandb = import_module("wandb")
    run = wandb.init(project=PROJECT, name=_run_name(out), id=_run_id(out), resume="allow")
    seen = set()

    def log(stage: str, step: int, metrics: Mapping[str, float]) -> None:
        if stage not in seen:  # each stage counts its own steps
            seen.add(stage)
            run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
        run.log(_under(stage, metrics) | {f"{stage}/step": step})

    try:
        yield log
    finally:
        run.finish()


@contextmanager
def _mlflow(out: Path) -> Iterator[Logger]:
    mlflow = import_module("mlflow")
    mlflow.set_experiment(PROJECT)
    with mlflow.start_run(run_name=_run_name(out)):

        def log(stage: str, step: int, metrics: Mapping[str, float]) -> None:
            mlflow.log_metrics(_under(stage, metrics), step=step)

        yield log


@contextmanager
def _trackio(out: Path) -> Iterator[Logger]:
    trackio = import_module("trackio")
    run = trackio.init(project=PROJECT, name=_run_id(out), resume="allow")

    def log(stage: str, step: int, metrics: Mapping[str, float]) -> None:
        run.log(_under(stage, metrics) | {f"{stage}/step": step})

    try:
        yield log
    finally:
        run.finish()


LOGGERS: dict[str, Callable[[Path], AbstractContextManager[Logger]]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
    "trackio": _trackio,
}
