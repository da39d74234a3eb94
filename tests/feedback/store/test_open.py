"""Opening a store: made, brought up to date, or refused in one line."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from preceptor.errors import InputError
from preceptor.feedback.store import Store, open_store
from preceptor.feedback.store.engine import database_url
from preceptor.feedback.store.settings import setting
from preceptor.feedback.store.tables import Base


def test_the_migrations_make_the_tables_that_the_code_has(store: Store) -> None:
    with store.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_opening_again_changes_nothing(store: Store, database: str) -> None:
    again, once_more = open_store(database, create=False), open_store(database)
    assert again.seed == once_more.seed > 0
    once_more.close()
    with store.reading() as one, again.reading() as other:
        assert setting(one, "pseudonym_key") == setting(other, "pseudonym_key")
    again.close()


def test_a_store_of_a_newer_version_is_refused(store: Store, database: str) -> None:
    with store.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'f00d'"))
    with pytest.raises(InputError, match=r"newer version of preceptor \(revision f00d\); upgrade preceptor"):
        open_store(database)


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (title)")
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"other.db: holds other tables \(songs\)"):
        open_store(path)
    assert path.read_bytes()[100:] == before[100:]  # the header says that it is read with a log


@pytest.mark.parametrize("create", [True, False])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, create: bool) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Dear diary, " * 100)
    with pytest.raises(InputError, match=r"notes.txt: is not a database"):
        open_store(path, create=create)


def test_nothing_is_made_where_nothing_may_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such database"):
        open_store(tmp_path / "none.db", create=False)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="there is no directory"):
        open_store(tmp_path / "no" / "store.db")


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("some/file.db", "sqlite"),
        ("sqlite:///some/file.db", "sqlite"),
        ("postgresql://ann@host/feedback", "postgresql+psycopg"),
        ("postgres://ann@host/feedback", "postgresql+psycopg"),
    ],
)
def test_what_stands_for_a_database(given: str, driver: str) -> None:
    assert database_url(given).drivername == driver


@pytest.mark.parametrize("given", ["mysql://ann:secret@host/x", "sqlite://", "sqlite:///:memory:", "://secret"])
def test_what_does_not_is_refused_without_its_password(given: str) -> None:
    with pytest.raises(InputError) as refused:
        database_url(given)
    assert "secret" not in str(refused.value)


def test_a_server_that_is_not_there_is_one_line() -> None:
    with pytest.raises(InputError) as refused:
        open_store("postgresql://ann:secret@127.0.0.1:1/feedback")
    assert "cannot be opened" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
