"""Whatever takes long leaves room for labelers."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from preceptor.feedback.app.routes import figures

from ...live import PASSWORD, serving
from .conftest import Come


def test_many_figures_at_once_keep_no_labeler_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, running = threading.Event(), threading.Semaphore(0)

    def takes_long(*_: Any, **__: Any) -> list[Any]:
        running.release()
        assert go_on.wait(60)
        return []

    monkeypatch.setattr(figures, "throughput", takes_long)
    with (
        serving(tmp_path / "feedback.db") as (url, token),
        ThreadPoolExecutor(20) as threads,
        httpx2.Client(base_url=url, timeout=60) as http,
    ):
        account = {"token": token, "name": "root", "password": PASSWORD}
        csrf = {"X-CSRF-Token": http.post("/api/invitation/accept", json=account).json()["csrf"]}
        http.post("/api/consent", json={"version": 1}, headers=csrf)
        waiting = [threads.submit(http.get, "/api/admin/throughput") for _ in range(20)]
        assert running.acquire(timeout=30) and running.acquire(timeout=30)
        assert not running.acquire(timeout=0.3)  # two at once, the others in line
        assert http.post("/api/tasks/next", json={}, headers=csrf).json()["task"] is None
        go_on.set()
        assert [job.result().status_code for job in waiting] == [200] * 20


def test_the_routes_keep_their_parameters(come: Come) -> None:
    admin = come("root", "admin")
    admin.refused(422, "invalid", "GET", "/api/admin/throughput?days=-1")
    assert admin.ok("GET", "/api/admin/throughput?days=1") == {"labelers": []}
