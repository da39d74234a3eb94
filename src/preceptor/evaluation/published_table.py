"""Tables of published data sets, read as their authors give them."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

from preceptor.errors import InputError
from preceptor.files import read_text


def read_table(path: Path, columns: Sequence[str], source: str, delimiter: str = ",") -> Sequence[Mapping[str, str]]:
    """The rows of a CSV or TSV file with a head that has these columns, all of them filled.

    ``source`` says where the file is to be had. Raises InputError with it for a file that is missing or another one.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; get {source}")
    text = StringIO(read_text(path).removeprefix("\ufeff"))
    if delimiter == "\t":  # where a quotation mark is a letter like others
        table = csv.DictReader(text, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        table = csv.DictReader(text, delimiter=delimiter)
    missing = [name for name in columns if name not in (table.fieldnames or ())]
    if missing:
        raise InputError(f"{path}: has no column {missing[0]}; get {source}")
    rows = list(table)
    if not rows:
        raise InputError(f"{path}: has a head and no rows; get {source}")
    for number, row in enumerate(rows, start=1):
        empty = next((name for name in columns if not (row[name] or "").strip()), None)
        if empty is not None:
            raise InputError(f"{path}: row {number}: {empty} is empty; fill it or take the row out")
    return rows
