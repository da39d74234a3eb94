"""The report of `preceptor prompts import` in a terminal, and its progress."""

import io
import re
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from preceptor.printable import printable

SHOWN_REASONS = 6
_UNSEEN = re.compile("[\u00ad\u200b-\u200d\u2060]")  # beside what `printable` shows: here they are the point
PHASES = {
    "read": "reading",
    "compare": "comparing",
    "language": "telling languages",
    "examine": "use cases and personal data",
    "write": "writing",
}


class Told:
    """A line of progress on standard error for each phase; called by the import."""

    def __init__(self, *, quiet: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True)
        self._task: TaskID | None = None
        self._phase = ""

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        if phase != self._phase:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(PHASES[phase], total=total) if phase else None
            self._phase = phase
        if self._task is not None:
            self._progress.update(self._task, completed=done)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def show_report(report: dict[str, Any], out: Path, console: Console | None = None) -> None:
    """Print what each rule took, with examples, and what is left."""
    if console is None:
        if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that has no emoji shows their numbers
            sys.stdout.reconfigure(errors="backslashreplace")
        console = Console(highlight=False)
    formats = ", ".join(f"{count:,} as {name}" for name, count in report["formats"].items())
    console.print(Text(f"{report['records']:,} records ({formats or 'none'}): {report['prompts']:,} prompts"))
    console.print(_rules(report))
    for rule in report["rules"]:
        _examples(rule, console)
    console.print(_left(report))
    if report["users_with_at"]:
        count = report["users_with_at"]
        console.print(
            Text(f"The user ids of {count:,} prompts hold an @: give users ids that name nobody", style="yellow")
        )
    seconds = sum(report["seconds"].values())
    console.print(Text(f"{report['kept']:,} prompts added to {printable(str(out))} in {seconds:,.1f} s"))


def _rules(report: dict[str, Any]) -> Table:
    table = Table(title="Rules", title_justify="left")
    for name in ("rule", "prompts", "", "why"):
        table.add_column(name, justify="right" if name == "prompts" else "left", overflow="fold")
    for rule in report["rules"]:
        done = next(key for key in ("took", "changed", "flagged") if key in rule)
        reasons = [f"{printable(name)}: {count:,}" for name, count in list(rule["reasons"].items())[:SHOWN_REASONS]]
        more = len(rule["reasons"]) - len(reasons)
        shown = "\n".join(reasons) + (f"\nand {more:,} more" if more > 0 else "")
        table.add_row(Text(rule["title"]), f"{rule[done]:,}", done, Text(shown))
    return table


def _examples(rule: dict[str, Any], console: Console) -> None:
    if not rule["examples"]:
        return
    console.print(Text(rule["title"], style="bold"))
    for example in rule["examples"]:
        line = Text(f"  {printable(example['place'])}", style="dim")
        if "why" in example:
            line.append(f" ({printable(example['why'])})")
        shown = _UNSEEN.sub(lambda sign: f"\\u{ord(sign[0]):04x}", printable(example["text"]))
        line.append(f" {shown}", style="not dim")
        line.truncate(max(console.width, 40) * 2, overflow="ellipsis")
        console.print(line)


def _left(report: dict[str, Any]) -> Table:
    table = Table(title="What is left", title_justify="left")
    table.add_column("use case")
    table.add_column("prompts", justify="right")
    table.add_column("part")
    table.add_column("prompts", justify="right")
    table.add_column("of them new", justify="right")
    kinds, parts = list(report["use_cases"].items()), list(report["parts"].items())
    for index in range(max(len(kinds), len(parts))):
        kind = (kinds[index][0], f"{kinds[index][1]:,}") if index < len(kinds) else ("", "")
        part = ("", "", "")
        if index < len(parts):
            name, count = parts[index]
            part = (name, f"{count['prompts']:,}", f"{count['added']:,}")
        table.add_row(*kind, *part)
    return table
