"""Plain text for pretraining: .txt files, zips of them, or records with a "text" each, plain or packed.

A document is a run of whole paragraphs (blank lines part them) of about the stated size. It is
small enough that held-out documents can be drawn from one book, and large enough that a
model's context is rarely cut by its end.
"""

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict

from preceptor.errors import InputError
from preceptor.feedback.readers.places import validate
from preceptor.feedback.readers.records import Opened, open_source
from preceptor.feedback.readers.unpacking import MAX_RATIO, MAX_UNPACKED_BYTES, RATIO_COUNTS_FROM_BYTES

MAX_MEMBERS = 100_000
# Old texts hold a few bytes of other encodings; more than this share is not UTF-8 at all.
MAX_UNDECODABLE_SHARE = 0.01


class Document(BaseModel):
    """A line of a corpus."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str


@dataclass
class Documents:
    """The documents of some files, in order, and how many bytes had to be replaced by a space."""

    texts: list[str] = field(default_factory=list)
    undecodable_bytes: int = 0


def read_documents(paths: list[Path], size: int) -> Documents:
    """The documents of text files, zips, corpora and datasets of the hub; one that holds none is an error.

    ``size`` is in characters. Documents of a corpus, JSON or Parquet with a "text" a record, stay as they are.
    """
    documents = Documents()
    for path in paths:
        before = len(documents.texts)
        add_documents(open_source(path), size, documents)
        if len(documents.texts) == before:
            raise InputError(f"{path}: holds no text; leave the file out")
    return documents


def add_documents(opened: Opened, size: int, documents: Documents) -> None:
    """Add the documents of one source that is already open."""
    if is_corpus(opened):
        rows = (validate(Document, row, place, 'a document is {"text"}') for place, row in opened.records())
        documents.texts += [row.text.strip() for row in rows if row.text.strip()]
        return
    for name, raw in _texts(opened):
        text, undecodable = _decode(name, raw)
        documents.undecodable_bytes += undecodable
        documents.texts += list(group_paragraphs(text, size))


def is_corpus(opened: Opened) -> bool:
    """Whether a source has records whose first one has a text."""
    if opened.form in ("Parquet", "dataset of the hub"):
        return True  # it can be nothing else here; a record without a text is an error
    if opened.form not in ("JSON lines", "JSON array", "JSON object"):
        return False
    try:
        first = next(opened.records(), None)
    except InputError:
        return False
    return first is not None and "text" in first[1]


def group_paragraphs(text: str, size: int) -> Iterator[str]:
    """Whole paragraphs, joined until ``size`` characters are reached.

    A paragraph longer than that is cut at the end of a line, of a sentence or of a word, whichever
    is found first, so that a file without any blank line is not one endless document.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    group: list[str] = []
    length = 0
    for paragraph in re.split(r"\n\s*\n", text):
        for piece in _pieces(paragraph.strip(), size):
            if group and length + len(piece) > size:
                yield "\n\n".join(group)
                group, length = [], 0
            group.append(piece)
            length += len(piece) + 2
    if group:
        yield "\n\n".join(group)


def _pieces(paragraph: str, size: int) -> Iterator[str]:
    """A paragraph in pieces of at most ``size`` characters."""
    while len(paragraph) > size:
        cut = size
        for end in ("\n", ". ", " "):
            found = paragraph.rfind(end, size // 2, size)
            if found >= 0:
                cut = found + len(end)
                break
        yield paragraph[:cut].rstrip()
        paragraph = paragraph[cut:].lstrip()
    if paragraph:
        yield paragraph


def _texts(opened: Opened) -> Iterator[tuple[str, bytes]]:
    """(name for errors, bytes) of the file itself or of every .txt in the zip."""
    if opened.form != "zip":
        yield str(opened.name), opened.raw
        return
    try:
        with zipfile.ZipFile(io.BytesIO(opened.raw)) as archive:
            yield from _members(opened.name, archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InputError(f"{opened.name}: is a damaged or unusual zip ({error}); make it again") from None


def _members(path: Path | str, archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    """The .txt members. They are read in memory only: nothing is ever unpacked to a path.

    Even so a name that points outside, a link, or a size that no text has marks an archive
    that somebody made with ill intent, and none of it is used.
    """
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise InputError(f"{path}: holds {len(infos)} files; at most {MAX_MEMBERS} are read, split it")
    total = 0
    wanted = []
    for info in infos:
        name = info.filename.replace("\\", "/")
        parts = PurePosixPath(name).parts
        outside = name.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", name)
        if outside or stat.S_ISLNK(info.external_attr >> 16):
            raise InputError(f"{path}: member {info.filename!r} points outside of the archive; make it again without")
        if info.is_dir() or parts[:1] == ("__MACOSX",) or not name.lower().endswith(".txt"):
            continue
        if info.flag_bits & 0x1:
            raise InputError(f"{path}: member {info.filename!r} is encrypted; make the zip without a password")
        bomb = info.file_size > RATIO_COUNTS_FROM_BYTES and info.file_size > MAX_RATIO * max(info.compress_size, 1)
        total += info.file_size
        if bomb or total > MAX_UNPACKED_BYTES:
            raise InputError(
                f"{path}: member {info.filename!r} unpacks to {info.file_size:,} bytes "
                f"(allowed: {MAX_UNPACKED_BYTES:,} in all, {MAX_RATIO} to 1); unpack it yourself and name the files"
            )
        wanted.append(info)
    if not wanted:
        raise InputError(f"{path}: the zip holds no .txt file; add some or leave it out")
    for info in wanted:
        # zipfile never hands out more than the size that the directory states, and checks the sum.
        yield f"{path}({info.filename})", archive.read(info)


def _decode(name: str, raw: bytes) -> tuple[str, int]:
    """The text, and how many bytes were not UTF-8. Each run of those becomes one space."""
    if b"\0" in raw:
        raise InputError(f"{name}: is not a text (it holds a zero byte); leave it out or save it as UTF-8")
    try:
        return raw.decode("utf-8-sig"), 0
    except UnicodeDecodeError as error:
        first = error.start
    replaced = raw.decode("utf-8-sig", errors="surrogateescape")
    text, undecodable = re.sub(r"[\udc80-\udcff]+", " ", replaced), len(re.findall(r"[\udc80-\udcff]", replaced))
    if undecodable > MAX_UNDECODABLE_SHARE * len(raw):
        raise InputError(f"{name}: byte {first} and {undecodable - 1} more are not UTF-8; convert the file")
    return text, undecodable
