"""Lines of files of any size, one at a time, packed or not, within stated bounds.

The readers of training data take a file whole, since training does. A log of prompts may be larger than any memory.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from preceptor.errors import InputError
from preceptor.feedback.readers.places import Place
from preceptor.feedback.readers.records import LOOKED_AT, Form, form_of
from preceptor.feedback.readers.unpacking import (
    DAMAGED,
    MAX_RATIO,
    PIECE_BYTES,
    RATIO_COUNTS_FROM_BYTES,
    check_once,
    damaged,
    open_file,
    packing_of,
    unpacked_stream,
)

MAX_LINE_BYTES = 2**26  # a prompt of 10 MB is five times as long as JSON if it is all emoji, written as escapes


def beginning_of(path: Path) -> tuple[bytes, Form]:
    """The first bytes of a file, unpacked, and the form they show."""
    beginning = b""
    for piece in _pieces(path):
        beginning += piece
        if len(beginning) >= LOOKED_AT:
            break
    return beginning, form_of(beginning)


def lines_of(path: Path) -> Iterator[tuple[Place, str]]:
    """The lines of a UTF-8 file that are not blank, without their ends (LF or CRLF) and without a byte order mark."""
    for number, raw in enumerate(_raw_lines(path), start=1):
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
            if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise InputError(f"{path}: is UTF-16; convert the file to UTF-8")
        if not raw.strip():
            continue
        place = Place(path, number)
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            raise place.error(f"byte {error.start} of the line is not UTF-8; convert the file") from None
        yield place, line.removesuffix("\r")


def _raw_lines(path: Path) -> Iterator[bytes]:
    """The lines as bytes, without the line feed."""
    rest: list[bytes] = []
    held, number = 0, 1
    for piece in _pieces(path):
        *lines, last = piece.split(b"\n")
        for line in lines:
            yield b"".join((*rest, line))
            rest, held, number = [], 0, number + 1
        rest.append(last)
        held += len(last)
        if held > MAX_LINE_BYTES:
            raise Place(path, number).error(f"is longer than {MAX_LINE_BYTES:,} bytes; cut the record")
    if held:
        yield b"".join(rest)


def _pieces(path: Path) -> Iterator[bytes]:
    """The unpacked content in pieces."""
    with open_file(path) as file:
        packing = packing_of(path, file.read(8))
        file.seek(0)
        if not packing:
            yield from _read(file)
            return
        packed, unpacked = path.stat().st_size, 0
        try:
            with unpacked_stream(file, packing) as stream:
                for piece in _read(stream):
                    if not unpacked:
                        check_once(path, piece)
                    unpacked += len(piece)
                    if unpacked > RATIO_COUNTS_FROM_BYTES and unpacked > MAX_RATIO * packed:
                        raise InputError(f"{path}: unpacks to more than {MAX_RATIO} times its size; unpack it yourself")
                    yield piece
        except DAMAGED as error:
            raise damaged(path, packing, error) from None


def _read(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(PIECE_BYTES):
        yield piece
