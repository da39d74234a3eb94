"""The data in a file of joblib's, read without running anything that the file names.

Such a file is a pickle, which tells the reader which functions to call; between its instructions stand the bytes
of arrays. Here no name in it is ever looked up: whatever the file wants to make becomes a :class:`Named`, which
does nothing but keep what it was given.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.errors import InputError


class Named:
    """Something that the file calls by ``name``: the arguments and the state that it came with, and its array."""

    name = ""

    def __init__(self, *args: Any, **_: Any) -> None:
        self.args = args
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __getitem__(self, field: str) -> Any:
        return self.state[field]


def read_joblib(path: Path) -> Any:
    """What the file holds: lists, dicts, numbers, texts and :class:`Named`; arrays of joblib's are NumPy's, in
    ``array`` of their Named. Raises InputError for what is no such file."""
    try:
        return _Reader(io.BytesIO(path.read_bytes())).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise InputError(f"{path}: cannot be read as an uncompressed file of joblib ({error})") from None


def number(scalar: Any) -> float:
    """A number that NumPy wrote: a plain one, or a Named of its type and bytes."""
    if isinstance(scalar, Named):
        kind, raw = scalar.args
        return float(np.frombuffer(raw, _dtype(kind))[0])
    return float(scalar)


class _Reader(pickle.Unpickler):
    """Puts inert classes in the place of all that is named, so that no instruction has anything to call."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)  # which reads no further than it must, since a BytesIO cannot be peeked into
        self._file = file
        self._classes: dict[str, type[Named]] = {}

    def find_class(self, module: str, name: str) -> type[Named]:
        """An inert class for ``module.name``; nothing is imported."""
        base: type[Named] = Named
        if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
            base = _array_from(self._file)
        return self._classes.setdefault(f"{module}.{name}", type(name, (base,), {"name": f"{module}.{name}"}))


def _array_from(file: io.BytesIO) -> type[Named]:
    """The class of arrays whose bytes follow in ``file``: a length, so many bytes to align them, and they."""

    class Array(Named):
        array: Any

        def __setstate__(self, state: Any) -> None:
            self.state = state
            kind = _dtype(state["dtype"])
            if state.get("numpy_array_alignment_bytes") is not None:
                file.read(file.read(1)[0])
            raw = file.read(kind.itemsize * int(np.prod(state["shape"], dtype=np.int64)))
            self.array = np.frombuffer(raw, kind).reshape(state["shape"], order=state["order"])

    return Array


def _dtype(named: Named) -> np.dtype[Any]:
    """A type of numbers in little-endian order, as NumPy pickles it: the code, then a state with the order."""
    code, order = named.args[0], named.state[1]
    if code not in ("f4", "f8", "i4", "i8") or order != "<":
        raise ValueError(f"an array of {order}{code}")
    return np.dtype(order + code)
