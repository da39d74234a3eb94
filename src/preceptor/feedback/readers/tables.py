"""Rows of CSV, TSV and Parquet as records."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.feedback.readers.places import Place
from preceptor.feedback.readers.unpacking import check_ratio

# CSV has no lists. In these columns a cell that holds a JSON list or object is one; elsewhere it is text.
STRUCTURED = frozenset(
    (
        *("messages", "conversations", "prompt", "chosen", "rejected", "responses", "ranks", "answers", "completions"),
        *("instances", "info", "summaries"),
    )
)
DELIMITERS = {"\t": "a tab", ",": "a comma", ";": "a semicolon"}  # in the order in which they are tried
# The columns that make a table alone. Another word at the top of a file without delimiters may begin a text.
SINGLE_COLUMNS = frozenset(("messages", "conversations", "conversation", "prompt"))
MAX_CELL_CHARACTERS = 2**24
MAX_HEADER_CHARACTERS = 60  # of one column's name; a longer one is a sentence
BATCH_BYTES = 2**28  # of Parquet rows decoded at a time, at most, however its columns are packed
BATCH_ROWS = 1024
DECODED_COUNTS_FROM_BYTES = 2**24  # repeated values are stored once, so a small file may well be a few of these


def delimiter_of(beginning: str) -> str | None:
    """The delimiter if a text begins as a table does: a header of short, different names, then a row as wide.

    The first name may be missing, as pandas writes its index. A table of a single column has one of
    ``SINGLE_COLUMNS``; it has no delimiter, and one is given that no cell is cut at without quotes.
    """
    header, _, _ = beginning.lstrip("\r\n").partition("\n")
    single = header.strip().strip('"') in SINGLE_COLUMNS
    for delimiter in (",", "\t") if single else DELIMITERS:
        if not single and delimiter not in header:
            continue
        csv.field_size_limit(MAX_CELL_CHARACTERS)
        try:
            filled = (row for row in csv.reader(io.StringIO(beginning, newline=""), delimiter=delimiter) if row)
            first, second = next(filled), next(filled, None)
            whole = not single or (second is not None and all(len(row) == 1 for row in filled))
        except (csv.Error, StopIteration):
            continue
        wide = single or len(first) > 1
        if wide and whole and _is_header(first) and (second is None or len(second) == len(first)):
            return delimiter
    return None


def _is_header(cells: list[str]) -> bool:
    names = [cell.strip() for cell in cells]
    named = names[1:] if len(names) > 1 and not names[0] else names
    short = all(0 < len(name) <= MAX_HEADER_CHARACTERS and not re.search(r"[.!?;:]$", name) for name in named)
    return short and len(set(names)) == len(names)


def csv_rows(name: Path | str, text: str, delimiter: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    """One record a row under the header's names; the place is the line where the row begins.

    A column without a name, which pandas writes as its index, is left out.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names: list[str] = []
    line = 1
    try:
        for row in reader:
            place, line = Place(name, line), reader.line_num + 1
            if not row:
                continue
            if not names:
                names = [cell.strip() for cell in row]
            elif len(row) != len(names):
                sign = DELIMITERS[delimiter]
                raise place.error(f"has {len(row)} cells and the header {len(names)}; quote cells that hold {sign}")
            else:
                yield place, {key: _cell(key, cell) for key, cell in zip(names, row, strict=True) if key}
    except csv.Error as error:
        raise Place(name, line).error(f"not valid CSV ({error}); mend the row") from None


def _cell(column: str, cell: str) -> Any:
    if column in STRUCTURED and cell.lstrip().startswith(("[", "{")):
        try:
            value = json.loads(cell)
        except (ValueError, RecursionError):
            return cell
        return value if isinstance(value, dict) or _is_list_of_records(column, value) else cell
    return cell


def _is_list_of_records(column: str, value: list[Any]) -> bool:
    """ "[1]" is what somebody answered, unless the column can hold nothing but a list."""
    return column == "ranks" or (bool(value) and all(isinstance(part, dict) for part in value))


def _size(value: Any) -> int:
    """About the bytes of a value. What Arrow says of its own size leaves out that repeated texts are stored once."""
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, dict):
        return 1 + sum(_size(part) for part in value.values())
    return 1 + sum(_size(part) for part in value) if isinstance(value, list) else 8


def present(row: dict[str, Any]) -> dict[str, Any]:
    """A row or a turn without its nulls: a table has every column in every row, also where a record lacks the field."""
    return {key: value for key, value in row.items() if value is not None}


def parquet_rows(name: Path | str, raw: bytes) -> Iterator[tuple[Place, dict[str, Any]]]:
    """One record a row.

    A few bytes of Parquet can stand for endless rows, by dictionaries and run lengths. So the sizes that
    the file states are checked, rows are decoded few at a time, and what comes out is counted.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = decoded = 0
    try:
        file = pq.ParquetFile(pa.BufferReader(raw))
        groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
        check_ratio(name, len(raw), sum(group.total_byte_size for group in groups))
        for index, group in enumerate(groups):
            widest = max((group.column(k).total_uncompressed_size for k in range(group.num_columns)), default=1)
            size = min(max(BATCH_BYTES // max(widest, 1), 1), BATCH_ROWS)
            for batch in file.iter_batches(batch_size=size, row_groups=[index], use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    decoded += _size(row)
                    if decoded > DECODED_COUNTS_FROM_BYTES:
                        check_ratio(name, len(raw), decoded)
                    yield Place(name, number, is_row=True), present(row)
    except (pa.ArrowException, OSError, OverflowError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{name}: is damaged or unusual Parquet ({reason}); write it again") from None
