"""A file that is one JSON object: a single record, or what wraps a list of records.

The object is a record if it fits a format. Else, if one of its values is a list of objects, as in ``{"data": [{...},
...]}``, these are the records: whatever they are if the object holds nothing else, and if they fit a format where
something stands beside them. A list of turns wraps nothing: that is a conversation under a name that is not known, and
the error should show it.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from preceptor.feedback.readers.known import READERS

_SPACE = re.compile(r"\s*")
_DECODER = json.JSONDecoder()


def single_object(text: str) -> dict[str, Any] | None:
    """The object that is all of a text, or None if there is more to it or it is none.

    Raises what :mod:`json` raises where the text begins like an object that is written over several lines.
    """
    start = _skip(text, 0)
    try:
        value, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        if is_spread(text):
            raise
        return None
    return value if isinstance(value, dict) and _skip(text, end) == len(text) else None


def is_spread(text: str) -> bool:
    """Whether a text begins like an object whose fields stand on lines of their own."""
    first, _, rest = text.lstrip().partition("\n")
    return bool(rest.strip()) and first.startswith("{") and first.rstrip().endswith(("{", "[", ",", ":"))


def wrapping_keys(value: dict[str, Any]) -> list[str]:
    """The keys of the lists of records in an object that is itself no record; if there are several, it is not clear."""
    if "text" in value or _fits(value):
        return []
    lists = {key: held for key, held in value.items() if _is_list_of_objects(held)}
    return [key for key, held in lists.items() if len(value) == 1 or _fits(held[0])]


def _fits(value: dict[str, Any]) -> bool:
    return any(reader.fits(value) for reader in READERS)


def _is_list_of_objects(value: Any) -> bool:
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return False
    return not {"role", "from"} & value[0].keys()  # else it is a conversation


def position_of(text: str, wanted: str) -> int:
    """Where the value of a key begins in the text of an object; the last one of a key that is there twice counts."""
    return [start for key, start in _fields(text) if key == wanted][-1]


def _fields(text: str) -> Iterator[tuple[str, int]]:
    """Each key of an object that is well formed, and where its value begins."""
    position = _skip(text, text.index("{") + 1)
    while text[position] != "}":
        key, end = _DECODER.raw_decode(text, position)
        start = _skip(text, _skip(text, end) + 1)  # behind the colon
        yield key, start
        _, end = _DECODER.raw_decode(text, start)
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)


def _skip(text: str, position: int) -> int:
    """The place of the next character that is no space."""
    match = _SPACE.match(text, position)
    return position if match is None else match.end()
