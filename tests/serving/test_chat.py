"""The chat API through OpenAI's own client, over a real socket, with a tiny random model."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import pytest

from ..in_thread import ThreadWorker


def ask(client: openai.OpenAI, text: str = "hello", **more: Any) -> Any:
    settings = {"model": "tiny", "max_tokens": 12, "seed": 1} | more
    return client.chat.completions.create(messages=[{"role": "user", "content": text}], **settings)


def test_a_stream_says_what_the_whole_reply_says(client: openai.OpenAI) -> None:
    whole = ask(client, n=2)
    chunks = list(ask(client, n=2, stream=True, stream_options={"include_usage": True}))
    for choice in whole.choices:
        parts = [one for chunk in chunks for one in chunk.choices if one.index == choice.index]
        assert "".join(part.delta.content or "" for part in parts) == choice.message.content
        assert [part.finish_reason for part in parts if part.finish_reason] == [choice.finish_reason]
    assert chunks[-1].usage == whole.usage
    assert whole.choices[0].message.content != whole.choices[1].message.content


def test_a_reply_does_not_depend_on_who_else_is_there(client: openai.OpenAI) -> None:
    def text(seed: int) -> str:
        return str(ask(client, f"hello {seed}", seed=seed, max_tokens=8 + seed).choices[0].message.content)

    alone = [text(seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(text, range(6))) == alone


def test_a_stop_string_ends_the_reply_before_it(client: openai.OpenAI) -> None:
    text = ask(client).choices[0].message.content
    stop = text[4:6]
    choice = ask(client, stop=stop).choices[0]
    assert (choice.message.content, choice.finish_reason) == (text[: text.index(stop)], "stop")


def test_a_client_that_goes_away_frees_its_slot(
    client: openai.OpenAI, worker: ThreadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    step = worker.engine.step

    def slowly() -> Any:
        nonlocal steps
        steps += 1
        time.sleep(0.02)
        return step()

    monkeypatch.setattr(worker.engine, "step", slowly)
    stream = ask(client, stream=True, max_tokens=400, n=8)  # 800 steps of four slots: 16 seconds
    next(iter(stream))
    with pytest.raises(openai.RateLimitError) as full:
        ask(client)
    assert full.value.response.headers["retry-after"] == "1"
    stream.close()
    end = time.monotonic() + 30
    while worker.load and time.monotonic() < end:
        time.sleep(0.02)
    assert worker.load == 0
    assert steps < 400, "the reply was written to its end"
    assert ask(client).choices


def test_the_context_that_overflows_is_named_with_its_numbers(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"context of the model is 512 tokens.*not 600"):
        ask(client, max_tokens=600)
    with pytest.raises(openai.BadRequestError, match="the context of 512 takes at most 511"):
        ask(client, "word " * 2000)


def test_what_is_not_supported_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="presence_penalty: is not supported"):
        ask(client, presence_penalty=0.5)
    with pytest.raises(openai.NotFoundError, match="there are: tiny"):
        ask(client, model="../tiny")
    assert [model.id for model in client.models.list()] == ["tiny"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "temperature": NaN}', 400),
        (b'{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "temperature": -1}', 400),
        (b'{"model": "tiny", "messages": [{"role": "user", "content": "\xff"}]}', 400),
        (b'{"model": "tiny", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
        (b" " * 10_000_000, 413),
    ],
    ids=["NaN", "negative", "no UTF-8", "deep", "10 MB"],
)
def test_bad_bodies_are_refused(url: str, client: openai.OpenAI, body: bytes, status: int) -> None:
    headers = {"content-type": "application/json"}
    reply = httpx2.post(f"{url}/chat/completions", content=body, headers=headers, timeout=60)
    assert reply.status_code == status
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert ask(client).choices
