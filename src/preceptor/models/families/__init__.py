"""Families: one file each maps Hugging Face's config and weight names to ours and back."""

from types import ModuleType
from typing import Any

from preceptor.errors import InputError
from preceptor.models.families import gpt2, llama

_BY_MODEL_TYPE: dict[str, ModuleType] = {"gpt2": gpt2, "llama": llama}


def family(model_type: Any, where: str) -> ModuleType:
    """The module of a Hugging Face ``model_type``; an :class:`InputError` lists the known ones."""
    if model_type not in _BY_MODEL_TYPE:
        known = ", ".join(sorted(_BY_MODEL_TYPE))
        raise InputError(f"{where}: unknown model family {model_type!r}; the known ones are {known}")
    return _BY_MODEL_TYPE[model_type]
