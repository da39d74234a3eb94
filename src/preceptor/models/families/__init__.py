"""Families: one file each maps Hugging Face's config and weight names to ours and back.

A family file has ``read_config``, ``write_config`` and ``pieces``; the names of the classes in transformers that read
what is written, ``LM`` and ``SCORES``; and in their weights the prefix ``TRUNK`` and the heads ``LM_HEAD`` and
``SCORE``. Those that ``pretrain`` starts from nothing have ``configure`` too.
"""

from types import ModuleType
from typing import Any

from preceptor.errors import InputError
from preceptor.models.families import gemma3, gpt2, gpt_neox, llama, mistral, qwen2, qwen3

_BY_MODEL_TYPE: dict[str, ModuleType] = {
    "gemma3": gemma3,
    "gemma3_text": gemma3,
    "gpt2": gpt2,
    "gpt_neox": gpt_neox,
    "llama": llama,
    "mistral": mistral,
    "qwen2": qwen2,
    "qwen3": qwen3,
}

# What lies outside the blocks and gets no adapters, by the last part of its name: embeddings, and heads.
OUTSIDE_BLOCKS = frozenset({"embed_tokens", "embed_in", "wte", "wpe", "lm_head", "embed_out", "score", "classifier"})


def family(model_type: Any, where: str) -> ModuleType:
    """The module of a Hugging Face ``model_type``; an :class:`InputError` lists the known ones."""
    if not isinstance(model_type, str) or model_type not in _BY_MODEL_TYPE:
        known = ", ".join(sorted(_BY_MODEL_TYPE))
        raise InputError(f"{where}: unknown model family {model_type!r}; the known ones are {known}")
    return _BY_MODEL_TYPE[model_type]
