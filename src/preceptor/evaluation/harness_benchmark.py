"""Tasks of lm-evaluation-harness as a benchmark of ``preceptor evaluate``."""

import importlib.util
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.evaluation.benchmark import Figure, Outcome, Subject, Work
from preceptor.statistics import Z, mean_with_interval, share_with_interval


def prepare(given: str, options: Mapping[str, Any]) -> "Tasks":
    """Find the tasks. Raises InputError if the harness is not installed, or does not know one."""
    if importlib.util.find_spec("lm_eval") is None:
        raise InputError("--tasks needs lm-evaluation-harness; pip install 'preceptor[harness]'")
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.WARNING)
    path: Path | None = options["tasks_path"]
    if path is not None and not path.is_dir():
        raise InputError(f"--tasks-path {path}: no such directory; check the path")
    names = [name.strip() for name in given.split(",") if name.strip()]
    manager = None if path is None else TaskManager(include_path=str(path), include_defaults=False)
    if manager is None or not set(names) <= set(manager.all_tasks):  # its own tasks take long to look through
        manager = TaskManager(include_path=None if path is None else str(path))
    unknown = [name for name in names if name not in manager.all_tasks]
    if unknown or not names:
        raise InputError(
            f"--tasks {given}: the harness knows no task {unknown[0] if unknown else given!r}; "
            "its documentation lists them"
        )
    return Tasks(names, manager)


@dataclass(frozen=True)
class Tasks:
    """Names of tasks, and the harness's manager that finds them."""

    names: list[str]
    manager: Any
    about: str = (
        "Tasks of lm-evaluation-harness, with its prompts and its measures. Intervals are over the documents of a task."
    )

    def measure(self, subject: Subject, work: Work) -> Outcome:
        """All tasks on one model."""
        import lm_eval

        from preceptor.evaluation.harness import PreceptorLM

        journal = work.journal("requests", {"harness": lm_eval.__version__, "tasks": self.names})
        found = lm_eval.simple_evaluate(
            PreceptorLM((subject.model, subject.tokenizer), journal=journal),
            tasks=self.names,
            task_manager=self.manager,
            limit=work.limit,
            bootstrap_iters=0,
            random_seed=work.seed,
            numpy_random_seed=work.seed,
            torch_random_seed=work.seed,
            fewshot_random_seed=work.seed,
        )
        figures = []
        for task, values in found["results"].items():
            samples = found["samples"].get(task, [])  # a group of tasks has none of its own
            for key, value in values.items():
                name, _, filter_ = key.partition(",")
                if isinstance(value, float | int) and filter_ and not name.endswith("_stderr"):
                    error = values.get(f"{name}_stderr,{filter_}")
                    drawn = [one[name] for one in samples if name in one and one.get("filter", filter_) == filter_]
                    figures.append(_figure(task, name, "" if filter_ == "none" else filter_, value, error, drawn, work))
        return Outcome(figures)


def _figure(task: str, name: str, condition: str, value: float, error: Any, drawn: Sequence[Any], work: Work) -> Figure:
    """A measure with an interval: from the documents where it is their mean, else from the harness's error, if any."""
    measure, value = f"{task}: {name}", float(value)
    low: float | None = None
    high: float | None = None
    numbers = all(isinstance(one, float | int) for one in drawn)
    share = 0.0 <= value <= 1.0
    if drawn and numbers and math.isclose(sum(map(float, drawn)) / len(drawn), value, abs_tol=1e-9):
        flags = all(float(one) in (0.0, 1.0) for one in drawn)
        values = [float(one) for one in drawn]
        found: Mapping[str, Any] = share_with_interval(values) if flags else mean_with_interval(values, work.seed)
        low, high = found["low"], found["high"]
        share = share and all(0.0 <= one <= 1.0 for one in values)
    elif isinstance(error, float) and math.isfinite(error):
        low, high = value - Z * error, value + Z * error
    return Figure(condition, measure, value, low, high, len(drawn), "share" if share else "score", "documents")
