"""The best of several replies: the reward model's order, its cost, and the server's calm meanwhile."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import openai
import pytest
import torch
from fastapi.testclient import TestClient

from preceptor.errors import InputError
from preceptor.models.heads import ScalarModel
from preceptor.serving.api import create_app
from preceptor.serving.best_of import Judge
from preceptor.serving.worker import Worker
from preceptor.text.conversation import Message, render
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.scoring import sequence_scores


def ask(client: openai.OpenAI, **more: Any) -> Any:
    messages: Any = [{"role": "user", "content": "hello"}]
    settings: dict[str, Any] = {"max_tokens": 12, "seed": 1} | more
    extra = {key: settings.pop(key) for key in ("best_of", "truncate") if key in settings}
    return client.chat.completions.create(model="tiny", messages=messages, extra_body=extra, **settings)


def test_the_best_come_back_with_what_they_cost(
    client: openai.OpenAI, tiny_scalar: Callable[..., ScalarModel], tiny_tokenizer: Tokenizer
) -> None:
    everything = ask(client, n=8)
    best = ask(client, n=2, best_of=8)
    model = tiny_scalar(seed=3, max_position_embeddings=512).eval()
    scored = []
    for choice in everything.choices:
        text = str(choice.message.content)
        ids = render(
            tiny_tokenizer, [Message(role="user", content="hello"), Message(role="assistant", content=text)]
        ).ids
        scored.append((sequence_scores(model, [ids], tiny_tokenizer.pad_id).item(), text, choice.finish_reason))
    scored.sort(key=lambda one: -one[0])
    told = best.model_extra["preceptor"]
    assert told["best_of"] == 8
    assert told["scores"] == pytest.approx([score for score, _, _ in scored], abs=1e-4)
    assert told["scores"][0] > told["scores"][-1] + 1e-3
    got = [(choice.index, choice.message.content, choice.finish_reason) for choice in best.choices]
    assert got == [(place, text, reason) for place, (_, text, reason) in enumerate(scored[:2])]
    assert best.usage == everything.usage  # all eight were written, and all are counted


def test_a_stream_comes_after_the_choice(client: openai.OpenAI) -> None:
    wanted: dict[str, Any] = {"n": 2, "best_of": 4, "logprobs": True}
    whole = ask(client, **wanted)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}, **wanted))
    for choice in whole.choices:
        parts = [one for chunk in chunks for one in chunk.choices if one.index == choice.index]
        assert "".join(part.delta.content or "" for part in parts) == choice.message.content
        told = [entry.token for part in parts if part.logprobs for entry in part.logprobs.content]
        assert told == [entry.token for entry in choice.logprobs.content]
    last = next(chunk for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason)
    assert last.model_extra["preceptor"] == whole.model_extra["preceptor"]
    assert chunks[-1].usage == whole.usage


def test_it_is_refused_by_name_where_it_cannot_be(client: openai.OpenAI, worker: Worker) -> None:
    with pytest.raises(openai.BadRequestError, match="best_of must be at least n"):
        ask(client, n=3, best_of=2)
    body = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "best_of": 2}
    answer = TestClient(create_app({"tiny": worker})).post("/v1/chat/completions", json=body)
    assert answer.status_code == 400 and "has no reward model" in answer.json()["error"]["message"]
    assert worker.load == 0


def test_others_are_served_while_it_scores(
    client: openai.OpenAI, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, begun, may_end = judge._scores, Event(), Event()

    def held_up(*args: Any) -> list[float]:
        begun.set()
        assert may_end.wait(60)
        return scores(*args)

    monkeypatch.setattr(judge, "_scores", held_up)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, client, best_of=2)
        assert begun.wait(60)
        assert ask(client).choices
        assert not waiting.done()
        may_end.set()
        assert waiting.result().model_extra["preceptor"]["best_of"] == 2


def test_who_would_wait_for_scores_too_long_is_sent_away(
    client: openai.OpenAI, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preceptor.serving.best_of.WAITING", 0)
    with pytest.raises(openai.RateLimitError, match="try again"):
        ask(client, best_of=2)
    monkeypatch.undo()
    assert ask(client, best_of=2).choices
    assert judge._waiting == 0


def test_scores_that_are_not_finite_are_no_choice(client: openai.OpenAI, judge: Judge) -> None:
    with torch.no_grad():
        judge._model.score.bias.fill_(torch.nan)
    with pytest.raises(openai.InternalServerError, match="not finite"):
        ask(client, best_of=2)
    with pytest.raises(openai.APIError, match="not finite"):
        list(ask(client, best_of=2, stream=True))
    assert ask(client).choices


def test_what_the_reward_model_cannot_read_is_a_refusal(
    client: openai.OpenAI, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its template may refuse roles that the served model takes."""

    def refuse(*_: Any) -> Any:
        raise InputError("only user and assistant roles")

    monkeypatch.setattr("preceptor.serving.best_of.render_replies", refuse)
    with pytest.raises(openai.BadRequestError, match="the reward model cannot read this: only user"):
        ask(client, best_of=2)
    with pytest.raises(openai.APIError, match="the reward model cannot read this"):
        list(ask(client, best_of=2, stream=True))
