"""A store for each test: SQLite in a file, and PostgreSQL too if PRECEPTOR_TEST_POSTGRESQL names a server."""

import os
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from preceptor.feedback.schema import Prompt, Response, Sample
from preceptor.feedback.store import Store, open_store
from preceptor.feedback.store.engine import database_url
from preceptor.feedback.store.people import create_person
from preceptor.text.conversation import Message

POSTGRESQL = "PRECEPTOR_TEST_POSTGRESQL"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    if not os.environ.get(POSTGRESQL):
        pytest.skip(f"{POSTGRESQL} names no server")
    server = database_url(os.environ[POSTGRESQL])
    name = f"preceptor_test_{secrets.token_hex(6)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: str, clock: Clock) -> Iterator[Store]:
    """A new store, whose time is the test's."""
    opened = open_store(database)
    opened.now = clock
    opened.seed = 1  # of the orders shown, or a test would see others each time
    yield opened
    opened.close()


@pytest.fixture
def labelers(store: Store) -> list[int]:
    """Four of them, by number."""
    return [create_person(store, name).id for name in ("ann", "ben", "cat", "dan")]


@pytest.fixture
def sample() -> Callable[..., Sample]:
    """sample("p1", "a", "b", "c"): responses of these texts, each by a model of its own."""

    def make(prompt: str, *texts: str) -> Sample:
        responses = [Response(text=one, model=f"m{place}") for place, one in enumerate(texts)]
        return Sample(prompt_id=prompt, messages=ask(prompt), responses=responses)

    return make


@pytest.fixture
def prompt() -> Callable[..., Prompt]:
    def make(number: str, user: str = "user") -> Prompt:
        return Prompt(id=number, user=user, messages=ask(number), kind="open_qa")

    return make


def ask(prompt: str) -> list[Message]:
    return [Message(role="user", content=f"What is {prompt}?")]
