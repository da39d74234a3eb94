"""Before another server: what it is asked, what comes back, and what its troubles become."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
import uvicorn
from starlette.testclient import TestClient

from preceptor.errors import InputError
from preceptor.serving.backend import Backend
from preceptor.serving.front.front import Front
from preceptor.serving.passing import create_passing_app
from preceptor.serving.serve import front_server

from .world import FakeBackend, running


@pytest.fixture
def fake() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def url(fake: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The front's address."""
    monkeypatch.setenv("PRECEPTOR_BACKEND_KEY", "between-us")
    config = uvicorn.Config(fake.app, log_level="critical", log_config=None, timeout_graceful_shutdown=1)
    with running(uvicorn.Server(config)) as there:
        backend = Backend(there)
        with running(front_server(create_passing_app(backend), backend)) as url:
            yield url


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="ours", max_retries=0, timeout=60) as client:
        yield client


def ask(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(messages=[{"role": "user", "content": "?"}], **({"model": "big"} | more))


def figures(url: str) -> str:
    return httpx2.get(f"{url}/metrics").text


def test_whole_replies_and_streams_pass(url: str, client: openai.OpenAI, fake: FakeBackend) -> None:
    assert [model.id for model in client.models.list()] == ["big"]
    assert ask(client).choices[0].message.content == "Lima."
    chunks = list(ask(client, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Lima."
    assert all(chunk.usage is None for chunk in chunks)  # asked for by the front, and by nobody else
    last = list(ask(client, stream=True, stream_options={"include_usage": True}))[-1]
    assert last.usage.completion_tokens == 3
    text = figures(url)
    assert 'preceptor_tokens_total{model="big",way="out"} 9.0' in text
    assert 'preceptor_tokens_total{model="big",way="in"} 33.0' in text


def test_the_backend_gets_the_request_as_it_takes_it(client: openai.OpenAI, fake: FakeBackend) -> None:
    ask(client, user="ann@example.org", seed=3, extra_body={"top_k": 0, "min_p": 0.1})
    ask(client, extra_body={"top_k": 40})
    first, second = fake.asked
    assert (first["top_k"], first["min_p"], first["seed"], second["top_k"]) == (-1, 0.1, 3, 40)
    assert "user" not in first
    assert set(fake.authorization) == {"Bearer between-us"}  # and never the key of our client
    with pytest.raises(openai.NotFoundError, match="cannot be inspected; serve them with --model"):
        client.post("/inspect", cast_to=object, body={})
    with pytest.raises(openai.BadRequestError, match="best_of: is not for a backend"):
        ask(client, extra_body={"best_of": 4})


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_the_request_over_there(url: str, fake: FakeBackend, stream: bool) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(f"{url}/v1/chat/completions", json={"model": "slow"}, timeout=0.5)
    if stream:
        with httpx2.stream("POST", f"{url}/v1/chat/completions", json={"model": "slow", "stream": True}) as answer:
            next(answer.iter_bytes())
    end = time.monotonic() + 20
    while fake.left < 1 + stream and time.monotonic() < end:
        time.sleep(0.02)
    assert fake.left == 1 + stream


@pytest.mark.parametrize(
    ("status", "becomes", "says"),
    [
        (400, 400, "says 400"),
        (404, 404, "says 404"),
        (401, 502, "refuses us; is PRECEPTOR_BACKEND_KEY set"),
        (429, 429, "says 429"),
        (500, 502, "has failed, status 500"),
        (503, 503, "says 503"),
        (307, 502, "sends us elsewhere, and we stay"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_those_of_whom_they_concern(url: str, status: int, becomes: int, says: str, stream: bool) -> None:
    answer = httpx2.post(f"{url}/v1/chat/completions", json={"model": str(status), "stream": stream}, timeout=30)
    error = answer.json()["error"]
    assert answer.status_code == becomes and says in error["message"]
    assert (error["param"] == "messages") == (says == f"says {status}")
    assert answer.headers.get("retry-after") == ("7" if says == f"says {status}" else None)
    assert f'model="{status}"' not in figures(url)  # what no backend has served is no label


@pytest.mark.parametrize("stream", [False, True])
def test_names_that_the_backend_does_not_list_are_no_labels(url: str, stream: bool) -> None:
    """It may answer to any, and a client could fill memory and the log with them."""
    answer = httpx2.post(f"{url}/v1/chat/completions", json={"model": "made up", "stream": stream}, timeout=30)
    assert answer.status_code == 200
    assert "made up" not in figures(url) and 'preceptor_tokens_total{model="other",way="out"} 3.0' in figures(url)


def test_one_of_the_models_is_described_from_the_list(client: openai.OpenAI, url: str) -> None:
    assert client.models.retrieve("big").owned_by == "vllm"
    with pytest.raises(openai.NotFoundError, match="no such model here; there are: big"):
        client.models.retrieve("../health")
    assert httpx2.get(f"{url}/v1/feedback/consent").json() == {"collecting": False}  # the page asks


def test_a_stream_that_breaks_off_says_so(url: str) -> None:
    answer = httpx2.post(f"{url}/v1/chat/completions", json={"model": "torn", "stream": True}, timeout=30)
    last = json.loads([line for line in answer.text.split("\n\n") if line][-1].removeprefix("data: "))
    assert "broke off" in last["error"]["message"]


def test_a_backend_that_is_down_is_named() -> None:
    backend = Backend("http://127.0.0.1:1/v1/")
    with TestClient(Front(create_passing_app(backend), backend), raise_server_exceptions=False) as client:
        for stream in (False, True):
            answer = client.post("/v1/completions", json={"model": "big", "prompt": "x", "stream": stream})
            assert answer.status_code == 502
            assert "the backend at http://127.0.0.1:1/v1 gives no answer" in answer.json()["error"]["message"]
        assert client.get("/ready").json() == {"status": "backend down"}
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize("url", ["nothing", "ftp://x", "http://", "file:///etc/passwd"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="is no address"):
        Backend(url)
