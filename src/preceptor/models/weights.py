"""The weights in a Hugging Face directory: safetensors, whole or in shards, read as they are asked for."""

import hashlib
from pathlib import Path, PurePath
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from preceptor.errors import InputError
from preceptor.files import read_json

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def digest(directory: Path) -> str:
    """SHA-256 over the weights in a directory: what tells a base from another of the same shape."""
    total = hashlib.sha256()
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


class Weights:
    """Tensors by name. A file is mapped into memory, not read, so that only what is asked for is held."""

    def __init__(self, directory: Path) -> None:
        """Open what ``directory`` has. Raises :class:`InputError` for what is missing, torn or not safetensors."""
        self._directory = directory
        self._files: dict[str, Any] = {}
        self._file_of: dict[str, str] = {}
        index = directory / INDEX
        if (directory / WHOLE).is_file() or not index.is_file():
            self._open(WHOLE)
            return
        found = read_json(index)
        self._file_of = found.get("weight_map", {}) if isinstance(found, dict) else {}
        shards = list(self._file_of.values()) if isinstance(self._file_of, dict) else []
        if not shards or not all(isinstance(shard, str) and PurePath(shard).name == shard for shard in shards):
            raise InputError(f"{index}: has no weight_map from tensors to files beside it; copy the model again")
        names = dict(self._file_of)
        for shard in sorted(set(shards)):
            self._open(shard)
        for name, shard in names.items():
            if self._file_of.get(name) != shard:
                raise InputError(f"{directory / shard}: lacks {name}, which {INDEX} says it has; copy it again")

    def __contains__(self, name: str) -> bool:
        return name in self._file_of

    def __getitem__(self, name: str) -> Tensor:
        """The tensor as stored. KeyError for one that is not there."""
        return self._files[self._file_of[name]].get_tensor(name)

    def ending(self, suffix: str) -> list[str]:
        """The names that end with ``suffix`` as a whole dotted part, shortest first."""
        return sorted((name for name in self._file_of if f".{name}".endswith(f".{suffix}")), key=len)

    def _open(self, file: str) -> None:
        path = self._directory / file
        try:
            opened = safe_open(path, framework="pt")
        except FileNotFoundError:
            raise InputError(self._missing(path)) from None
        except (SafetensorError, OSError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: is not a whole safetensors file ({reason}); copy it again") from None
        self._files[file] = opened
        held = set(opened.keys())
        self._file_of = {name: shard for name, shard in self._file_of.items() if shard != file or name in held}
        self._file_of |= dict.fromkeys(held, file)

    def _missing(self, path: Path) -> str:
        if path.name != WHOLE:
            return f"{path}: no such file; a shard that {INDEX} names is missing, so copy the model again"
        pickled = [found.name for kind in ("*.bin", "*.pt", "*.pth") for found in sorted(self._directory.glob(kind))]
        if pickled:
            return (
                f"{self._directory}: has its weights in {pickled[0]}, which would have to be unpickled and may run "
                "anything; get the model as safetensors"
            )
        return f"{path}: no such file; the model directory is incomplete"
