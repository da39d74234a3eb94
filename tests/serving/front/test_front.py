"""What passes the front and what does not, and what is known of it afterwards."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from preceptor.serving.front.front import Front
from preceptor.serving.front.keys import KeyRing, new_key
from preceptor.serving.front.log import LOGGER, JsonFormatter
from preceptor.serving.front.settings import FrontSettings
from preceptor.web.headers import SECURITY_HEADERS

from .world import CHAT, FakeModels, FakeServed

HERE = ("127.0.0.1", 4000)
Open = Callable[..., TestClient]


@pytest.fixture
def served() -> FakeServed:
    return FakeServed()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


@pytest.fixture
def come(served: FakeServed, path: Path) -> Open:
    """come(): a client of a new front; with keys if their file is there."""

    def opened(client: tuple[str, int] = HERE, **settings: Any) -> TestClient:
        keys = KeyRing(path) if path.exists() else None
        front = Front(FakeModels().app, served, FrontSettings(hosts=("localhost",), **settings), keys)
        return TestClient(front, "http://localhost", client=client, raise_server_exceptions=False)

    return opened


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_without_keys_everybody_here_may_ask(come: Open) -> None:
    assert come().post(CHAT, json={}).status_code == 200


def test_with_keys_only_who_has_one(come: Open, path: Path) -> None:
    key = new_key(path, "ann")
    client = come()
    for headers in ({}, bearer("wrong"), {"Authorization": f"Basic {key}"}, {"Authorization": key}):
        answer = client.post(CHAT, json={}, headers=headers)
        assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
        error = answer.json()["error"]
        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "invalid_api_key", None)
    assert client.post(CHAT, json={}, headers=bearer(key)).status_code == 200
    assert client.get("/openapi.json").status_code == client.get("/v1/anything").status_code == 401
    assert client.get("/").status_code == client.get("/static/js/main.js").status_code == 200  # the page asks for it
    assert client.get("/health").status_code == client.get("/ready").status_code == 200


def test_guessing_is_slowed_and_locks_nobody_out(come: Open, path: Path) -> None:
    key = new_key(path, "ann")
    client = come(wrong_keys=3, wrong_seconds=60)
    answers = [client.post(CHAT, json={}, headers=bearer(f"guess {k}")) for k in range(5)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert client.get("/v1/models").status_code == 401  # nothing is guessed without one; the page asks for it then
    assert client.post(CHAT, json={}, headers=bearer(key)).status_code == 200


def test_a_key_has_its_limit(come: Open, path: Path) -> None:
    ann, bob = new_key(path, "ann", requests_per_minute=2), new_key(path, "bob")
    client = come()
    codes = [client.post(CHAT, json={}, headers=bearer(ann)).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    refused = client.post(CHAT, json={}, headers=bearer(ann))
    assert refused.headers["Retry-After"] == "30" and refused.json()["error"]["type"] == "rate_limit_error"
    assert client.post(CHAT, json={}, headers=bearer(bob)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:81"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_other_sites_are_kept_out(come: Open, headers: dict[str, str], status: int) -> None:
    client = come()
    assert client.post(CHAT, json={}, headers=headers).status_code == status
    assert client.get("/metrics", headers=headers).status_code == status
    page = client.get("/", headers=headers).status_code  # which a link on another site may lead to
    assert page == (400 if status == 400 else 200)


@pytest.mark.parametrize("ask", [("GET", "/"), ("GET", "/none"), ("GET", "/health"), ("POST", CHAT), ("PUT", CHAT)])
def test_every_answer_has_the_headers(come: Open, ask: tuple[str, str]) -> None:
    for headers in ({}, {"Origin": "http://evil.example"}):
        answer = come().request(*ask, json={"fail": True} if ask[0] == "POST" else None, headers=headers)
        assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
        assert answer.headers["X-Request-Id"].startswith("req-")


def test_health_is_not_readiness(come: Open, served: FakeServed) -> None:
    client = come()
    assert client.get("/ready").json() == {"status": "ready"}
    served.why = "backend down"
    assert (client.get("/health").status_code, client.get("/ready").status_code) == (200, 503)
    served.broken = True
    assert client.get("/health").json() == {"status": "broken"}
    client.app.draining = True  # type: ignore[attr-defined]
    assert client.get("/ready").json() == {"status": "draining"}
    refused = client.post(CHAT, json={})
    assert refused.status_code == 503 and refused.json()["error"]["code"] == "draining"


def test_figures_are_counted_and_their_labels_bounded(come: Open) -> None:
    client = come()
    client.post(CHAT, json={"tokens": 4})
    for k in range(20):
        client.post(f"/v1/made-up-{k}", json={"model": f"model-{k}"})
    client.post(CHAT, json={}, headers={"Origin": "http://evil.example"})
    text = client.get("/metrics").text
    for line in (
        'preceptor_requests_total{model="tiny",route="/v1/chat/completions",status="200"} 1.0',
        'preceptor_requests_total{model="",route="other",status="404"} 20.0',
        'preceptor_tokens_total{model="tiny",way="in"} 5.0',
        'preceptor_tokens_total{model="tiny",way="out"} 4.0',
        'preceptor_refusals_total{reason="another_site"} 1.0',
        'preceptor_first_token_seconds_count{model="tiny"} 1.0',
        'preceptor_request_seconds_count{model="tiny"} 1.0',
        'preceptor_slots_active{model="tiny"} 3.0',
        'preceptor_queue_length{model="tiny"} 2.0',
    ):
        assert line in text
    assert "made-up" not in text and "model-" not in text
    assert 'status="404"' not in come().get("/metrics").text  # each server counts its own


def test_figures_are_for_this_machine_or_a_key(come: Open, path: Path) -> None:
    elsewhere = ("192.0.2.7", 4000)
    assert come(elsewhere).get("/metrics").status_code == 403
    assert come().get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 403
    key = new_key(path, "prometheus")
    assert come(elsewhere).get("/metrics").status_code == 401
    assert come(elsewhere).get("/metrics", headers=bearer(key)).status_code == 200
    assert come().get("/metrics").status_code == 200


def test_a_request_is_one_line_without_its_text(come: Open, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = new_key(path, "ann")
    caplog.set_level(logging.INFO, LOGGER)
    client = come()
    answer = client.post(CHAT, json={"prompt": "a secret", "tokens": 4}, headers=bearer(key))
    client.post(CHAT, json={}, headers=bearer("wrong\x1b[31m"))
    client.get("/health")
    done, refused = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    assert done["id"] == answer.headers["X-Request-Id"]
    assert (done["key"], done["model"], done["status"], done["ended"]) == ("ann", "tiny", 200, "complete")
    assert (done["prompt_tokens"], done["completion_tokens"]) == (5, 4)
    assert 0 < done["first_token_seconds"] <= done["seconds"] < 60
    assert (refused["status"], refused["refused"], refused["route"]) == (401, "invalid_api_key", CHAT)
    assert "key" not in refused
    assert "secret" not in caplog.text and key not in caplog.text and "wrong" not in caplog.text


def test_what_breaks_is_an_error_too(come: Open) -> None:
    answer = come().post(CHAT, json={"fail": True})
    assert answer.status_code == 500 and answer.json()["error"]["type"] == "server_error"
