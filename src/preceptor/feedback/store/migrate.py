"""Opening a store: its tables are made or brought up to date first, by the migrations shipped in this package."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DatabaseError, OperationalError

from preceptor.errors import InputError
from preceptor.feedback.store.engine import Store, connect, database_url
from preceptor.feedback.store.settings import first_settings, setting

MIGRATIONS = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 0x70726563  # PostgreSQL: two programs that start together do not both migrate


def open_store(database: str | Path, *, create: bool = True) -> Store:
    """The store at a path or URL, its tables up to date.

    With ``create=False`` a store that is not there is an :class:`InputError` and none is made. Refused as well: a
    database that cannot be reached, one that holds something else, and one that a newer version has made.
    """
    url = database_url(database)
    name = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite":
        file = Path(str(url.database))
        if not create and not file.exists():
            raise InputError(f"{file}: no such database; check the path")
        if not file.parent.is_dir():
            raise InputError(f"{file}: there is no directory {file.parent}; make it first")
    engine = connect(url)
    store = Store(engine)
    try:
        _migrate(store, name, create=create)
        with store.reading() as connection:
            store.seed = int(setting(connection, "seed"))
    except OperationalError as error:
        engine.dispose()
        raise InputError(
            f"{name}: cannot be opened ({_first_line(error)}); check the path, the server and its rights"
        ) from None
    except DatabaseError as error:
        engine.dispose()
        raise InputError(f"{name}: is not a database of preceptor ({_first_line(error)}); name another") from None
    except BaseException:
        engine.dispose()
        raise
    return store


def head() -> str:
    """The revision that this version of the program works with."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def _migrate(store: Store, name: str, *, create: bool) -> None:
    with store.reading() as connection:
        if _is_current(connection, name, create=create):
            return
    with store.writing() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        if _is_current(connection, name, create=create):
            return  # another process was faster
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        first_settings(connection)


def _is_current(connection: Connection, name: str, *, create: bool) -> bool:
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        tables = inspect(connection).get_table_names()
        if tables:
            raise InputError(f"{name}: holds other tables ({tables[0]}); give preceptor a database of its own")
        if not create:
            raise InputError(f"{name}: holds no feedback yet; check the database")
        return False
    if revision == head():
        return True
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision not in known:
        raise InputError(f"{name}: was made by a newer version of preceptor (revision {revision}); upgrade preceptor")
    return False


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _first_line(error: DatabaseError) -> str:
    return str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
