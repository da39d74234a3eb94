"""The bytes of a local file, unpacked if it is gzip or zstd, within stated bounds.

The packing is recognised by the first bytes, never by the name. A small file may be made to unpack to
more than any memory holds; so it is unpacked in pieces, and left as soon as it passes what text can be.
"""

import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO, Literal, cast

from preceptor.errors import InputError

# What a packed file may unpack to. English packs about 3 to 1 and repetitive logs 20 to 1; a bomb packs 1000 to 1.
MAX_UNPACKED_BYTES = 2**30
MAX_RATIO = 200
RATIO_COUNTS_FROM_BYTES = 2**20  # a small file of blanks is no bomb
PIECE_BYTES = 2**20

Packing = Literal["", "gzip", "zstd"]
MAGIC: dict[bytes, Packing] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
NOT_READ = {b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"7z\xbc\xaf\x27\x1c": "7-Zip", b"Rar!": "RAR"}


def read_unpacked(path: Path) -> tuple[bytes, Packing]:
    """The content of ``path`` and how it was packed; what cannot be read is an :class:`InputError`."""
    raw = read_file(path)
    for magic, name in NOT_READ.items():
        if raw.startswith(magic):
            raise InputError(f"{path}: is packed by {name}, which is not read; unpack it, or pack it by gzip or zstd")
    packing: Packing = next((name for magic, name in MAGIC.items() if raw.startswith(magic)), "")
    if not packing:
        return raw, ""
    content = _unpack(path, raw, packing)
    if any(content.startswith(magic) for magic in MAGIC):
        raise InputError(f"{path}: is packed twice; unpack it once")
    return content, packing


def read_file(path: Path) -> bytes:
    """The bytes of a regular file; a pipe or a device, which may never end, is refused."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InputError(f"{path}: is no regular file; write its content to one")
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except (IsADirectoryError, NotADirectoryError):
        raise InputError(f"{path}: is a directory or in a file; name the files in it") from None
    except PermissionError:
        raise InputError(f"{path}: may not be read; check its permissions") from None
    except (OSError, ValueError) as error:  # a name too long, a loop of links, a zero byte in the name
        raise InputError(f"{path}: cannot be opened ({error}); check the path") from None


def check_ratio(name: object, packed: int, unpacked: int) -> None:
    """Refuse ``unpacked`` bytes that came out of ``packed`` bytes when no text could."""
    bomb = unpacked > RATIO_COUNTS_FROM_BYTES and unpacked > MAX_RATIO * max(packed, 1)
    if bomb or unpacked > MAX_UNPACKED_BYTES:
        raise InputError(
            f"{name}: unpacks to {unpacked:,} bytes or more (allowed: {MAX_UNPACKED_BYTES:,} in all, "
            f"{MAX_RATIO} to 1); unpack it yourself and name the files"
        )


def _unpack(path: Path, raw: bytes, packing: Packing) -> bytes:
    content = io.BytesIO()
    try:
        with _stream(raw, packing) as stream:
            while piece := stream.read(PIECE_BYTES):
                check_ratio(path, len(raw), content.tell() + len(piece))
                content.write(piece)
    except (OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: is damaged or cut off ({packing}: {reason}); make it again") from None
    return content.getvalue()


def _stream(raw: bytes, packing: Packing) -> BinaryIO:
    if packing == "gzip":
        return cast(BinaryIO, gzip.GzipFile(fileobj=io.BytesIO(raw)))
    import pyarrow as pa  # only zstd and Parquet need it, and it takes a tenth of a second to load

    return cast(BinaryIO, pa.input_stream(pa.BufferReader(raw), compression="zstd"))
