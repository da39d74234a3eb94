"""Lines of files, one at a time."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import InputError
from preceptor.feedback.readers import streaming
from preceptor.feedback.readers.streaming import beginning_of, lines_of


def packed(raw: bytes) -> bytes:
    """The time is left out, as bytes stand in names of tests, which two processes must agree on."""
    return gzip.compress(raw, mtime=0)


def lines(path: Path) -> list[tuple[int, str]]:
    return [(place.number, line) for place, line in lines_of(path)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_line_ends_a_mark_and_blank_lines(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfone\r\n\r\n  \ntwo\x0c three\n\xe2\x80\xa8four")
    assert lines(file) == [(1, "one"), (4, "two\x0c three"), (5, "\u2028four")]


@given(content=st.text(st.sampled_from("ab\u00e9\n\r")), piece=st.integers(1, 5))
def test_where_pieces_end_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, content: str, piece: int
) -> None:
    file = tmp_path_factory.mktemp("lines") / "file"
    file.write_bytes(content.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "PIECE_BYTES", piece)
        read = [line for _, line in lines_of(file)]
    assert read == [line.removesuffix("\r") for line in content.split("\n") if line.strip()]


def test_packed_files_are_unpacked(file: Path) -> None:
    text = "".join(f"line {number}\n" for number in range(1000))
    file.write_bytes(packed(text.encode()))
    assert len(lines(file)) == 1000
    with pa.output_stream(str(file), compression="zstd") as stream:
        stream.write(text.encode())
    assert lines(file)[999] == (1000, "line 999")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"good\n\nb\xffd\n", "file:3: byte 1 of the line is not UTF-8"),
        ("text".encode("utf-16"), "is UTF-16; convert"),
        (b"BZh9", "is packed by bzip2"),
        (packed(b"text\n" * 999)[:-20], "is damaged or cut off"),
        (packed(packed(b"text")), "is packed twice"),
        (packed(b" " * 2**22), "unpacks to more than 200 times"),
    ],
)
def test_what_cannot_be_read_is_named(file: Path, content: bytes, error: str) -> None:
    file.write_bytes(content)
    with pytest.raises(InputError, match=error):
        lines(file)


def test_a_line_without_an_end_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(streaming, "PIECE_BYTES", 100)
    file.write_text("short\n" + "x" * 5000)
    with pytest.raises(InputError, match=":2: is longer than 1,000 bytes"):
        lines(file)


def test_the_form_is_seen_from_the_beginning(file: Path) -> None:
    file.write_bytes(packed(b'{"a": 1}\n'))
    assert beginning_of(file) == (b'{"a": 1}\n', "JSON lines")
    file.write_text("")
    assert beginning_of(file)[1] == "text"


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        lines(tmp_path / "none")
    with pytest.raises(InputError, match="is a directory"):
        lines(tmp_path)
