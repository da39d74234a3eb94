"""Where a model comes from: ``provenance.json`` beside every output of a stage.

It names the recipe and the stage's settings, the parent models and the data by the hash of
what is in them, the seed, the code and the libraries. Paths are relative to the directory it
lies in, and it holds no time of day, so that the same run gives the same file.
"""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import preceptor
from preceptor.errors import InputError
from preceptor.files import read_json, write_json

LIBRARIES = ("torch", "numpy", "tokenizers", "safetensors", "pydantic")
WEIGHTS = "model.safetensors"
TOLD = ("metrics.jsonl", "provenance.json", "README.md")


def provenance(
    stage: str, recipe: str, config: BaseModel, seed: int, inputs: Mapping[str, Any], out: Path
) -> dict[str, Any]:
    """What ``out/provenance.json`` says about a stage called with ``inputs`` (its keyword arguments)."""
    parents: dict[str, Any] = {}
    data: dict[str, Any] = {}
    settings: dict[str, Any] = {"config": config.model_dump(mode="json")}
    for name, value in inputs.items():
        if isinstance(value, BaseModel):
            settings[name] = value.model_dump(mode="json")
        for label, path in _paths(name, value):
            entry = {"path": os.path.relpath(path, out), "sha256": content_hash(path)}
            (parents if (path / WEIGHTS).exists() else data)[label] = entry
    for path in named_paths(config):
        if path.exists():
            data[str(path)] = {"path": os.path.relpath(path, out), "sha256": content_hash(path)}
    libraries = {name: metadata.version(name) for name in LIBRARIES}
    return {
        "stage": stage,
        "recipe": recipe,
        **settings,
        "seed": seed,
        "parents": parents,
        "data": data,
        "code": {"version": preceptor.__version__, **commit()},
        "libraries": {"python": platform.python_version(), **libraries},
        "machine": f"{platform.system()} {platform.machine()}",
    }


def write_provenance(out: Path, record: dict[str, Any], summary: dict[str, Any] | None = None) -> None:
    """Write the record into the directory that it speaks of; with the stage's summary once it is done."""
    done: dict[str, Any] = {} if summary is None else {"summary": summary}
    if summary and "kept_step" in summary:
        done["kept_step"] = summary["kept_step"]
    write_json(out / "provenance.json", record | done)


def earlier_summary(out: Path, record: dict[str, Any]) -> dict[str, Any] | None:
    """What ``provenance.json`` says of an earlier call: its summary if it was finished, else None.

    A stage goes on from the checkpoints in its directory, so they must be its own: a directory
    that was begun from other settings or inputs is refused.
    """
    if not (out / "provenance.json").exists():
        return None
    old = read_json(out / "provenance.json")
    for part in ("stage", "config", "model", "lora", "compute", "seed", "parents", "data"):
        different = first_difference(old.get(part), record.get(part), part)
        if different is not None:
            key, there, here = different
            raise InputError(
                f"{out}: made from something else: {key} is {there!r} there and {here!r} here; "
                f"give another --out, or remove {out} to start afresh"
            )
    summary: dict[str, Any] | None = old.get("summary")
    return summary


def first_difference(there: Any, here: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The first dotted key at which two nests of dicts differ, with both values; None if they are equal."""
    if isinstance(there, dict) and isinstance(here, dict):
        for part in [*there, *(name for name in here if name not in there)]:
            found = first_difference(there.get(part), here.get(part), f"{key}.{part}" if key else part)
            if found is not None:
                return found
        return None
    return None if there == here else (key, there, here)


def content_hash(path: Path) -> str:
    """SHA-256 of a file; of a directory, that of the files that a stage reads from it.

    A model is its weights, a tokenizer its table; any other directory, such as a model in shards, is all the files
    in it, without hidden ones and what is only told about them: metrics, provenance, the card.
    """
    in_shards = any(path.glob("*.safetensors.index.json"))
    for name in (WEIGHTS, "tokenizer.json"):
        if (path / name).exists() and not (in_shards and name != WEIGHTS):
            path = path / name
            break
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file_path in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file_path.relative_to(path).parts)
        if file_path.is_file() and not hidden and file_path.name not in TOLD:
            digest.update(f"{file_path.relative_to(path).as_posix()}\0{content_hash(file_path)}\n".encode())
    return digest.hexdigest()


@cache
def commit() -> dict[str, Any]:
    """The git commit of the code, and whether tracked files were changed; empty outside a checkout."""
    package = Path(preceptor.__file__).resolve().parent
    try:
        top = Path(_git(package, "rev-parse", "--show-toplevel"))
        if top / "src" / "preceptor" != package:
            return {}  # installed inside somebody else's checkout
        head = _git(package, "rev-parse", "HEAD")
        return {"commit": head, "modified": bool(_git(package, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def _git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()


def named_paths(table: BaseModel) -> Iterator[Path]:
    """Every path that a table of a recipe, or a table inside it, names."""
    for value in dict(table).values():
        if isinstance(value, BaseModel):
            yield from named_paths(value)
        parts = value if isinstance(value, (list, tuple)) else [value]
        yield from (part for part in parts if isinstance(part, Path))


def _paths(name: str, value: Any) -> Iterator[tuple[str, Path]]:
    """The existing paths of one argument, labelled: a path, a list of paths, or paths by name."""
    if isinstance(value, Path):
        if value.exists():
            yield name, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _paths(f"{name}.{key}", part)
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value, start=1):
            yield from _paths(f"{name}.{index}", part)
