"""A GGUF file: metadata by key, tensors by name and dequantised, and one clear line for what cannot be read.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

from preceptor.errors import InputError

MAGIC = b"GGUF"


def is_gguf(path: Path) -> bool:
    """Whether a file says that it is one."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


class GGUFFile:
    """An open file. It is mapped into memory; a tensor is read and dequantised when asked for."""

    def __init__(self, path: Path) -> None:
        """Raises :class:`InputError` for a file that is torn or of another format."""
        self.path = path
        try:
            self._reader = gguf.GGUFReader(path)
        except Exception as error:  # whatever the bytes lead the library to
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{path}: is not a whole GGUF file ({reason[:200]}); download it again") from None
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        self.architecture: str = self.need("general.architecture")

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key of the metadata: a number, a string, a bool or a list of one of them."""
        field = self._reader.get_field(key)
        if field is None:
            return default
        value = field.contents()
        if isinstance(value, float):  # stored in 32 bits: 1e-5 is meant, not 9.999999747378752e-06
            return float(str(np.float32(value)))
        return value

    def need(self, key: str) -> Any:
        """:meth:`get`; an :class:`InputError` if there is no such key."""
        value = self.get(key)
        if value is None:
            raise InputError(f"{self.path}: its metadata lacks {key}; use a file of a whole model")
        return value

    @property
    def names(self) -> set[str]:
        """The names of the tensors."""
        return set(self._tensors)

    def rows(self, name: str) -> int:
        """How many rows a matrix has."""
        return int(self._tensors[name].shape[-1])

    def __getitem__(self, name: str) -> Tensor:
        """A tensor in float32, rows first. KeyError for one that is not there."""
        tensor = self._tensors[name]
        try:
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        except (NotImplementedError, ValueError, AssertionError):
            kind = tensor.tensor_type.name
            raise InputError(
                f"{self.path}: {name} is quantised as {kind}, which cannot be read; use another quantisation"
            ) from None
        shape = [int(size) for size in reversed(tensor.shape)]
        # What is not quantised is a view of the file, which torch would take for its own to write to.
        return torch.from_numpy(values if values.flags.writeable else values.copy()).view(shape)
