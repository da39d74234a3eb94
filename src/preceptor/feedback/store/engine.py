"""The connection to a database, and its two kinds of transactions: one that reads, one that writes.

SQLite needs care (each point was a "database is locked", or worse a lost update, somewhere):

- Python's sqlite3 begins transactions by itself, late and only for some statements. It is told not to
  (``isolation_level = None``), and every transaction begins here.
- A transaction that reads first and writes later fails at once, whatever the timeout, if another has written in
  between. So who may write begins with ``BEGIN IMMEDIATE`` and waits for the lock there, where waiting works.
- SQLite's waiting is a sleep that doubles, and lets late comers pass. Inside one process writers therefore queue at a
  lock of ours, which is fair, and only other processes are waited for by ``busy_timeout``.
- Write-ahead logging lets readers read while one writes. ``synchronous = FULL`` flushes each commit to the disk, so
  that what was acknowledged survives a power cut too, not only a killed process. Locks and drafts go without: the
  flush is what most of a small transaction takes.
- Foreign keys are checked only if each connection asks for it.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from preceptor.errors import InputError

BUSY_SECONDS = 30
FORM = "give a file, sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"


class FairLock:
    """A lock that is had in the order in which it was asked for; Python's own lets whoever runs just now go first."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._waiting: deque[Lock] = deque()
        self._held = False

    def __enter__(self) -> None:
        gate = Lock()
        with self._mutex:
            if not self._held:
                self._held = True
                return
            gate.acquire()
            self._waiting.append(gate)
        gate.acquire()  # until it is handed over

    def __exit__(self, *_: object) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


class Store:
    """A database of feedback. Safe to use from many threads; several processes may have the same one open.

    ``clock`` says what time it is; tests give their own.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.engine = engine
        self.now = clock
        self.seed = 0  # of the order of outputs and of the honeypots; `open_store` reads it, for it never changes
        self._writers = {
            durable: engine.execution_options(preceptor_writes="FULL" if durable else "NORMAL")
            for durable in (True, False)
        }
        # On PostgreSQL each statement of a reader is its own transaction anyway: saying so saves two round trips.
        self._readers = (
            engine if engine.dialect.name == "sqlite" else engine.execution_options(isolation_level="AUTOCOMMIT")
        )
        self._one_writer = FairLock() if engine.dialect.name == "sqlite" else None

    @property
    def name(self) -> str:
        """The URL, without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads and sees one state of the database throughout (on PostgreSQL: a statement)."""
        with self._readers.connect() as connection:
            try:
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction that may write. Committed when the block ends, undone if it raises. Keep it short.

        Without ``durable`` a power cut may undo it (on SQLite), though never a killed process: for what can be had
        again.
        """
        engine = self._writers[durable]
        if self._one_writer is None:
            with engine.begin() as connection:
                yield connection
            return
        # The connection comes first: nobody may wait for one while holding the lock.
        with engine.connect() as connection, self._one_writer, connection.begin():
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def database_url(database: str | Path) -> URL:
    """The URL that a user's word stands for: a path is an SQLite file. :class:`InputError` if it makes no sense."""
    text = str(database)
    if "://" not in text:
        return URL.create("sqlite", database=str(Path(text).expanduser()))
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise InputError(f"this is no database; {FORM}") from None  # the text may hold a password
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database and ":memory:" not in url.database:
        return url.set(drivername="sqlite")
    if backend in ("postgresql", "postgres") or url.drivername == "postgres":
        return url.set(drivername="postgresql+psycopg")
    raise InputError(f"{url.render_as_string(hide_password=True)}: cannot be used as a database; {FORM}")


def connect(url: URL) -> Engine:
    """An engine for a URL of :func:`database_url`, not yet connected. No error message says what people wrote."""
    if url.get_backend_name() == "sqlite":
        sqlite = {"timeout": BUSY_SECONDS, "check_same_thread": False}
        engine = create_engine(url, pool_size=10, max_overflow=60, connect_args=sqlite, hide_parameters=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    # Who waits for a connection is not served in turn, so a house of fifty has one each; a server allows 100. None is
    # tried out before it is used, which would be a round trip each time: after a restart of the server the first to
    # find it gone is told so, and all connections are made anew.
    return create_engine(url, pool_size=50, max_overflow=10, hide_parameters=True)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_SECONDS * 1000}",
        "journal_mode = WAL",
        "foreign_keys = ON",
        "secure_delete = FAST",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    durability = connection.get_execution_options().get("preceptor_writes")
    cursor: Any = connection.connection.cursor()
    if durability is None:
        cursor.execute("BEGIN")
    else:
        cursor.execute(f"PRAGMA synchronous = {durability}")
        cursor.execute("BEGIN IMMEDIATE")
    cursor.close()
