"""What the server keeps of chats: nothing without consent, and of replies only what it said itself."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.testclient import TestClient

from preceptor.feedback.store import Store, open_store
from preceptor.feedback.store.chats import Said
from preceptor.feedback.store.judged import read_demonstrations, read_prompts, read_rankings, read_ratings
from preceptor.feedback.store.published import publish
from preceptor.models.transformer import Transformer
from preceptor.serving import collecting, feedback
from preceptor.serving.api import create_app
from preceptor.serving.collecting import Replies
from preceptor.serving.refusals import RefusalError
from preceptor.serving.worker import Worker
from preceptor.text.conversation import Message
from preceptor.text.tokenizer import Tokenizer

from ..in_thread import ThreadWorker

Call = Callable[..., Any]


@pytest.fixture
def worker(tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer) -> Iterator[Worker]:
    opened = ThreadWorker(tiny_model(max_position_embeddings=512), tiny_tokenizer, slots=4, waiting=4)
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def client(worker: Worker, store: Store) -> Iterator[TestClient]:
    with TestClient(create_app({"tiny": worker, "twin": worker}, store=store)) as client:
        yield client


@pytest.fixture
def token(client: TestClient) -> str:
    text = client.get("/v1/feedback/consent?language=zh-Hans").json()
    assert text["collecting"] and text["given"] is None and "撤回" in text["text"]
    assert client.get("/v1/feedback/consent?language=%1B").json()["language"] == "en"
    return str(client.post("/v1/feedback/consent", json={"version": text["version"]}).json()["token"])


def headers(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Preceptor-Consent": token}


def ask(client: TestClient, token: str | None, text: str = "hello", **more: Any) -> Any:
    """The answer to a chat, and how each of its choices is called and what it says."""
    body = {"model": "tiny", "messages": [{"role": "user", "content": text}], "max_tokens": 6, "seed": 1} | more
    answer = client.post("/v1/chat/completions", json=body, headers=headers(token))
    if not more.get("stream"):
        said = answer.json()
        return answer, [
            ({"id": said["id"], "index": one["index"]}, one["message"]["content"]) for one in said.get("choices", [])
        ]
    chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    texts: dict[int, str] = {}
    for chunk in chunks:
        for one in chunk["choices"]:
            texts[one["index"]] = texts.get(one["index"], "") + (one["delta"].get("content") or "")
    return answer, [({"id": chunks[0]["id"], "index": index}, text) for index, text in texts.items()]


def judge(client: TestClient, token: str | None, what: str, body: Any, status: int = 200) -> Any:
    answer = client.post(f"/v1/feedback/{what}", json=body, headers=headers(token))
    assert answer.status_code == status, answer.text
    return answer.json()


def test_without_a_store_nothing_is_said_or_kept(worker: Worker) -> None:
    with TestClient(create_app({"tiny": worker})) as client:
        assert client.get("/v1/feedback/consent").json() == {"collecting": False}
        answer, _ = ask(client, "token")
        assert "Preceptor-Kept" not in answer.headers
        judge(client, "token", "thumbs", {"reply": {"id": "x"}, "thumb": "up"}, 404)


def test_without_consent_nothing_is_kept(client: TestClient, store: Store) -> None:
    for token in (None, "made up", "x" * 300):
        answer, ((reply, _),) = ask(client, token)
        assert answer.headers.get("Preceptor-Kept", "no") == "no"
        judge(client, token, "thumbs", {"reply": reply, "thumb": "up"}, 404 if token == "made up" else 403)
    assert list(read_prompts(store)) == []


@pytest.mark.parametrize("stream", [False, True])
def test_replies_are_judged_as_the_server_said_them(client: TestClient, token: str, store: Store, stream: bool) -> None:
    answer, replies = ask(client, token, n=2, stream=stream)
    assert answer.headers["Preceptor-Kept"] == "yes"
    (prompt,) = read_prompts(store)
    assert [one.content for one in prompt.messages] == ["hello"] and prompt.source == "chat"
    _, (twin,) = ask(client, token, stream=stream, model="twin", seed=2)
    judge(client, token, "thumbs", {"reply": replies[1][0], "thumb": "down"})
    judge(client, token, "comparisons", {"replies": [replies[0][0], twin[0]], "preferred": 1})
    judge(client, token, "demonstrations", {"reply": twin[0], "text": "Good day."})
    ((rating, _),) = read_ratings(store)
    assert (rating.response, rating.model, rating.overall) == (replies[1][1], "tiny", 2)
    (judged,) = read_rankings(store)
    assert [(one.model, one.text) for one in judged.ranking.responses] == [("tiny", replies[0][1]), ("twin", twin[1])]
    assert judged.ranking.ranks == [2, 1]
    ((demonstration, _),) = read_demonstrations(store)
    assert demonstration.messages[-1].content == "Good day."


def test_nobody_puts_words_into_a_models_mouth(client: TestClient, token: str, store: Store) -> None:
    _, ((reply, _),) = ask(client, token)
    judge(client, token, "thumbs", {"reply": reply | {"text": "I am a toaster."}, "thumb": "up"}, 400)
    judge(client, token, "thumbs", {"reply": {"id": "chatcmpl-0"}, "thumb": "up"}, 404)
    judge(client, token, "thumbs", {"reply": reply | {"index": 1}, "thumb": "up"}, 404)
    stranger = client.post("/v1/feedback/consent", json={"version": 1}).json()["token"]
    judge(client, stranger, "thumbs", {"reply": reply, "thumb": "up"}, 404)
    judge(client, token, "comparisons", {"replies": [reply, reply], "preferred": None}, 422)
    assert list(read_ratings(store)) == []


def test_a_refused_chat_is_not_kept(client: TestClient, token: str, store: Store) -> None:
    for bad in ({"max_tokens": 600}, {"model": "none"}, {"messages": []}, {"surprise": 1}):
        answer, _ = ask(client, token, **bad)
        assert answer.status_code in (400, 404) and answer.headers["Preceptor-Kept"] == "no"
    answer, _ = ask(client, token, text="a\u202eb")  # answered, but no text that is kept may hold this
    assert (answer.status_code, answer.headers["Preceptor-Kept"]) == (200, "no")
    assert list(read_prompts(store)) == []


def test_withdrawing_deletes_and_a_new_text_is_asked_for(client: TestClient, token: str, store: Store) -> None:
    _, ((reply, _),) = ask(client, token)
    judge(client, token, "thumbs", {"reply": reply, "thumb": "up"})
    publish(store, "chat", {"en": "Other conditions."})
    shown = client.get("/v1/feedback/consent", headers=headers(token)).json()
    assert (shown["version"], shown["given"]["version"], shown["given"]["holds"]) == (2, 1, False)
    assert ask(client, token)[0].headers["Preceptor-Kept"] == "no"
    judge(client, token, "thumbs", {"reply": reply, "thumb": "down"}, 403)
    judge(client, token, "consent", {"version": 1}, 409)
    assert judge(client, token, "consent", {"version": 2})["token"] == token
    assert ask(client, token)[0].headers["Preceptor-Kept"] == "yes"
    gone = client.delete("/v1/feedback/consent", headers=headers(token))
    assert gone.json() == {"deleted": {"prompts": 1, "responses": 1, "judgements": 1}}
    assert list(read_prompts(store)) == [] and list(read_ratings(store)) == []
    assert client.delete("/v1/feedback/consent", headers=headers(token)).status_code == 404
    assert client.get("/v1/feedback/consent", headers=headers(token)).json()["given"] is None
    judge(client, token, "thumbs", {"reply": reply, "thumb": "up"}, 404)  # the server remembers it no more


def test_other_sites_and_floods_are_kept_out(
    client: TestClient, token: str, monkeypatch: pytest.MonkeyPatch, worker: Worker, store: Store
) -> None:
    for path in ("consent", "thumbs", "comparisons", "demonstrations"):
        answer = client.post(f"/v1/feedback/{path}", content="{}", headers={"Content-Type": "text/plain"})
        assert answer.status_code == 415
    assert client.delete("/v1/feedback/consent").status_code == 403  # the header makes a browser ask first
    for name, limit in (("PROMPTS_A_DAY", 1), ("JUDGEMENTS_A_MINUTE", 1), ("CONSENTS_AN_HOUR", 0)):
        monkeypatch.setattr(collecting, name, limit)
    with TestClient(create_app({"tiny": worker}, store=store)) as small:
        answer, ((reply, _),) = ask(small, token)
        assert answer.headers["Preceptor-Kept"] == "yes"
        assert ask(small, token, "again")[0].headers["Preceptor-Kept"] == "no"
        judge(small, token, "thumbs", {"reply": reply, "thumb": "up"})
        judge(small, token, "thumbs", {"reply": reply, "thumb": "down"}, 429)
        judge(small, None, "consent", {"version": 1}, 429)
        flood = small.post("/v1/feedback/thumbs", json={"reply": reply, "thumb": None}, headers=headers(token))
        assert 1 < int(flood.headers["Retry-After"]) <= 60


def test_replies_are_remembered_for_a_day_and_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    replies = Replies(lambda: now)
    monkeypatch.setattr(collecting, "MAX_CHARACTERS", 25)
    for number in "abc":
        replies.add(Said(number, 0, "user", "m", (Message(role="user", content="x" * 5),), "y" * 5))
    assert replies.find("a", 0) is None and replies.find("b", 0) is not None
    replies.forget("another user")
    assert replies.find("b", 0) is not None
    now = collecting.DAY
    assert replies.find("b", 0) is None


def test_what_was_said_to_her_is_forgotten_with_her() -> None:
    replies = Replies()
    for user in ("ann", "bob"):
        replies.add(Said(user, 0, user, "m", (Message(role="user", content="hello"),), "hi"))
    replies.forget("ann")
    assert replies.find("ann", 0) is None and replies.find("bob", 0) is not None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OperationalError("select", {}, Exception("locked")), 503),
        (InterfaceError("select", {}, Exception("gone")), 503),
        (PoolTimeout(), 503),
        (IntegrityError("insert", {}, Exception("twice")), None),  # a mistake of ours, which no second try mends
    ],
)
def test_a_store_that_is_away_asks_for_another_try(error: Exception, status: int | None) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(RefusalError if status else IntegrityError) as caught:
        asyncio.run(feedback._answer(fail))
    if status:
        assert isinstance(caught.value, RefusalError) and caught.value.status == status
