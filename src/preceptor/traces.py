"""Where prompts have gone: the data files that hold them, and the models that were trained on those.

Data files are looked through for the ids of prompts. A model is trained on a file if its ``provenance.json`` names the
file, by the hash of what is in it, among its data; and on everything that its parents were trained on, which are found
in the same way, by the hash of their weights. Names of users in other people's texts are not looked for.
"""

import json
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from preceptor.errors import InputError
from preceptor.provenance import content_hash

KEYS = ("id", "prompt_id")
PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class Trace:
    """A file that holds some of the prompts, or a model that learnt from them."""

    kind: Literal["file", "model"]
    path: Path
    why: str  # "3 of the prompts"; "trained on ../data/prompts.jsonl"


def find_traces(directories: Sequence[Path], prompts: Set[str], users: Set[str]) -> list[Trace]:
    """The files below these directories with any of the prompts, and the models trained on them, files first."""
    for directory in directories:
        if not directory.is_dir():
            raise InputError(f"{directory}: no such directory; name a run directory")
    files = {}
    for path in _below(directories, "*.jsonl"):
        count = _count(path, prompts, users)
        if count:
            files[path] = count
    traces = [Trace("file", path, f"{count} lines of theirs") for path, count in files.items()]
    tainted = {content_hash(path): path for path in files}
    # A directory that a stage read whole, such as a run's data, is hashed whole.
    tainted |= {content_hash(folder): folder for folder in sorted({path.parent for path in files})}
    records = [(path.parent, _provenance(path)) for path in _below(directories, PROVENANCE)]
    models: dict[Path, str] = {}
    found = True
    while found:  # until no child of a tainted model is new
        found = False
        for directory, record in records:
            if directory in models:
                continue
            for sha256 in _hashes(record):
                if sha256 in tainted:
                    models[directory] = f"trained on {tainted[sha256]}"
                    tainted[content_hash(directory)] = directory
                    found = True
                    break
    return traces + [Trace("model", path, why) for path, why in sorted(models.items())]


def _below(directories: Sequence[Path], pattern: str) -> Iterator[Path]:
    seen: set[Path] = set()
    for directory in directories:
        for path in sorted(directory.rglob(pattern)):
            real = path.resolve()
            if real not in seen and path.is_file():
                seen.add(real)
                yield path


def _count(path: Path, prompts: Set[str], users: Set[str]) -> int:
    """How many lines of a JSONL file are of these prompts or users; what is no JSON is not."""
    count = 0
    with path.open("rb") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and (any(row.get(key) in prompts for key in KEYS) or row.get("user") in users):
                count += 1
    return count


def _provenance(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        raise InputError(f"{path}: is no provenance; mend or remove it") from None
    return record if isinstance(record, dict) else {}


def _hashes(record: dict[str, Any]) -> Iterator[str]:
    for part in ("data", "parents"):
        for entry in (record.get(part) or {}).values():
            if isinstance(entry, dict) and isinstance(entry.get("sha256"), str):
                yield entry["sha256"]
