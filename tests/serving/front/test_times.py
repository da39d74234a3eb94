"""Clients that are slow, silent or gone, over real sockets; each is given a fraction of a second here."""

import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from preceptor.serving.front.log import LOGGER
from preceptor.serving.front.settings import FrontSettings
from preceptor.serving.serve import front_server
from preceptor.web.connection import Connection

from .world import CHAT, FakeModels, FakeServed, running


@pytest.fixture
def models() -> FakeModels:
    return FakeModels()


@pytest.fixture
def url(models: FakeModels, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Connection, "head_seconds", 0.4)
    monkeypatch.setattr(Connection, "stalled_seconds", 0.4)
    settings = FrontSettings(timeout=2.0, body_seconds=0.6)
    with running(front_server(models.app, FakeServed(), settings=settings)) as url:
        yield url


@contextmanager
def connected(url: str, **options: int) -> Iterator[socket.socket]:
    """A connection without a client behind it that would follow the rules."""
    with socket.socket() as line:
        for name, value in options.items():
            line.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        line.settimeout(30)
        line.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        yield line


def rest(line: socket.socket) -> bytes:
    """All that comes until the server closes; what is missing when it breaks off is not asked for."""
    got = b""
    try:
        while chunk := line.recv(1 << 16):
            got += chunk
    except ConnectionResetError:
        pass
    return got


def wait_until(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


def head(length: int) -> bytes:
    return (f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n").encode() + (
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def test_a_silent_connection_is_closed_without_a_word(url: str) -> None:
    with connected(url) as line:
        assert rest(line) == b""


def test_a_head_that_comes_drop_by_drop_is_cut(url: str) -> None:
    with connected(url) as line:
        line.sendall(b"GET /")
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            drip(line)  # each byte within the time; all of them not


def drip(line: socket.socket) -> None:
    for _ in range(500):
        line.sendall(b"a")
        time.sleep(0.02)


@pytest.mark.parametrize("first", [False, True])
def test_half_a_head_is_refused(url: str, first: bool) -> None:
    with connected(url) as line:
        if not first:  # also after a request that was in order
            line.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert line.recv(1 << 16).startswith(b"HTTP/1.1 200")
        line.sendall(b"GET /health HTTP/1.1\r\nHost: loc")
        assert b"the head of the request took too long" in rest(line)


def test_a_head_without_end_is_refused(url: str) -> None:
    with connected(url) as line:
        line.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000)
        assert b"the head of the request is too long" in rest(line)


def test_a_body_that_does_not_come_is_not_waited_for(url: str) -> None:
    with connected(url) as line:
        line.sendall(head(1000) + b'{"tok')
        said = rest(line)
        assert said.startswith(b"HTTP/1.1 408") and b"connection: close" in said.lower()
        assert b"the body did not arrive within 0.6 s" in said


def test_a_body_in_time_is_not_held_against_the_reply(url: str) -> None:
    answer = httpx2.post(url + CHAT, json={"tokens": 2, "pause": 0.4}, timeout=30)
    assert answer.status_code == 200


def test_a_reply_that_takes_too_long_is_ended(url: str, models: FakeModels) -> None:
    answer = httpx2.post(url + CHAT, json={"tokens": 100, "pause": 0.1}, timeout=30)
    assert answer.status_code == 504
    assert "took longer than 2 s" in answer.json()["error"]["message"]
    assert wait_until(lambda: models.left == 1)


def test_a_stream_that_takes_too_long_ends_with_an_error(url: str, models: FakeModels) -> None:
    answer = httpx2.post(url + CHAT, json={"tokens": 100, "pause": 0.1, "stream": True}, timeout=30)
    events = [line for line in answer.text.split("\n\n") if line]
    assert answer.status_code == 200 and 1 < len(events) < 22
    last: dict[str, Any] = json.loads(events[-1].removeprefix("data: "))
    assert last["error"]["code"] == "timeout" and last["error"]["type"] == "server_error"
    assert wait_until(lambda: models.left == 1)


def test_who_reads_nothing_is_let_go(models: FakeModels, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the time limit ends it here: half a gigabyte would be in memory by then, or for ever."""
    monkeypatch.setattr(Connection, "stalled_seconds", 0.4)
    with running(front_server(models.app, FakeServed())) as url, connected(url, SO_RCVBUF=4096) as line:
        body = json.dumps({"tokens": 10_000, "size": 50_000, "stream": True}).encode()
        line.sendall(head(len(body)) + body)
        assert wait_until(lambda: models.left == 1)


def test_a_client_that_vanishes_ends_its_reply(models: FakeModels) -> None:
    with running(front_server(models.app, FakeServed())) as url:
        body = json.dumps({"tokens": 1000, "pause": 0.05, "stream": True}).encode()
        with connected(url) as line:
            line.sendall(head(len(body)) + body)
            assert line.recv(100)
        assert wait_until(lambda: models.left == 1)


def test_who_leaves_within_a_body_leaves_no_traceback(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    with connected(url) as line:
        line.sendall(head(1000) + b'{"tok')
        time.sleep(0.1)
    assert wait_until(lambda: any(getattr(one, "fields", {}).get("status") == 499 for one in caplog.records))
    assert all(one.exc_info is None for one in caplog.records)
