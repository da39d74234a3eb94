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
DAMAGED = (OSError, EOFError, zlib.error)
NOT_READ = {b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"7z\xbc\xaf\x27\x1c": "7-Zip", b"Rar!": "RAR"}


def read_unpacked(path: Path) -> tuple[bytes, Packing]:
    """The content of ``path`` and how it was packed; what cannot be read is an :class:`InputError`."""
    raw = read_file(path)
    packing = packing_of(path, raw)
    if not packing:
        return raw, ""
    content = _unpack(path, raw, packing)
    check_once(path, content)
    return content, packing


def packing_of(path: Path, beginning: bytes) -> Packing:
    """How a file that begins so is packed; a packing that is not read is an :class:`InputError`."""
    for magic, name in NOT_READ.items():
        if beginning.startswith(magic):
            raise InputError(f"{path}: is packed by {name}, which is not read; unpack it, or pack it by gzip or zstd")
    return next((name for magic, name in MAGIC.items() if beginning.startswith(magic)), "")


def check_once(path: Path, unpacked: bytes) -> None:
    """Refuse what is packed again inside."""
    if any(unpacked.startswith(magic) for magic in MAGIC):
        raise InputError(f"{path}: is packed twice; unpack it once")


def read_file(path: Path) -> bytes:
    """The bytes of a regular file; a pipe or a device, which may never end, is refused."""
    with open_file(path) as file:
        return file.read()


def open_file(path: Path) -> BinaryIO:
    """A regular file, opened to be read in pieces, with the errors of :func:`read_file`."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InputError(f"{path}: is no regular file; write its content to one")
        return path.open("rb")
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
        with unpacked_stream(io.BytesIO(raw), packing) as stream:
            while piece := stream.read(PIECE_BYTES):
                check_ratio(path, len(raw), content.tell() + len(piece))
                content.write(piece)
    except DAMAGED as error:
        raise damaged(path, packing, error) from None
    return content.getvalue()


def damaged(path: Path, packing: Packing, error: BaseException) -> InputError:
    """What to say of a packed file that stops in the middle or holds nonsense."""
    reason = " ".join(str(error).split())
    return InputError(f"{path}: is damaged or cut off ({packing}: {reason}); make it again")


def unpacked_stream(file: BinaryIO, packing: Packing) -> BinaryIO:
    """The unpacked bytes of ``file`` as a stream; reading it may raise one of ``DAMAGED``."""
    if packing == "gzip":
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    import pyarrow as pa  # only zstd and Parquet need it, and it takes a tenth of a second to load

    return cast(BinaryIO, pa.input_stream(pa.PythonFile(file, mode="r"), compression="zstd"))
