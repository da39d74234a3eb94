"""From a file or a dataset of the hub to its records, each with the place it stands at.

Known are JSON lines, a JSON array, a single JSON object, CSV (with commas or semicolons) and TSV with a header, and
Parquet; each also packed by gzip or zstd. Which one it is, is seen from the first bytes and never from the name.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from preceptor.errors import InputError
from preceptor.feedback.readers import hub
from preceptor.feedback.readers.objects import is_spread, position_of, single_object, wrapping_keys
from preceptor.feedback.readers.places import Place
from preceptor.feedback.readers.tables import csv_rows, delimiter_of, parquet_rows
from preceptor.feedback.readers.unpacking import Packing, read_unpacked

Form = Literal[
    "JSON lines",
    "JSON array",
    "JSON object",
    "CSV",
    "CSV with semicolons",
    "TSV",
    "Parquet",
    "zip",
    "text",
    "dataset of the hub",
]
TABLES: dict[Form, str] = {"CSV": ",", "CSV with semicolons": ";", "TSV": "\t"}  # form -> delimiter
# A record in memory takes a hundred times what a small one takes in a packed file. What is not packed shows its size.
MAX_PACKED_RECORDS = 4_000_000
LOOKED_AT = 2**20  # bytes at the beginning that the form is seen from
HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")  # as JSON may write it; two that belong together are a whole sign


@dataclass(frozen=True)
class Opened:
    """A source whose form is known and whose records are not read yet."""

    name: Path | str  # a string names a dataset of the hub
    form: Form
    packing: Packing = ""
    raw: bytes = b""  # unpacked; of a dataset of the hub nothing
    dataset: hub.HubName | None = None

    def records(self) -> Iterator[tuple[Place, dict[str, Any]]]:
        """The records in order, with their places. Anything that is not a record is an :class:`InputError`."""
        for count, (place, record) in enumerate(self._records(), start=1):
            if count > MAX_PACKED_RECORDS and (self.packing or self.form == "Parquet"):
                raise place.error(f"is packed and holds more than {MAX_PACKED_RECORDS:,} records; split it")
            yield place, record

    def _records(self) -> Iterator[tuple[Place, dict[str, Any]]]:
        if self.dataset is not None:
            yield from hub.rows(self.dataset)
        elif self.form == "Parquet":
            yield from parquet_rows(self.name, self.raw)
        elif self.form in TABLES:
            yield from csv_rows(self.name, self.text(), TABLES[self.form])
        elif self.form == "zip":
            raise InputError(f"{self.name}: is a zip, which is read as plain text only; unpack it and name the files")
        elif self.form == "text" and not self.text().lstrip().startswith(("{", "[")):
            if self.text().strip():
                raise InputError(f"{self.name}: is neither JSON, JSON lines, CSV with a header nor Parquet; convert it")
        else:
            yield from _of_json(self.name, self.text())

    def text(self) -> str:
        """The content as UTF-8."""
        try:
            return self.raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{self.name}: byte {error.start} is not UTF-8; convert the file") from None


def open_source(source: Path) -> Opened:
    """Open a local file, or find that ``source`` names a dataset of the hub (:mod:`.hub`)."""
    name = hub.parse(source)
    if name is None:
        raw, packing = read_unpacked(source)
        return Opened(source, form_of(raw), packing, raw)
    if name.file:
        raw, packing = read_unpacked(hub.download(name))
        return Opened(str(name), form_of(raw), packing, raw)
    return Opened(str(name), "dataset of the hub", dataset=name)


def read_records(source: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The records of a file or of a dataset of the hub, with their places."""
    yield from open_source(source).records()


def form_of(raw: bytes) -> Form:
    """The form of a source, from its first bytes, unpacked."""
    if raw.startswith(b"PAR1"):
        return "Parquet"
    if raw.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    beginning = raw[:LOOKED_AT].decode("utf-8-sig", errors="replace")
    if re.match(r'\s*\{\s*(["}]|$)', beginning):
        return "JSON object" if _is_one_object(beginning, len(raw) <= LOOKED_AT) else "JSON lines"
    if re.match(r"\s*\[\s*([\[{\]]|$)", beginning):
        return "JSON array"
    delimiter = delimiter_of(beginning)
    return next((form for form, its in TABLES.items() if its == delimiter), "text")


def _is_one_object(beginning: str, is_whole: bool) -> bool:
    """Whether a text is an object over several lines, or one on a single line that wraps records."""
    if is_spread(beginning) or not is_whole:
        return is_spread(beginning)
    value = single_object(beginning)
    return value is not None and bool(wrapping_keys(value))


# JSON --------------------------------------------------------------------------------------------


def _of_json(name: Path | str, text: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    objects = _of_array(name, text, 0) if text.lstrip().startswith("[") else _of_objects(name, text)
    for place, value in objects:
        if not isinstance(value, dict):
            raise place.error('holds no JSON object; write one {"...": ...} a record')
        yield place, value


def _of_objects(name: Path | str, text: str) -> Iterator[tuple[Place, Any]]:
    """The one object that a text is, the records that it wraps, or an object a line."""
    try:
        value = single_object(text)
    except (ValueError, RecursionError) as error:
        place = Place(name, error.lineno if isinstance(error, json.JSONDecodeError) else 1)
        raise _fault(error, place, "mend the object or write one object a line") from None
    if value is None:
        yield from _of_lines(name, text)
        return
    keys = wrapping_keys(value)
    place = Place(name, text.count("\n", 0, text.index("{")) + 1)
    if len(keys) > 1:
        raise place.error(f"holds several lists of records, {', '.join(map(repr, keys))}; write each to its own file")
    if keys:
        yield from _of_array(name, text, position_of(text, keys[0]))
    else:
        _check_unicode(text, value, place)
        yield place, value


def _of_lines(name: Path | str, text: str) -> Iterator[tuple[Place, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = Place(name, number)
            value = json_of(line, place)
            _check_unicode(line, value, place)
            yield place, value


def json_of(line: str, place: Place) -> Any:
    """The JSON value of a line; what is none is an :class:`InputError`."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _fault(error, place, "write one JSON object a line") from None


def _fault(error: ValueError | RecursionError, place: Place, mend: str) -> InputError:
    """What to say of JSON that cannot be decoded."""
    if isinstance(error, json.JSONDecodeError):
        return place.error(f"not valid JSON ({error.msg}); {mend}")
    if isinstance(error, RecursionError):
        return place.error("is nested too deeply; cut the record")
    return place.error(f"cannot be read ({error}); mend the record")  # a number of thousands of digits


def _of_array(name: Path | str, text: str, start: int) -> Iterator[tuple[Place, Any]]:
    """The values of the JSON array at or behind ``start``, decoded one by one, so that each one's line is known."""
    decoder = json.JSONDecoder()
    position, line = text.index("[", start) + 1, 1
    line += text.count("\n", 0, position)

    def skip(position: int) -> int:
        while position < len(text) and text[position].isspace():
            position += 1
        return position

    closed = False
    while not closed:
        start = skip(position)
        line += text.count("\n", position, start)
        place = Place(name, line)
        if text[start : start + 1] == "]":  # an empty array, or a comma before the end
            return
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            at = Place(name, error.lineno) if isinstance(error, json.JSONDecodeError) else place
            raise _fault(error, at, "mend the array or write one object a line") from None
        _check_unicode(text[start:end], value, place)
        yield place, value
        after = skip(end)
        line += text.count("\n", start, after)
        if text[after : after + 1] not in (",", "]"):
            raise Place(name, line).error("expected ',' or ']' after a record; mend the array")
        closed = text[after] == "]"
        position = after + 1


def _check_unicode(written: str, value: Any, place: Place) -> None:
    """JSON can write half a surrogate pair, which is no text: no tokenizer takes it and no file can hold it."""
    if HALF_PAIR.search(written):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise place.error("holds half a surrogate pair (as in \\ud83d), which is no text; mend it") from None
