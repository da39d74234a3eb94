"""The front before our own engine: what it counts is what the reply says, and what it ends frees its slots."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from preceptor.models.transformer import Transformer
from preceptor.serving.api import create_app
from preceptor.serving.front.front import Front
from preceptor.serving.front.keys import KeyRing, new_key
from preceptor.serving.front.served import Load, Workers
from preceptor.serving.front.settings import FrontSettings
from preceptor.serving.inspector import Inspector

from ...in_thread import ThreadWorker

ASK = {"model": "tiny", "max_tokens": 6, "seed": 1}
CHAT = "/v1/chat/completions", ASK | {"messages": [{"role": "user", "content": "hello"}], "n": 2}
TEXT = "/v1/completions", ASK | {"prompt": ["ann", "bob likes"]}


@pytest.fixture
def client(worker: ThreadWorker) -> Iterator[TestClient]:
    workers = {"tiny": worker}
    front = Front(create_app(workers), Workers(workers), FrontSettings(timeout=1.0))
    yield TestClient(front, "http://localhost", client=("127.0.0.1", 1))
    worker.close()


@pytest.mark.parametrize(("path", "body"), [CHAT, TEXT])
def test_tokens_are_counted_as_the_reply_counts_them(client: TestClient, path: str, body: dict[str, Any]) -> None:
    usage = client.post(path, json=body).json()["usage"]
    client.post(path, json=body | {"stream": True})
    client.post(path, json=body | {"model": "unknown"})
    text = client.get("/metrics").text
    assert f'preceptor_tokens_total{{model="tiny",way="in"}} {2.0 * usage["prompt_tokens"]}' in text
    assert f'preceptor_tokens_total{{model="tiny",way="out"}} {2.0 * usage["completion_tokens"]}' in text
    assert 'preceptor_first_token_seconds_count{model="tiny"} 2.0' in text
    assert f'preceptor_requests_total{{model="",route="{path}",status="404"}} 1.0' in text


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_over_its_time_frees_its_slots(
    client: TestClient, worker: ThreadWorker, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    step = worker.engine.step

    def slowly() -> Any:
        time.sleep(0.05)
        return step()

    monkeypatch.setattr(worker.engine, "step", slowly)
    path, body = CHAT
    answer = client.post(path, json=body | {"max_tokens": 400, "n": 6, "stream": stream})
    assert answer.status_code == (200 if stream else 504)
    assert '"code": "timeout"' in answer.text or '"code":"timeout"' in answer.text
    end = time.monotonic() + 20
    while worker.load and time.monotonic() < end:
        time.sleep(0.02)
    assert Workers({"tiny": worker}).loads() == [Load("tiny", 0, 0)]


def test_what_is_refused_for_want_of_room_costs_nothing(client: TestClient, worker: ThreadWorker) -> None:
    path, body = TEXT
    assert client.post(path, json=body | {"n": 2, "prompt": ["ann"] * 5}).status_code == 400  # room is for eight
    assert client.post(path, json=body | {"n": 1}).status_code == 200
    figures = client.get("/metrics").text
    once = client.post(path, json=body | {"n": 1}).json()["usage"]["prompt_tokens"]
    assert f'preceptor_tokens_total{{model="tiny",way="in"}} {float(once)}' in figures


def test_inspected_tokens_are_charged_to_the_key(
    worker: ThreadWorker, tiny_model: Callable[..., Transformer], tmp_path: Path
) -> None:
    key = new_key(tmp_path / "keys", "ann", tokens_per_minute=20)
    inspector = Inspector(lambda: tiny_model(max_position_embeddings=512), worker.tokenizer)
    workers = {"tiny": worker}
    front = Front(create_app(workers, None, {"tiny": inspector}), Workers(workers), None, KeyRing(tmp_path / "keys"))
    client = TestClient(front, "http://localhost", headers={"Authorization": f"Bearer {key}"})
    talk = [{"role": "user", "content": "ann " * 12}, {"role": "assistant", "content": "bob likes ann."}]
    body = {"model": "tiny", "messages": talk}
    found = client.post("/v1/inspect", json=body).json()
    read = found["prompt_tokens"] + len(found["tokens"])
    assert f'preceptor_tokens_total{{model="tiny",way="in"}} {float(read)}' in client.get("/metrics").text
    refused = client.post("/v1/inspect/attention", json=body | {"token": 0})
    assert refused.status_code == 429 and refused.json()["error"]["code"] == "tokens_per_minute"
    worker.close()
