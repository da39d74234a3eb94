"""Files in every form and packing: what is recognised, where a record stands, what is refused."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preceptor.errors import InputError
from preceptor.feedback.readers import read_demonstrations, read_documents, records, tables, unpacking
from preceptor.feedback.readers.records import open_source, read_records

ROWS = [{"instruction": f"Say {n}, please.", "output": f'"{n}"\nand é'} for n in range(3)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def packed(raw: bytes, packing: str) -> bytes:
    if packing == "gzip":
        return gzip.compress(raw, mtime=0)  # no time: the bytes stand in names of tests, the same in two processes
    return bytes(pa.Codec("zstd").compress(raw, asbytes=True)) if packing == "zstd" else raw


def parquet(rows: list[dict[str, Any]], **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, **options)
    return bytes(sink.getvalue().to_pybytes())


def csv_text(delimiter: str) -> bytes:
    rows = [["instruction", "output"], *(list(row.values()) for row in ROWS)]
    quoted = [
        [f'"{cell}"' if i == 0 else '"' + cell.replace('"', '""') + '"' for i, cell in enumerate(r)] for r in rows
    ]
    return ("\ufeff" + "\r\n".join(delimiter.join(row) for row in quoted) + "\r\n").encode()


@pytest.mark.parametrize("packing", ["", "gzip", "zstd"])
@pytest.mark.parametrize(
    ("form", "raw"),
    [
        ("JSON lines", LINES),
        ("JSON array", json.dumps(ROWS, indent=1).encode()),
        ("CSV", csv_text(",")),
        ("CSV with semicolons", csv_text(";")),
        ("TSV", csv_text("\t")),
        ("Parquet", parquet(ROWS)),
    ],
)
def test_every_form_and_packing_gives_the_same_records(tmp_path: Path, form: str, raw: bytes, packing: str) -> None:
    path = tmp_path / "no-ending"
    path.write_bytes(packed(raw, packing))
    opened = open_source(path)
    assert (opened.form, opened.packing) == (form, packing)
    assert [record for _, record in opened.records()] == ROWS
    assert len(read_demonstrations([path]).demonstrations) == 3


def test_several_packed_streams_are_one_file(tmp_path: Path) -> None:
    for packing in ("gzip", "zstd"):
        path = tmp_path / packing
        path.write_bytes(b"".join(packed(line + b"\n", packing) for line in LINES.splitlines()))
        assert [record for _, record in read_records(path)] == ROWS


def test_places_are_lines_or_rows(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(csv_text(","))
    assert [str(place) for place, _ in read_records(table)] == [f"{table}:{line}" for line in (2, 4, 6)]
    columns = tmp_path / "t.parquet"
    columns.write_bytes(parquet(ROWS))
    assert str(list(read_records(columns))[-1][0]) == f"{columns}, row 3"


def test_cells_of_csv_that_hold_lists(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    conversation = json.dumps([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    cells = ['"' + cell.replace('"', '""') + '"' for cell in (conversation, "[1, 2]")]
    path.write_text("messages,chosen\n" + ",".join(cells) + "\n")
    ((_, record),) = read_records(path)
    assert record["messages"][1]["content"] == "b"
    assert record["chosen"] == "[1, 2]", "a list of numbers is what somebody wrote"


CHAT = [{"role": "user", "content": "a, b; c"}, {"role": "assistant", "content": '"b"\nc'}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["messages", '"messages"'])
def test_a_table_may_have_a_single_column(tmp_path: Path, header: str, delimiter: str) -> None:
    path = tmp_path / "t"
    cell = json.dumps(CHAT)
    # What writes tabs between columns need not quote the commas in a cell.
    quoted = cell if delimiter == "\t" else '"' + cell.replace('"', '""') + '"'
    path.write_text(f"{header}\r\n{quoted}\r\n{quoted}\r\n", newline="")
    assert open_source(path).form in ("CSV", "TSV")
    assert [record for _, record in read_records(path)] == [{"messages": CHAT}] * 2


@pytest.mark.parametrize(
    "text",
    [
        "prompt\n",  # a word
        "Chapter\nIt was a dark night\n",
        "Sing, goddess; the anger\nof Peleus' son\n",
        '"a;b"\n"c;d"\n',
        "Be brief;\nbe plain;\n",
    ],
)
def test_what_only_begins_like_a_table_is_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t"
    path.write_text(text)
    assert open_source(path).form == "text"


def test_a_column_without_a_name_is_an_index(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text(",prompt,completion\n0,a,b\n1,c,d\n")
    assert [record for _, record in read_records(path)] == [
        {"prompt": "a", "completion": "b"},
        {"prompt": "c", "completion": "d"},
    ]


def test_nulls_of_a_table_are_no_fields(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(parquet([{"prompt": "p", "completion": "c", "label": None}]))
    assert len(read_demonstrations([path]).demonstrations) == 1


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"a,b\n1,2\n1,2,3\n", r"f:3: has 3 cells and the header 2; quote cells that hold a comma"),
        (b"a;b\n1;2\n1;2;3\n", r"f:3: has 3 cells and the header 2; quote cells that hold a semicolon"),
        (b'a,b\n1,2\n1,"' + b"x" * 2_000 + b'"\n', r"f:3: not valid CSV \(field larger than field limit"),
        (
            b"First Citizen:\nBefore we proceed, hear me.\n",
            r"f: is neither JSON, JSON lines, CSV with a header nor Parquet",
        ),
        (b"\xff\xfeh\0i\0", r"f: byte 0 is not UTF-8"),
        (b"[oops", r"f:1: not valid JSON"),
        (b'{"a": "\\ud83d"}', r"f:1: holds half a surrogate pair"),
        (b'[{"a": "\\udc00x"}]', r"f:1: holds half a surrogate pair"),
        (b'{"a": ' + b"9" * 5000 + b"}", r"f:1: cannot be read"),
        (b"BZh91AY", r"f: is packed by bzip2, which is not read"),
        (b"PK\x03\x04rest", r"f: is a zip, which is read as plain text only"),
        (b"PAR1 and no more", r"f: is damaged or unusual Parquet"),
        (packed(LINES, "gzip")[:-20], r"f: is damaged or cut off \(gzip"),
        (packed(LINES * 100, "zstd")[:-20], r"f: is damaged or cut off \(zstd"),
        (packed(packed(LINES, "zstd"), "gzip"), r"f: is packed twice"),
    ],
)
def test_a_strange_file_is_one_line(tmp_path: Path, raw: bytes, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_CELL_CHARACTERS", 1000)
    path = tmp_path / "f"
    path.write_bytes(raw)
    with pytest.raises(InputError, match=message) as error:
        list(read_records(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_bomb_is_left_before_it_fills_memory(tmp_path: Path, packing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    whole = unpacking.unpacked_stream

    class Counting:
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def read(self, size: int) -> bytes:
            nonlocal read
            piece: bytes = self.stream.read(size)
            read += len(piece)
            return piece

        def __enter__(self) -> "Counting":
            return self

        def __exit__(self, *_: object) -> None:
            self.stream.close()

    monkeypatch.setattr(unpacking, "unpacked_stream", lambda *arguments: Counting(whole(*arguments)))
    path = tmp_path / "bomb"
    path.write_bytes(packed(b" " * 30_000_000, packing))
    with pytest.raises(InputError, match=r"bomb: unpacks to .* bytes or more .*unpack it yourself"):
        open_source(path)
    assert read < 10_000_000


def test_a_parquet_file_that_repeats_one_value_for_ever_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    value = pa.array(["x" * 1000])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 200_000, pa.int32()), value)
    pq.write_table(pa.table({"text": column}), path)
    assert path.stat().st_size < 30_000
    seen = 0

    def count() -> Iterator[None]:
        nonlocal seen
        for _ in read_records(path):
            seen += 1
            yield

    with pytest.raises(InputError, match="unpacks to"):
        list(count())
    assert seen * 1000 < 2 * tables.DECODED_COUNTS_FROM_BYTES


def test_packed_records_beyond_a_number_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_PACKED_RECORDS", 2)
    path = tmp_path / "f"
    path.write_bytes(LINES)
    assert len(list(read_records(path))) == 3
    path.write_bytes(packed(LINES, "gzip"))
    with pytest.raises(InputError, match="f:3: is packed and holds more than 2 records"):
        list(read_records(path))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path / "pipe", "is no regular file"),
        (Path("/dev/null"), "is no regular file"),
        (tmp_path, "is a directory"),
        (tmp_path / ("x" * 300), "cannot be opened"),
        (tmp_path / "none", "no such file"),
    ):
        with pytest.raises(InputError, match=message):
            open_source(path)


def test_documents_come_out_of_every_packing(tmp_path: Path) -> None:
    corpus = [{"text": "One."}, {"text": " "}, {"text": "Two."}]
    lines = "".join(json.dumps(row) + "\n" for row in corpus).encode()
    for number, raw in enumerate([packed(lines, "zstd"), parquet(corpus), packed(b"One.\n\nTwo.", "gzip")]):
        path = tmp_path / str(number)
        path.write_bytes(raw)
        assert read_documents([path], 5).texts == ["One.", "Two."]
