"""The tables of an import while it goes on, in one DuckDB file: what came, what each rule took, what was found.

Texts stand in a file beside, and the tables say where (``record``, ``findings``): a rule compares hashes, and thirty
prompts of 10 MB are more than a database wants in its memory. DuckDB keeps to a stated memory and puts the rest on
the disk; what is committed outlives a kill, so that an import goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import InputError
from preceptor.feedback.hygiene.pii.scanner import EXTRA
from preceptor.feedback.hygiene.rules import cap_draw, digest, key_digest, prompt_key, prompt_prefix
from preceptor.feedback.readers.places import Place
from preceptor.feedback.schema import Prompt

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = "256MB"  # of DuckDB alone
BATCH_ROWS, BATCH_CHARACTERS = 10_000, 2**24  # of what is held in Python at a time

TABLES = """
create table if not exists staged (
    seq bigint, batch integer, file varchar, line bigint, is_row boolean,
    id varchar, "user" varchar, key blob, prefix blob, draw blob, record bigint
);
create table if not exists taken (seq bigint, rule varchar);
create table if not exists known (id varchar, "user" varchar, key blob, prefix blob);
create table if not exists spoken (seq bigint, language varchar);
create table if not exists examined (seq bigint, kind varchar, record bigint, findings bigint);
create table if not exists done (step varchar, notes varchar);
"""
LEFT = "staged where seq not in (select seq from taken)"
KNOWN = ("id", "user", "key", "prefix")  # the columns of known


class Staging:
    """The tables, and what is done. Every step is marked as done in the transaction that did it."""

    def __init__(self, path: Path) -> None:
        config = {
            "memory_limit": MEMORY,
            "threads": 2,
            "temp_directory": str(path.with_name("spill")),
            "autoinstall_known_extensions": False,  # it would fetch them
            "autoload_known_extensions": False,
            "preserve_insertion_order": True,
        }
        self.db: DuckDBPyConnection = _connect(path, config)
        self.db.execute(TABLES)
        self.texts = Texts(path.with_name("texts.jsonl"))

    def close(self) -> None:
        """Close the files."""
        self.db.close()
        self.texts.close()

    def one(self, sql: str, *values: Any) -> Any:
        """The first value of the first row."""
        row = self.db.execute(sql, list(values)).fetchone()
        return None if row is None else row[0]

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows."""
        return self.db.execute(sql, list(values)).fetchall()

    def insert(self, table: str, columns: dict[str, list[Any]]) -> None:
        """Add rows, given by column; the columns are those of the table, in its order."""
        import pyarrow as pa

        if any(columns.values()):
            self.texts.flush()
            self.insert_arrow(table, pa.table(columns))

    def insert_arrow(self, table: str, rows: Any) -> None:
        """Add the rows of an Arrow table."""
        self.db.register("arriving", rows)
        self.db.execute(f"insert into {table} select * from arriving")
        self.db.unregister("arriving")

    # what is done ---------------------------------------------------------------------------------

    def notes(self, step: str) -> Any:
        """What was noted when a step was done; None if it is not."""
        noted = self.one("select notes from done where step = ?", step)
        return None if noted is None else json.loads(noted)

    def begin(self) -> None:
        """Begin a transaction."""
        self.db.execute("begin")

    def finish(self, step: str, notes: Any) -> None:
        """Mark a step as done and commit."""
        self.db.execute("insert into done values (?, ?)", [step, json.dumps(notes)])
        self.db.execute("commit")

    # the prompts ----------------------------------------------------------------------------------

    def stage(self, prompts: Iterable[tuple[Place, Prompt]], prefix_words: int, seed: int) -> Iterator[int]:
        """Put prompts into ``staged`` in the order in which they come; hand out how many are in, now and then."""
        self.db.execute("delete from staged")
        self.texts.clear()
        rows, characters, seq, batch = _Rows(self.texts), 0, 0, 0
        for place, prompt in prompts:
            characters += rows.add(seq, batch, place, prompt, prefix_words, seed)
            seq += 1
            if len(rows) == BATCH_ROWS or characters > BATCH_CHARACTERS:
                self.insert("staged", rows.columns)
                rows, characters, batch = _Rows(self.texts), 0, batch + 1
                yield seq
        self.insert("staged", rows.columns)
        yield seq

    def batches(self) -> int:
        """How many batches ``staged`` has."""
        return (self.one("select max(batch) from staged") or 0) + 1

    def left(self, batch: int) -> Iterator[tuple[int, str]]:
        """The prompts of one batch that no rule has taken, in order: their numbers and records."""
        rows = self.rows(f"select seq, record from {LEFT} and batch = ? order by seq", batch)
        return ((seq, self.texts.at(record)) for seq, record in rows)

    def kept(self, batch: int) -> Iterator[tuple[str, str, str | None]]:
        """Of what is left of one batch, in order: the record as it is now, the use case, the findings."""
        rows = self.rows(
            "select coalesce(e.record, s.record), e.kind, e.findings from staged s join examined e using (seq) "
            "where batch = ? and seq not in (select seq from taken) order by seq",
            batch,
        )
        for record, kind, findings in rows:
            yield self.texts.at(record), kind, None if findings is None else self.texts.at(findings)

    def insert_languages(self, results: Sequence[tuple[int, str]]) -> None:
        """Add the languages of some prompts."""
        seqs, languages = zip(*results, strict=True)
        self.insert("spoken", {"seq": list(seqs), "language": list(languages)})

    def insert_examined(self, results: Sequence[tuple[int, str, str | None, str | None]]) -> None:
        """Add what was found in some prompts: number, use case, the record if it is another now, the findings."""
        columns: dict[str, list[Any]] = {name: [] for name in ("seq", "kind", "record", "findings")}
        for seq, kind, *texts in results:
            row = (seq, kind, *(None if text is None else self.texts.add(text) for text in texts))
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
        self.insert("examined", columns)

    def index(self) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of the index, what was known first, some at a time."""
        for source in ("known", f"{LEFT} order by seq"):
            cursor = self.db.execute(f'select id, "user", key, prefix from {source}')
            while rows := cursor.fetchmany(BATCH_ROWS):
                yield rows

    def place(self, seq: int) -> Place:
        """Where a prompt stood."""
        path, line, is_row = self.rows("select file, line, is_row from staged where seq = ?", seq)[0]
        return Place(path, line, is_row)


class Texts:
    """A file of texts without line ends, each known by where it begins. It only grows."""

    def __init__(self, path: Path) -> None:
        self._writer = path.open("ab")
        self._reader = path.open("rb")
        self._end = self._writer.tell()

    def add(self, text: str) -> int:
        """Write a text; return where it begins."""
        begins, raw = self._end, text.encode() + b"\n"
        self._writer.write(raw)
        self._end += len(raw)
        return begins

    def at(self, begins: int) -> str:
        """The text that begins there."""
        self._reader.seek(begins)
        return self._reader.readline().decode().removesuffix("\n")

    def flush(self) -> None:
        """Hand what was written to the system, which keeps it through a kill. Before a table says where it is."""
        self._writer.flush()

    def clear(self) -> None:
        """Forget all."""
        self._writer.truncate(0)
        self._end = 0

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
        self._reader.close()


class _Rows:
    """Rows of ``staged`` by column."""

    NAMES = ("seq", "batch", "file", "line", "is_row", "id", "user", "key", "prefix", "draw", "record")

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self.columns: dict[str, list[Any]] = {name: [] for name in self.NAMES}

    def __len__(self) -> int:
        return len(self.columns["seq"])

    def add(self, seq: int, batch: int, place: Place, prompt: Prompt, prefix_words: int, seed: int) -> int:
        """Add one prompt; return about how many characters it takes."""
        prefix = prompt_prefix(prompt, prefix_words)
        record = prompt.model_dump_json()
        row = (
            seq,
            batch,
            str(place.path),
            place.number,
            place.is_row,
            prompt.id,
            prompt.user,
            key_digest(prompt_key(prompt)),
            None if prefix is None else digest(prefix),
            cap_draw(prompt, seed).to_bytes(16, "big"),
            self._texts.add(record),
        )
        for column, value in zip(self.columns.values(), row, strict=True):
            column.append(value)
        return len(record)


def _connect(path: Path, config: dict[str, Any]) -> DuckDBPyConnection:
    try:
        import duckdb
    except ImportError:
        raise InputError(f"`preceptor prompts import` {EXTRA}") from None
    return duckdb.connect(str(path), config=config)
