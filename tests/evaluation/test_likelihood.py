"""Log-likelihoods of continuations that share a row, against one sequence at a time."""

from collections.abc import Callable

import pytest
import torch

from preceptor.errors import InputError
from preceptor.evaluation.likelihood import Choices, encode_choices, is_cut, log_likelihoods, score_choices
from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer

ITEMS = [
    Choices([5, 20, 21, 22], [[30], [31, 32, 33], [30, 40], [31, 32, 33], [41]]),
    Choices([7], [[8, 9], [10]]),
    Choices([5, 6, 7, 8, 9, 10, 11], [[12], [13]]),
]


def _alone(model: Transformer, item: Choices) -> list[float]:
    """Every continuation behind the context in a sequence of its own, without padding or branches."""
    found = []
    for continuation in item.continuations:
        ids = torch.tensor([[*item.context, *continuation]])
        with torch.no_grad():
            logprobs = model(ids)[0].double().log_softmax(-1)
        start = len(item.context)
        found.append(sum(float(logprobs[start - 1 + i, token]) for i, token in enumerate(continuation)))
    return found


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_sharing_the_context_changes_nothing(tiny_model: Callable[..., Transformer], family: str) -> None:
    model = tiny_model(family).eval()
    for found, item in zip(log_likelihoods(model, ITEMS), ITEMS, strict=True):
        assert found == pytest.approx(_alone(model, item), abs=1e-4)
    assert log_likelihoods(model, []) == []


def test_a_context_that_does_not_fit_loses_its_beginning(tiny_model: Callable[..., Transformer]) -> None:
    model = tiny_model(max_position_embeddings=8).eval()
    item = Choices(list(range(5, 16)), [[30, 31, 32], [33]])
    assert is_cut(model, item) and not is_cut(model, ITEMS[1])
    assert not is_cut(model, Choices([5, 6, 7, 8, 9, 10], [[11, 12, 13]]))  # the last token is never read
    shorter = Choices(item.context[-6:], item.continuations)
    assert log_likelihoods(model, [item])[0] == pytest.approx(log_likelihoods(model, [shorter])[0])
    with pytest.raises(InputError, match="answer of 9 tokens"):
        log_likelihoods(model, [Choices([5], [[6] * 9])])


def test_a_model_that_sees_both_ways_is_refused(tiny_model: Callable[..., Transformer]) -> None:
    with pytest.raises(InputError, match="both directions"):
        log_likelihoods(tiny_model(causal=False), ITEMS)


def test_texts_are_split_behind_the_context(tiny_tokenizer: Tokenizer) -> None:
    choices = encode_choices(tiny_tokenizer, "ann likes", [" bob", " cat"])
    assert tiny_tokenizer.decode(choices.context) == "ann likes"
    assert [tiny_tokenizer.decode(ids) for ids in choices.continuations] == [" bob", " cat"]
    with pytest.raises(InputError, match="empty"):
        encode_choices(tiny_tokenizer, "ann", [""])


def test_spaces_before_an_answer_belong_to_it(tiny_tokenizer: Tokenizer) -> None:
    assert encode_choices(tiny_tokenizer, "ann likes ", ["bob"]) == encode_choices(
        tiny_tokenizer, "ann likes", [" bob"]
    )


def test_the_likeliest_tokens_are_greedy(tiny_model: Callable[..., Transformer]) -> None:
    model = tiny_model("llama").eval()
    context, written = [5, 20, 21], []
    for _ in range(3):
        with torch.no_grad():
            written.append(int(model(torch.tensor([[*context, *written]]))[0, -1].argmax()))
    other = [*written[:-1], (written[-1] + 1) % 100]
    (found,) = score_choices(model, [Choices(context, [written, other])])
    assert [one.greedy for one in found] == [True, False]
