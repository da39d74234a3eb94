"""What a stage tells while it works: a live line on a terminal, and ``metrics.jsonl`` for good.

    with progress.stage("sft", out) as stage:
        stage.start(total=300, done=resumed_step)
        for step in range(resumed_step + 1, 301):
            stage.log(step, tokens=8192, loss=loss, lr=lr)

``metrics.jsonl`` has one JSON object a logged step, its first key is ``step``, and steps only
grow: a resumed stage forgets the lines behind the checkpoint it goes on from. It is the only
record of the curves, so it is written also when nothing is shown.
"""

import json
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from preceptor.files import write_atomic
from preceptor.statistics import is_number
from preceptor.training.loggers import Logger

REFRESH_SECONDS = 0.2  # of the live line; there is no refreshing thread to steal time from training
PLAIN_SECONDS = 20.0  # between two plain lines when the output is a file or a pipe
SPEED_WINDOW = 50  # logged steps that the shown speed and the time left are averaged over
SHOWN_METRICS = 4


class Progress:
    """The reporter that a command hands to its stages; shows on standard error unless ``quiet``."""

    def __init__(self, quiet: bool = False, console: Console | None = None, loggers: Sequence[Logger] = ()) -> None:
        self.quiet, self.loggers = quiet, loggers
        self.console = console or Console(stderr=True, highlight=False)

    @contextmanager
    def stage(self, name: str, out_dir: Path | None) -> Iterator["StageProgress"]:
        """Report one stage; its metrics go to ``out_dir/metrics.jsonl`` (None: nowhere)."""
        stage = StageProgress(name, out_dir, self)
        stage._open()
        try:
            yield stage
        except BaseException:
            stage._close(finished=False)
            raise
        stage._close(finished=True)

    def print(self, text: str) -> None:
        """Show one line of plain text (nothing when quiet)."""
        if not self.quiet:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)


class StageProgress:
    """The progress of one stage. Made by :meth:`Progress.stage`."""

    def __init__(self, name: str, out_dir: Path | None, progress: Progress) -> None:
        self.name = name
        self.metrics_path = out_dir / "metrics.jsonl" if out_dir is not None else None
        self._progress = progress
        self._total: int | None = None
        self._step = 0
        self._line: dict[str, Any] = {}  # the last line of metrics.jsonl
        self._line_start = 0  # its byte offset, so that a second log of its step can replace it
        self._began = self._shown = time.monotonic()
        self._marks: deque[tuple[float, int, int]] = deque(maxlen=SPEED_WINDOW)  # time, step, tokens so far
        self._tokens = 0
        self._begun = False
        self._bars: Bars | None = None
        self._task = TaskID(0)

    def start(self, total: int | None, done: int = 0) -> None:
        """Say how many steps there are and how many a checkpoint already holds.

        Lines of ``metrics.jsonl`` behind ``done`` are dropped, all of them if ``done`` is 0: those
        steps will be taken again.
        """
        self._total, self._step = total, done
        self._line, self._line_start = {}, 0
        if self.metrics_path is not None and self.metrics_path.exists():
            self._keep_lines_until(self.metrics_path, done)
        self._tokens = 0
        self._marks.clear()
        self._marks.append((time.monotonic(), done, 0))
        if self._bars is not None:
            self._bars.reset(self._task, total=total, completed=done)
        elif done:
            self._progress.print(f"{self.name}: goes on from step {done:,}")

    def log(self, step: int, *, tokens: int | None = None, **metrics: Any) -> None:
        """Record the metrics of ``step``: one line of ``metrics.jsonl`` and the live display.

        ``tokens`` counts those handled since the previous log; the speed comes from it. Tensors
        and NumPy scalars become numbers; what is not finite is written as null. A second log
        of the same step adds to its line; an earlier step is a mistake of the stage.
        """
        if self._line and step < self._line["step"]:
            raise ValueError(f"{self.name} logs step {step} after step {self._line['step']}")
        now = time.monotonic()
        line: dict[str, Any] = {"step": step}
        if tokens is not None:
            seconds = now - self._marks[-1][0] if self._marks else 0.0
            earlier = self._line.get("tokens", 0) if self._line.get("step") == step else 0
            line["tokens"] = earlier + tokens
            line["tokens_per_second"] = round(tokens / seconds, 1) if seconds > 0 else None
        line |= {name: jsonable(value) for name, value in metrics.items()}
        self._step = step
        self._tokens += tokens or 0
        self._marks.append((now, step, self._tokens))
        self._write(line)
        self._show(line)
        numbers = {name: float(value) for name, value in line.items() if name != "step" and is_number(value)}
        for logger in self._progress.loggers:
            logger(self.name, step, numbers)

    def show(self, step: int) -> None:
        """Move the display to ``step``; nothing is recorded. For work whose steps have no metrics."""
        self._step = step
        self._marks.append((time.monotonic(), step, self._tokens))
        self._show({})

    def note(self, text: str) -> None:
        """Show one line that stays, such as a warning or a result; it is not a metric."""
        self._announce()
        self._progress.print(f"{self.name}: {text}")

    # metrics.jsonl ---------------------------------------------------------------------------

    def _keep_lines_until(self, path: Path, done: int) -> None:
        """Drop the lines behind step ``done``, and a last line that a kill has torn."""
        kept = b""
        for raw in path.read_bytes().splitlines(keepends=True) if done else []:
            try:
                line = json.loads(raw)
            except ValueError:
                break
            if not raw.endswith(b"\n") or line["step"] > done:
                break
            self._line, self._line_start = line, len(kept)
            kept += raw
        write_atomic(path, kept)

    def _write(self, line: dict[str, Any]) -> None:
        again = bool(self._line) and self._line["step"] == line["step"]
        line = self._line | line if again else line
        self._line = line
        if self.metrics_path is None:
            return
        self.metrics_path.parent.mkdir(parents=True, exist_ok=True)
        with self.metrics_path.open("ab") as file:
            if again:
                file.truncate(self._line_start)
            else:
                self._line_start = file.seek(0, 2)
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n")

    # display ---------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._progress.quiet:
            return
        if not self._progress.console.is_terminal:
            return
        self._bars = Bars(
            TextColumn("{task.description:<14}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[line]}", markup=False),
            console=self._progress.console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bars.add_task(self.name, total=None, line="")
        self._bars.start()
        self._bars.refresh()

    def _announce(self) -> None:
        """Say once that the stage works. Not before it does: unusable input must be the only line that is printed."""
        if not self._begun and self._bars is None:
            self._progress.print(f"{self.name}: starts")
        self._begun = True

    def _show(self, line: dict[str, Any]) -> None:
        if self._progress.quiet:
            return
        self._announce()
        now = time.monotonic()
        last = self._total is not None and self._step >= self._total
        if self._bars is not None:
            if last or now - self._shown >= REFRESH_SECONDS:
                self._shown = now
                self._bars.update(self._task, completed=self._step, line=self._summary(line))
                self._bars.refresh()
        elif now - self._shown >= PLAIN_SECONDS:
            self._shown = now
            of = f"/{self._total:,}" if self._total is not None else ""
            self._progress.print(f"{self.name}: step {self._step:,}{of}  {self._summary(line)}")

    def _summary(self, line: dict[str, Any]) -> str:
        """The few numbers that a person follows: first metrics, speed, time left."""
        parts = []
        for name, value in line.items():
            if name not in ("step", "tokens", "tokens_per_second") and isinstance(value, (int, float)):
                parts.append(f"{name} {value:.4g}")
        parts = parts[:SHOWN_METRICS]
        if len(self._marks) > 1:
            (t0, step0, tokens0), (t1, step1, tokens1) = self._marks[0], self._marks[-1]
            if t1 > t0 and tokens1 > tokens0:
                parts.append(f"{(tokens1 - tokens0) / (t1 - t0):,.0f} tokens/s")
            if self._total is not None and step1 > step0 and self._total > step1:
                parts.append(f"{duration((self._total - step1) * (t1 - t0) / (step1 - step0))} left")
        return "  ".join(parts)

    def _close(self, finished: bool) -> None:
        if self._bars is not None:
            self._bars.stop()
        if not (finished or self._begun):
            return
        seconds = time.monotonic() - self._began
        steps = f", {self._step:,} steps" if self._step else ""
        ending = "done" if finished else "stopped"
        self._progress.print(f"{self.name}: {ending}{steps}, {duration(seconds)}")


def duration(seconds: float) -> str:
    """Seconds as a person reads them: ``7.4 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def jsonable(value: Any) -> Any:
    """A value that JSON can hold: tensors and NumPy scalars as numbers, NaN and infinity as None."""
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, dict):
        return {str(key): jsonable(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(part) for part in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
