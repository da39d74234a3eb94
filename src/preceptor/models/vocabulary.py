"""Whether the weights have a row for every token that their tokenizer may hand out."""

from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.files import read_json, read_text

_ROLES = ("bos_token", "eos_token", "pad_token", "unk_token", "mask_token")


def check_vocabulary(directory: Path, rows: int) -> None:
    """An :class:`InputError` if the tokenizer beside the weights has ids beyond their ``rows`` of embeddings.

    Spare rows do no harm. Nor does a special token beyond them that neither has a role nor stands in the chat
    template, since no text becomes it: Gemma 3's tokenizer has one for images in the models without eyes too.
    """
    path = directory / "tokenizer.json"
    if not path.is_file():
        return
    found = read_json(path)
    try:
        vocabulary, added = found["model"]["vocab"], found.get("added_tokens", [])
        ids = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
        beyond = {token["id"]: token for token in added if token["id"] >= rows}
        unused = {one for one, token in beyond.items() if token["special"] and not _used(directory, token["content"])}
        highest = max({*ids, *beyond} - unused, default=-1)
    except (KeyError, TypeError, AttributeError):
        return  # Tokenizer.load says what is wrong with it
    if highest >= rows:
        raise InputError(
            f"{path}: has a token {highest}, but the weights have {rows} rows of embeddings; "
            "use the tokenizer that the model was trained with"
        )


def _used(directory: Path, token: str) -> bool:
    """Whether a special token has a role or stands in a chat template."""
    path = directory / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    config = config if isinstance(config, dict) else {}
    templates = [read_text(path) for path in sorted(directory.glob("*.jinja"))] + [str(config.get("chat_template"))]
    return token in [_content(config.get(role)) for role in _ROLES] or any(token in one for one in templates)


def _content(value: Any) -> Any:
    """A token in tokenizer_config.json: its text, or an object that has it."""
    return value.get("content") if isinstance(value, dict) else value
