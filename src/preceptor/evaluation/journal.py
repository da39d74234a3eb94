"""Rows that a long measurement keeps as they come, so that the same command goes on where it was stopped.

The first line says what the rows are made from; rows made from anything else are refused, never mixed in.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.files import write_atomic

Row = dict[str, Any]


class Journal:
    """A JSONL file of rows, each with an ``id``; of two rows with one id the later counts."""

    def __init__(self, path: Path, made_from: Mapping[str, Any]) -> None:
        """Open or begin the file. Raises InputError if its rows are made from something else."""
        self.path = path
        self._rows: dict[str, Row] = {}
        head = {"made_from": json.loads(json.dumps(made_from))}
        lines = _whole_lines(path)
        if lines and lines[0] != head:
            raise InputError(f"{path}: made from another {_different(lines[0], head)}; give another --out or remove it")
        for row in lines[1:]:
            self._rows[row["id"]] = row
        write_atomic(path, "".join(_line(row) for row in [head, *lines[1:]]))  # without a line that a kill has torn

    def rows(self) -> list[Row]:
        """All rows that are kept."""
        return list(self._rows.values())

    def keep(self, rows: Sequence[Row]) -> None:
        """Add rows to the file, in one write."""
        with self.path.open("ab", buffering=0) as file:
            file.write("".join(map(_line, rows)).encode())
        self._rows |= {row["id"]: row for row in rows}

    def fill(
        self,
        ids: Sequence[str],
        make: Callable[[list[int]], list[Row]],
        size: int = 1,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> list[Row]:
        """The rows of ``ids``, in their order; those that are missing come from ``make``, given places in ``ids``.

        Groups of ``size`` are made together or not at all, always the same ones: the rounding of a batch depends on
        who is in it, and an interruption must not change a result. ``on_progress`` is told how many are there.
        """
        for start in range(0, len(ids), size):
            group = list(range(start, min(start + size, len(ids))))
            if not all(ids[place] in self._rows for place in group):
                made = make(group)
                self.keep([{"id": ids[place]} | row for place, row in zip(group, made, strict=True)])
            on_progress(group[-1] + 1)
        return [self._rows[one] for one in ids]


def kept_rows(path: Path) -> list[Row]:
    """The rows of a journal that somebody else wrote, or is writing; a line that a kill has torn is left out."""
    return _whole_lines(path)[1:]


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def _whole_lines(path: Path) -> list[Row]:
    found: list[Row] = []
    for raw in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
        try:
            row = json.loads(raw)
        except ValueError:
            break  # torn by a kill, or by a full disk
        if not isinstance(row, dict) or ("id" if found else "made_from") not in row:
            raise InputError(f"{path}: was not written by this command; give another --out")
        found.append(row)
    return found


def _different(there: Row, here: Row) -> str:
    """What the two are made from differently, in a word or two."""
    old, new = there["made_from"], here["made_from"]
    for key in [*new, *old]:
        if old.get(key) != new.get(key):
            if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
                inner = next(part for part in [*new[key], *old[key]] if old[key].get(part) != new[key].get(part))
                return f"{key}.{inner}"
            return str(key)
    return "order of settings"
