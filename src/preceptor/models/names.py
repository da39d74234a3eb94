"""What models are called by those who talk to them."""

import re
from collections.abc import Sequence
from pathlib import Path

from preceptor.errors import InputError

_NAME = re.compile(r"[\w.:@/-]{1,100}")


def name_models(options: Sequence[str]) -> dict[str, str]:
    """What each ``--model`` names, by the name that users say: that of ``NAME=MODEL``, else the model's own.

    Its own is the directory's name, the file's without its ending, or the hub id as it was given. Raises
    :class:`InputError` for two models of one name.
    """
    models: dict[str, str] = {}
    for option in options:
        name, equals, model = option.partition("=")
        if not equals or Path(option).expanduser().exists():  # a path may have an = in it
            name, model = _own_name(option), option
        elif not model:
            raise InputError(f"--model {option}: names no model; give it as NAME=MODEL")
        elif not _NAME.fullmatch(name):
            raise InputError(f"--model {option}: {name!r} is no name; use letters, digits and . _ - : / @")
        if name in models:
            raise InputError(f"--model {option}: two models are called {name}; give one another name with NAME=MODEL")
        models[name] = model
    return models


def _own_name(model: str) -> str:
    path = Path(model).expanduser()
    if path.is_dir():
        return path.resolve().name
    return path.stem if path.is_file() else model
