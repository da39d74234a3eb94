"""Log-probabilities of chats are the model's own, token for token, whatever they were drawn under."""

from collections.abc import Callable, Sequence
from typing import Any

import openai
import pytest
import torch

from preceptor.generation.engine import generate
from preceptor.generation.likely import Likely
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.transformer import Transformer
from preceptor.serving.logprobs import TokenLog, chat_logprobs
from preceptor.serving.writer import Chosen, Piece
from preceptor.text.conversation import Message, render_prompt
from preceptor.text.stream import TextStream
from preceptor.text.tokenizer import END_ID, USER_ID, Tokenizer

SETTINGS: dict[str, Any] = {"temperature": 0.6, "top_p": 0.9, "seed": 5, "max_tokens": 14, "logprobs": True}


def ask(client: openai.OpenAI, **more: Any) -> Any:
    messages: Any = [{"role": "user", "content": "hello"}]
    return client.chat.completions.create(model="tiny", messages=messages, **SETTINGS | more)


def test_they_are_those_of_a_forward_pass(
    client: openai.OpenAI, tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer
) -> None:
    choice = ask(client, top_logprobs=3).choices[0]
    model = tiny_model(max_position_embeddings=512)
    prompt = render_prompt(tiny_tokenizer, [Message(role="user", content="hello")]).ids
    sampling = SamplingConfig(temperature=0.6, top_p=0.9, seed=5, max_new_tokens=14)
    ends = {"eos_id": tiny_tokenizer.eos_ids, "pad_id": tiny_tokenizer.pad_id}
    ((drawn,),) = generate(model, [prompt], sampling, keys=[("serve",)], **ends)
    with torch.inference_mode():
        logprobs_TV = model(torch.tensor([[*prompt, *drawn.ids]]))[0].log_softmax(-1)[len(prompt) - 1 : -1]
    ids = [token for token in drawn.ids if token != END_ID]
    content = choice.logprobs.content
    assert len(content) == len(ids) > 3
    for entry, token, row_V in zip(content, ids, logprobs_TV, strict=False):
        assert entry.logprob == pytest.approx(row_V[token].item(), abs=1e-4)
        assert bytes(entry.bytes) == tiny_tokenizer.bytes_of(token)
        best = row_V.topk(3)
        assert [one.logprob for one in entry.top_logprobs] == pytest.approx(best.values.tolist(), abs=1e-4)
        named = [None if one.bytes is None else bytes(one.bytes) for one in entry.top_logprobs]
        assert named == [tiny_tokenizer.bytes_of(one) for one in best.indices.tolist()]
    assert drawn.logprobs[0] != pytest.approx(content[0].logprob, abs=0.01)  # it was drawn from another distribution
    text = b"".join(bytes(entry.bytes or []) for entry in content).decode(errors="replace")
    assert text == choice.message.content


def test_a_stream_tells_the_same_with_the_text(client: openai.OpenAI) -> None:
    whole = ask(client, top_logprobs=2, n=2)
    parts = [one for chunk in ask(client, top_logprobs=2, n=2, stream=True) for one in chunk.choices]
    for choice in whole.choices:
        own = [part for part in parts if part.index == choice.index]
        told = [entry for part in own if part.logprobs for entry in part.logprobs.content]
        assert [(one.token, one.bytes) for one in told] == [(one.token, one.bytes) for one in choice.logprobs.content]
        assert all(part.logprobs.content for part in own if part.delta.content)


def test_only_who_asks_is_told(client: openai.OpenAI) -> None:
    assert ask(client).choices[0].logprobs.content[0].top_logprobs == []
    assert ask(client, logprobs=False).choices[0].logprobs is None
    with pytest.raises(openai.BadRequestError, match="top_logprobs needs logprobs"):
        ask(client, logprobs=False, top_logprobs=2)
    with pytest.raises(openai.BadRequestError, match="top_logprobs: "):
        ask(client, top_logprobs=21)


def said_and_told(tokenizer: Tokenizer, ids: Sequence[int], stops: Sequence[str]) -> tuple[str, list[int]]:
    """What a response of these ids says, and the tokens that are told with it."""
    stream, log, said, told = TextStream(tokenizer.decode, stops), TokenLog(), "", list[int]()
    for place, token in enumerate(ids):
        chosen = Chosen(token, stream.decoded, Likely(-1.0, []))
        text = stream.push([token], last=place == len(ids) - 1)
        said += text
        told += [one.token for one in log.push(Piece(0, text, place + 1, None, [chosen]))]
        if stream.stopped:
            break
    return said, told


def test_tokens_are_told_with_the_text_that_they_begin(tiny_tokenizer: Tokenizer) -> None:
    text = "ann né \N{SLIGHTLY SMILING FACE} sees"
    ids = tiny_tokenizer.encode(text)
    marked = [*ids[:2], USER_ID, *ids[2:], END_ID]
    assert said_and_told(tiny_tokenizer, marked, []) == (text, marked[:-1])
    said, told = said_and_told(tiny_tokenizer, ids, ["\N{SLIGHTLY SMILING FACE}"])
    assert said == "ann né " and tiny_tokenizer.decode(told) == said


def test_a_part_of_a_character_is_shown_by_its_bytes(tiny_tokenizer: Tokenizer) -> None:
    ids = [*tiny_tokenizer.encode("é"), USER_ID]
    told = chat_logprobs(tiny_tokenizer, [Chosen(one, 0, Likely(-0.5, [])) for one in ids])["content"]
    assert [one["token"] for one in told] == ["bytes:\\xc3", "bytes:\\xa9", "<|user|>"]
    assert [one["bytes"] for one in told] == [[0xC3], [0xA9], None]
