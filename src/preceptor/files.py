"""Reading and writing files so that nothing is ever half there.

A write goes to a temporary file beside its target, is flushed to the disk, and takes the
target's name in one step. A full disk or a SIGKILL leaves the old file as it was.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from preceptor.errors import InputError

Row = TypeVar("Row", bound=BaseModel)

# The mask can only be read by setting it; here, at import, no other thread makes files yet.
_umask = os.umask(0o077)
os.umask(_umask)
ORDINARY = 0o666 & ~_umask  # libraries that write through a temporary file leave it readable by its owner alone


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace ``path`` by ``content`` (text is written as UTF-8), wholly or not at all."""
    with file_atomic(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def file_atomic(path: Path) -> Iterator[Path]:
    """Yield a name beside ``path`` for a file to be written, which takes its place if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        _settle(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def directory_atomic(path: Path) -> Iterator[Path]:
    """Yield an empty directory beside ``path`` that takes its name if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                _settle(file)
        if path.exists():
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(old)
            partial.rename(path)
            shutil.rmtree(old)
        else:
            partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _settle(path: Path) -> None:
    """Flush a file to the disk and give it the mode of an ordinary new file."""
    path.chmod(ORDINARY)
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; NaN and infinity are refused."""
    write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value in ``path``; a missing or malformed file is an :class:`InputError`."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not valid JSON ({error.msg})") from None


def read_text(path: Path) -> str:
    """The UTF-8 text of a file; a missing file or other bytes are an :class:`InputError`."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a directory; name a file in it") from None
    except PermissionError:
        raise InputError(f"{path}: may not be read; check its permissions") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; convert the file") from None


def write_jsonl(path: Path, rows: Iterable[BaseModel | dict[str, Any]]) -> None:
    """Write one JSON object a line, atomically. Models leave out what is None."""
    lines = []
    for row in rows:
        value = row.model_dump(mode="json", exclude_none=True) if isinstance(row, BaseModel) else row
        lines.append(json.dumps(value, ensure_ascii=False, allow_nan=False))
    write_atomic(path, "".join(line + "\n" for line in lines))


def read_jsonl(path: Path, model: type[Row]) -> list[Row]:
    """The rows of a JSONL file as ``model``; the error names the file, the line and the field.

    Blank lines are skipped; a file without any row is an error too, since no stage can use it.
    """
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(model.model_validate_json(line))
        except ValidationError as error:
            raise InputError(f"{path}:{number}: {first_fault(error)}") from None
    if not rows:
        raise InputError(f"{path}: holds no {model.__name__.lower()}; it needs at least one line")
    return rows


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong with a record, with the field that it is in."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{field + ': ' if field else ''}{first['msg'].removeprefix('Value error, ')}"
