"""A tokenizer directory that others made: its files, the special tokens it declares, its chat template.

Where the files disagree, tokenizer_config.json is believed before special_tokens_map.json, and both before the ids in
generation_config.json and config.json; chat_template.jinja before the template in tokenizer_config.json.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from preceptor.errors import InputError
from preceptor.files import read_json, read_text

TOKENIZER, CONFIG, MAP = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
TEMPLATE, GENERATION = "chat_template.jinja", "generation_config.json"
# The files of a tokenizer; those that we do not read are carried along.
_FILES = (
    TOKENIZER,
    CONFIG,
    MAP,
    TEMPLATE,
    "added_tokens.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "merges.txt",
)
NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True)
class Source:
    """What a directory says about its tokenizer."""

    directory: Path
    backend: tokenizers.Tokenizer
    files: dict[str, bytes]  # those of the tokenizer, as they are
    config: dict[str, Any]  # tokenizer_config.json
    token_map: dict[str, Any]  # special_tokens_map.json
    generation: dict[str, Any]  # generation_config.json
    tokens: dict[str, str]  # the special tokens: {"eos_token": "</s>", ...}
    template: str | None
    eos_ids: list[int]  # that generation_config.json and config.json name


def read_source(directory: Path) -> Source:
    """Read a directory; only ``tokenizer.json`` must be there."""
    path = directory / TOKENIZER
    text = read_text(path)
    try:
        backend = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exception for anything malformed
        raise InputError(f"{path}: not a tokenizer ({error}); write it with `preceptor tokenizer`") from None
    config, token_map, generation, model = (
        _read_object(directory / name) for name in (CONFIG, MAP, GENERATION, "config.json")
    )
    files = {file.name: file.read_bytes() for file in tokenizer_files(directory)}
    declared = {name: _declared(name, config, token_map, [generation, model], backend) for name in NAMES}
    tokens = {name: token for name, token in declared.items() if token is not None}
    eos_ids = [number for one in (generation, model) for number in _as_list(one.get("eos_token_id"))]
    template = _template(directory, config)
    return Source(directory, backend, files, config, token_map, generation, tokens, template, eos_ids)


def tokenizer_files(directory: Path) -> list[Path]:
    """The files of the tokenizer that a directory has."""
    return [directory / name for name in _FILES if (directory / name).is_file()]


def _read_object(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: must hold a JSON object")
    return value


def _declared(
    name: str,
    config: dict[str, Any],
    token_map: dict[str, Any],
    by_id: list[dict[str, Any]],
    backend: tokenizers.Tokenizer,
) -> str | None:
    """A special token by its name. A null in tokenizer_config.json says that there is none."""
    for one in (config, token_map):
        if name in one:
            value = one[name]
            value = value.get("content") if isinstance(value, dict) else value
            return value if isinstance(value, str) and value else None
    for one in by_id:
        for number in _as_list(one.get(f"{name}_id")):
            token = backend.id_to_token(number)
            if token is not None:
                return token
    return None


def _as_list(value: Any) -> list[int]:
    numbers = value if isinstance(value, list) else [value]
    return [number for number in numbers if isinstance(number, int) and not isinstance(number, bool) and number >= 0]


def _template(directory: Path, config: dict[str, Any]) -> str | None:
    if (directory / TEMPLATE).is_file():
        return read_text(directory / TEMPLATE)
    found = config.get("chat_template")
    if isinstance(found, list):
        named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
        if "default" not in named:
            names = ", ".join(map(str, named)) or "none"
            raise InputError(f'{directory / CONFIG}: no chat template is named "default" (found: {names}); name one so')
        found = named["default"]
    if found is not None and not isinstance(found, str):
        raise InputError(f"{directory / CONFIG}: chat_template must be a text or a list of named templates")
    return found or None
