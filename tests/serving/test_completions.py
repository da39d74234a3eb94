"""Raw completions through OpenAI's own client."""

from typing import Any

import openai
import pytest

from preceptor.serving.worker import Job, Worker
from preceptor.text.tokenizer import BEGIN_ID, Tokenizer


def complete(client: openai.OpenAI, prompt: Any = "ann likes", **more: Any) -> Any:
    return client.completions.create(model="tiny", prompt=prompt, **{"seed": 1, "max_tokens": 10} | more)


@pytest.fixture
def jobs(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """What the worker is given."""
    taken: list[Job] = []
    submit = worker.submit

    def note(job: Job) -> bool:
        taken.append(job)
        return submit(job)

    monkeypatch.setattr(worker, "submit", note)
    return taken


def test_a_stream_says_what_the_whole_completion_says(client: openai.OpenAI) -> None:
    prompts = ["ann", "dan sees eve"]
    wanted = {"n": 2, "logprobs": 2, "temperature": 0.8, "top_p": 0.9, "extra_body": {"top_k": 50}}
    whole = complete(client, prompts, **wanted)
    chunks = list(complete(client, prompts, stream=True, stream_options={"include_usage": True}, **wanted))
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    assert len({choice.text for choice in whole.choices}) == 4
    for choice in whole.choices:
        parts = [one for chunk in chunks for one in chunk.choices if one.index == choice.index]
        assert "".join(part.text for part in parts) == choice.text
        assert [part.finish_reason for part in parts if part.finish_reason] == [choice.finish_reason]
        assert [token for part in parts for token in part.logprobs.tokens] == choice.logprobs.tokens
        offsets = [offset for part in parts for offset in part.logprobs.text_offset]
        assert offsets == choice.logprobs.text_offset
        for token, logprob, top in zip(
            choice.logprobs.tokens, choice.logprobs.token_logprobs, choice.logprobs.top_logprobs, strict=True
        ):
            assert top[token] == logprob and 2 <= len(top) <= 3
    assert chunks[-1].usage == whole.usage
    # Of a list, each prompt gets what it would get alone.
    alone = [choice.text for prompt in prompts for choice in complete(client, prompt, **wanted).choices]
    assert alone == [choice.text for choice in whole.choices]


def test_a_text_begins_as_texts_of_a_corpus_do_and_never_holds_a_marker(
    client: openai.OpenAI, jobs: list[Job], tiny_tokenizer: Tokenizer
) -> None:
    text = "<|user|>ann<|end|><|assistant|>"
    said = complete(client, text).choices[0].text
    ((prompt,),) = [job.order.prompts for job in jobs]
    assert prompt[0] == BEGIN_ID and tiny_tokenizer.decode(prompt) == text
    assert tiny_tokenizer.special_ids.isdisjoint(prompt[1:])
    assert complete(client, list(prompt)).choices[0].text == said
    assert complete(client, [list(prompt), [BEGIN_ID]]).choices[0].text == said
    assert complete(client, "").choices[0].text == complete(client, [BEGIN_ID]).choices[0].text


def test_sixteen_tokens_where_no_length_is_said(client: openai.OpenAI, jobs: list[Job]) -> None:
    written = client.completions.create(model="tiny", prompt="ann", seed=1).usage
    assert written is not None and 1 <= written.completion_tokens <= 16
    assert jobs[0].order.sampling.max_new_tokens == 16
    with pytest.raises(openai.BadRequestError, match=r"context of the model is 512 tokens.*the prompt.*not 600"):
        complete(client, max_tokens=600)


def test_a_stop_string_ends_the_text_and_its_tokens(client: openai.OpenAI) -> None:
    choice = complete(client, logprobs=0).choices[0]
    stop = choice.text[3:5]
    cut = complete(client, logprobs=0, stop=[stop, "never"]).choices[0]
    assert (cut.text, cut.finish_reason) == (choice.text[: choice.text.index(stop)], "stop")
    count = len(cut.logprobs.tokens)
    assert cut.logprobs.tokens == choice.logprobs.tokens[:count]
    assert all(offset < len(cut.text) for offset in cut.logprobs.text_offset)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"echo": True}, "echo: is not supported"),
        ({"suffix": "x"}, "suffix: is not supported"),
        ({"best_of": 2}, "best_of: is not supported"),
        ({"logprobs": 6}, "logprobs: "),
        ({"prompt": []}, "prompt: must be a text or a list of token ids"),
        ({"prompt": ["a", 1]}, "prompt: must be a text or a list of token ids"),
        ({"prompt": [999]}, "token 999, and the model knows those below 270"),
        ({"prompt": ["a"] * 32, "n": 3}, "more than 64 choices"),
        ({"prompt": ["a"] * 9}, "at most 8 responses at once"),
        ({"prompt": "word " * 2000}, "context of 512 takes at most 511"),
        ({"stop": ["a"] * 5}, "stop: must be a text"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(client: openai.OpenAI, change: dict[str, Any], message: str) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        complete(client, **change)


def test_what_asks_for_nothing_is_no_error(client: openai.OpenAI) -> None:
    neutral = {"echo": False, "presence_penalty": 0.0, "logit_bias": {}, "suffix": None, "stop": None}
    assert complete(client, **neutral).choices[0].text == complete(client).choices[0].text
