"""The state of a training run in one file, written atomically: weights, optimizer, counters, nothing pickled."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from preceptor.errors import InputError
from preceptor.files import file_atomic


def write_state(path: Path, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Replace ``path`` by the tensors and the JSON-able ``values``, wholly or not at all."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with file_atomic(path) as partial:
        save_file(whole, partial, metadata={"values": json.dumps(values)})


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`write_state` wrote. A damaged file is an :class:`InputError` that says what to do."""
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads(file.metadata()["values"])
            return {name: file.get_tensor(name) for name in file.keys()}, values  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is damaged ({error}); delete it and the stage starts over") from None
