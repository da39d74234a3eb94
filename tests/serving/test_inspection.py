"""What is said of a reply, against the same figures computed the plain way."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from preceptor.errors import InputError
from preceptor.models.attention_maps import attention_maps
from preceptor.models.checkpoint import save_model
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.serving.api import create_app
from preceptor.serving.best_of import Judge
from preceptor.serving.inspector import Inspector
from preceptor.serving.serve import open_inspectors
from preceptor.text.conversation import Message, render
from preceptor.text.tokenizer import Tokenizer

SHAPE = {"max_position_embeddings": 64}
ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "ann?"}]
TALK = [*ASKED, {"role": "assistant", "content": "dan sees 好 ann."}]
Post = Callable[..., Any]


@pytest.fixture
def models(
    tiny_model: Callable[..., Transformer], tiny_scalar: Callable[..., ScalarModel]
) -> tuple[Transformer, Transformer, ScalarModel]:
    """A policy, its reference and a reward model."""
    return tiny_model(**SHAPE), tiny_model(seed=1, **SHAPE), tiny_scalar(bias=0.5, seed=2, **SHAPE)


@pytest.fixture
def inspector(models: tuple[Transformer, Transformer, ScalarModel], tiny_tokenizer: Tokenizer) -> Inspector:
    return Inspector(lambda: models[0], tiny_tokenizer, models[1])


@pytest.fixture
def post(
    inspector: Inspector, models: tuple[Transformer, Transformer, ScalarModel], tiny_tokenizer: Tokenizer
) -> Iterator[Post]:
    """post("/v1/inspect", top=3): the answer."""
    judge = Judge(models[2], tiny_tokenizer)
    with TestClient(create_app({}, judge, {"tiny": inspector})) as client:
        yield lambda path, **more: client.post(path, json={"model": "tiny", "messages": TALK} | more)
    judge.close()


def laid_out(tokenizer: Tokenizer) -> tuple[torch.Tensor, int]:
    """Ids (1, T) of the talk, and where the reply begins."""
    rendered = render(tokenizer, [Message(**one) for one in TALK])
    return torch.tensor([rendered.ids]), rendered.mask.index(True)


@torch.no_grad()
def test_the_figures_are_those_of_a_plain_pass(
    post: Post, models: tuple[Transformer, Transformer, ScalarModel], tiny_tokenizer: Tokenizer
) -> None:
    policy, reference, reward = models
    ids, start = laid_out(tiny_tokenizer)
    ours, theirs = (torch.log_softmax(one(ids).double()[0], -1)[start - 1 : -1] for one in (policy, reference))
    written = ids[0, start:]
    found = post("/v1/inspect", top=3).json()
    tokens = found["tokens"]
    assert [one["id"] for one in tokens] == written.tolist() and found["prompt_tokens"] == start

    def close(key: str, wanted: torch.Tensor) -> None:
        torch.testing.assert_close(torch.tensor([one[key] for one in tokens]).double(), wanted, atol=1e-5, rtol=1e-5)

    close("logprob", ours.gather(1, written[:, None])[:, 0])
    close("log_ratio", (ours - theirs).gather(1, written[:, None])[:, 0])
    close("kl", (ours.exp() * (ours - theirs)).sum(1))
    assert min(one["kl"] for one in tokens) > 0 > min(one["log_ratio"] for one in tokens)
    assert [[best["id"] for best in one["top"]] for one in tokens] == ours.topk(3).indices.tolist()
    assert tokens[0]["top"][0]["logprob"] == pytest.approx(ours[0].max().item(), abs=1e-5)
    assert found["score"] == pytest.approx(reward(ids)[0, -1].item(), abs=1e-5)


def test_tokens_are_told_as_text_and_bytes(post: Post) -> None:
    tokens = post("/v1/inspect", top=0).json()["tokens"]
    assert bytes(byte for one in tokens if one["bytes"] for byte in one["bytes"]).decode() == TALK[-1]["content"]
    assert tokens[-1]["text"] == "<|end|>" and tokens[-1]["bytes"] is None
    assert {"\\xe5", "\\xa5", "\\xbd"} <= {one["text"] for one in tokens}  # 好
    assert all(one["top"] == [] for one in tokens)


def test_attention_is_that_of_the_position_that_writes_the_token(
    post: Post, models: tuple[Transformer, Transformer, ScalarModel], tiny_tokenizer: Tokenizer
) -> None:
    ids, start = laid_out(tiny_tokenizer)
    maps = torch.stack(attention_maps(models[0], ids))[:, 0]  # layers, heads, from, to
    for token, choice in ((0, {}), (2, {"layer": 1}), (2, {"head": 3}), (3, {"layer": 0, "head": 2})):
        found = post("/v1/inspect/attention", token=token, **choice).json()
        at = start + token - 1
        chosen = maps[[choice["layer"]] if "layer" in choice else slice(None)]
        chosen = chosen[:, [choice["head"]] if "head" in choice else slice(None)]
        weights = torch.tensor([one["weight"] for one in found["seen"]])
        torch.testing.assert_close(weights, chosen.mean((0, 1))[at, : at + 1])
        assert [one["id"] for one in found["seen"]] == ids[0, : at + 1].tolist()
        assert (found["layers"], found["heads"]) == (2, 4) and weights.sum().item() == pytest.approx(1)


def test_without_judges_there_are_probabilities_alone_and_with_itself_no_kl(
    models: tuple[Transformer, Transformer, ScalarModel], tiny_tokenizer: Tokenizer
) -> None:
    messages = [Message(**one) for one in TALK]
    bare = Inspector(lambda: models[0], tiny_tokenizer).tokens(messages, 1)
    assert not {"kl", "log_ratio"} & bare["tokens"][0].keys()
    same = Inspector(lambda: models[0], tiny_tokenizer, models[0]).tokens(messages, 1)
    assert {(one["kl"], one["log_ratio"]) for one in same["tokens"]} == {(0.0, 0.0)}


@pytest.mark.parametrize(
    ("path", "body", "status", "part"),
    [
        ("", {"messages": ASKED}, 400, "ends with a message of the user"),
        ("", {"messages": TALK[2:]}, 400, "messages"),
        ("", {"messages": [*ASKED, {"role": "assistant", "content": "dan " * 60}]}, 400, "context of the model is 64"),
        ("", {"top": 21}, 400, "top"),
        ("", {"temperature": 1}, 400, "temperature: is not supported"),
        ("", {"model": "../tiny"}, 404, "there are: tiny"),
        ("/attention", {"token": 99}, 400, "token 99: there are"),
        ("/attention", {"token": 0, "layer": 2}, 400, "layer 2: there are 2 here"),
        ("/attention", {"token": 0, "head": 4}, 400, "head 4: there are 4 here"),
        ("/attention", {"token": -1}, 400, "token"),
    ],
)
def test_what_cannot_be_inspected_is_refused(
    post: Post, path: str, body: dict[str, Any], status: int, part: str
) -> None:
    answer = post("/v1/inspect" + path, **body)
    assert answer.status_code == status and part in answer.json()["error"]["message"]


def test_one_at_a_time_and_never_on_the_event_loop(
    models: tuple[Transformer, Transformer, ScalarModel], tiny_tokenizer: Tokenizer
) -> None:
    begun, go_on = Event(), Event()

    def load() -> Transformer:
        begun.set()
        assert go_on.wait(30)
        return models[0]

    inspector = Inspector(load, tiny_tokenizer)
    answers: list[int] = []
    with TestClient(create_app({}, None, {"tiny": inspector})) as client:
        ask = lambda: client.post("/v1/inspect", json={"model": "tiny", "messages": TALK})  # noqa: E731
        first = Thread(target=lambda: answers.append(ask().status_code))
        first.start()
        assert begun.wait(30)
        assert client.get("/v1/models").status_code == 200  # the loop is free
        refused = ask()
        assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
        go_on.set()
        first.join(30)
        assert answers == [200] and "score" not in ask().json()


def test_damaged_weights_are_said_so(
    models: tuple[Transformer, Transformer, ScalarModel], inspector: Inspector
) -> None:
    models[0].norm.weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match="not finite"):
        inspector.tokens([Message(**one) for one in TALK], 1)


def test_a_reference_of_another_vocabulary_is_refused_at_the_start(
    tmp_path: Path, models: tuple[Transformer, Transformer, ScalarModel], tiny_tokenizer: Tokenizer
) -> None:
    place = tmp_path / "sft"
    save_model(models[0], place, tiny_tokenizer)
    (inspector,) = open_inspectors({"sft": place}, {"sft": tiny_tokenizer}, place).values()
    assert inspector.tokens([Message(**one) for one in TALK], 1)["tokens"][0]["kl"] == 0.0
    other = Tokenizer.train(["another text"], 270)
    with pytest.raises(InputError, match=r"--reference .*sft: its tokenizer is not that of the model ppo"):
        open_inspectors({"sft": place, "ppo": place}, {"sft": tiny_tokenizer, "ppo": other}, place)
