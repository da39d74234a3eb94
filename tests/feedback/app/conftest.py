"""The app over a store in a file, and clients that are signed in. No sockets: requests go to the app directly."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from preceptor.feedback.app import AppSettings, create_app
from preceptor.feedback.store import Store, open_store
from preceptor.feedback.store.invitations import invite

from ...live import HASHER, PASSWORD


class Browser:
    """A person at a browser: keeps cookie and CSRF token."""

    def __init__(self, app: FastAPI, base_url: str = "http://testserver") -> None:
        self.http = TestClient(app, base_url=base_url, raise_server_exceptions=True)
        self.csrf = ""
        self.id = 0

    def join(self, token: str, name: str) -> "Browser":
        session = self.ok("POST", "/api/invitation/accept", {"token": token, "name": name, "password": PASSWORD})
        self.csrf, self.id = session["csrf"], session["person"]["id"]
        return self

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The response."""
        headers = {"X-CSRF-Token": self.csrf} | more.pop("headers", {})
        return self.http.request(method, path, json=body, headers=headers, **more)

    def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The JSON of an answer that must be good."""
        answer = self.send(method, path, body, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def refused(self, status: int, code: str, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The JSON of an answer that must be this error."""
        answer = self.send(method, path, body, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        said = answer.json()
        assert said["error"]["code"] == code
        assert said["error"]["message"] and "\n" not in said["error"]["message"]
        return said

    def upload(self, what: str, rows: list[dict[str, Any]], queue: str = "", **more: Any) -> Any:
        content = "".join(json.dumps(row) + "\n" for row in rows)
        query = {"what": what, "file": "rows.jsonl", **({"queue": queue} if queue else {}), **more}
        return self.send("POST", "/api/admin/import", params=query, content=content)


Come = Callable[..., Browser]


def sign_in(app: FastAPI, name: str, password: str = PASSWORD) -> Browser:
    browser = Browser(app)
    browser.csrf = browser.ok("POST", "/api/session", {"name": name, "password": password})["csrf"]
    return browser


def take(browser: Browser, queue: str | None = None) -> str:
    """The assignment of the next task."""
    assignment: str = browser.ok("POST", "/api/tasks/next", {"queue": queue})["task"]["assignment"]
    return assignment


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a new store; making its tables takes longer than a test."""
    path = tmp_path_factory.mktemp("store") / "feedback.db"
    open_store(path).close()
    return path


@pytest.fixture
def store(database: str, empty_store: Path) -> Iterator[Store]:
    """On SQLite, and on PostgreSQL where a server is named (see the conftest above)."""
    if database.startswith("sqlite"):
        shutil.copy(empty_store, database.removeprefix("sqlite:///"))
    opened = open_store(database)
    opened.seed = 1  # of the orders shown, or a test would see others each time
    yield opened
    opened.close()


@pytest.fixture
def app(store: Store) -> FastAPI:
    return create_app(store, AppSettings(hasher=HASHER))


@pytest.fixture
def come(app: FastAPI, store: Store) -> Come:
    """come("ann", "reviewer"): somebody who has just come in."""

    def come(name: str, role: str = "labeler") -> Browser:
        return Browser(app).join(invite(store, role=role), name)

    return come


@pytest.fixture
def admin(come: Come) -> Browser:
    return come("root", "admin")


@pytest.fixture
def ranking_queue(admin: Browser) -> str:
    """A queue with five prompts, four outputs each, for two labelers an item."""
    admin.ok("POST", "/api/admin/queues", {"name": "q", "kind": "ranking", "overlap": 2})
    assert admin.upload("samples", [sample(number) for number in range(5)], "q").json()["added"] == 5
    return "q"


def sample(number: int, outputs: int = 4) -> dict[str, Any]:
    return {
        "prompt_id": f"p{number}",
        "messages": [{"role": "user", "content": f"What is {number}?"}],
        "responses": [{"text": f"answer {number}.{place}", "model": f"m{place}"} for place in range(outputs)],
    }


def ranking(*ranks: int, overall: int = 5, key: str = "k") -> dict[str, Any]:
    ratings = [{"overall": overall, "flags": ["opinion"]} for _ in ranks]
    return {"payload": {"kind": "ranking", "ranks": list(ranks), "ratings": ratings}, "seconds": 3.5, "key": key}
