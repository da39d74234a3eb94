"""From a file to its records, each with the place it stands at, so that errors can name it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from preceptor.errors import InputError
from preceptor.files import read_text

Shape = TypeVar("Shape", bound=BaseModel)


@dataclass(frozen=True)
class Place:
    """A line of a file."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"

    def error(self, message: str) -> InputError:
        """An error that says ``message`` of this place."""
        return InputError(f"{self}: {message}")


def read_records(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The JSON objects of a file, whether one a line or all in one array, with their line.

    Blank lines are skipped. Anything that is not an object is an :class:`InputError`.
    """
    text = read_text(path).removeprefix("\ufeff")
    objects = _of_array(path, text) if text.lstrip().startswith("[") else _of_lines(path, text)
    for place, value in objects:
        if not isinstance(value, dict):
            raise place.error('holds no JSON object; write one {"...": ...} a record')
        yield place, value


def _of_lines(path: Path, text: str) -> Iterator[tuple[Place, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = Place(path, number)
            try:
                yield place, json.loads(line)
            except json.JSONDecodeError as error:
                raise place.error(f"not valid JSON ({error.msg}); write one JSON object a line") from None
            except RecursionError:
                raise place.error("is nested too deeply; cut the record") from None


def _of_array(path: Path, text: str) -> Iterator[tuple[Place, Any]]:
    """The values of a JSON array, decoded one by one, so that each one's line is known."""
    decoder = json.JSONDecoder()
    position, line = text.index("[") + 1, 1
    line += text.count("\n", 0, position)

    def skip(position: int) -> int:
        while position < len(text) and text[position].isspace():
            position += 1
        return position

    closed = False
    while not closed:
        start = skip(position)
        line += text.count("\n", position, start)
        place = Place(path, line)
        if text[start : start + 1] == "]":  # an empty array, or a comma before the end
            return
        try:
            value, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            at = Place(path, text.count("\n", 0, error.pos) + 1)
            raise at.error(f"not valid JSON ({error.msg}); mend the array or write one object a line") from None
        except RecursionError:
            raise place.error("is nested too deeply; cut the record") from None
        yield place, value
        after = skip(end)
        line += text.count("\n", start, after)
        if text[after : after + 1] not in (",", "]"):
            raise Place(path, line).error("expected ',' or ']' after a record; mend the array")
        closed = text[after] == "]"
        position = after + 1


def validate(shape: type[Shape], value: Any, place: Place, mend: str) -> Shape:
    """``value`` as a ``shape``, or an error that names place, field and mend."""
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise place.error(f"{where + ': ' if where else ''}{first['msg']}; {mend}") from None
    except RecursionError:
        raise place.error("is nested too deeply; cut the record") from None
