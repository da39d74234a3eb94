"""Bias: entropies by hand, likelihoods by a plain pass, and the published files."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from preceptor.errors import InputError
from preceptor.evaluation.bias import REQUESTS, Pair, entropy_bits, preferences, summarise
from preceptor.evaluation.conditions import CONDITIONS, Writer
from preceptor.evaluation.crows_pairs import read_crows_pairs
from preceptor.evaluation.winogender import read_winogender
from preceptor.models.transformer import Transformer
from preceptor.text.conversation import Message, render_prompt
from preceptor.text.tokenizer import Tokenizer

PAIRS = [Pair("1", "Ann likes bob.", "Eve likes bob.", "names"), Pair("2", "He sees cat and dan.", "She sees.", "he")]


def test_entropy() -> None:
    assert entropy_bits(0.0) == pytest.approx(1.0)
    p = 0.2
    expected = -p * math.log2(p) - (1 - p) * math.log2(1 - p)
    for gap in (math.log(p / (1 - p)), math.log((1 - p) / p)):
        assert entropy_bits(gap) == pytest.approx(expected)
    assert 0.0 <= entropy_bits(5000.0) < 1e-12


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("condition", list(CONDITIONS))
def test_preferences_are_those_of_whole_sentences(
    tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer, chat: bool, condition: str
) -> None:
    model = tiny_model(max_position_embeddings=192).eval()
    request = [Message(role="user", content=REQUESTS[condition])]
    start = [
        tiny_tokenizer.bos_id,
        *tiny_tokenizer.encode(CONDITIONS[condition] + "\n\n" if condition != "none" else ""),
    ]
    if chat:
        start = list(render_prompt(tiny_tokenizer, request).ids)

    def logprob(sentence: str) -> float:
        ids = torch.tensor([*start, *tiny_tokenizer.encode(sentence)])
        with torch.no_grad():
            logprobs = model(ids[None, :-1])[0].log_softmax(-1)
        return float(logprobs[len(start) - 1 :].gather(1, ids[len(start) :, None]).sum())

    rows = preferences(Writer("m", model, tiny_tokenizer, chat), [(condition, pair) for pair in PAIRS])
    for pair, row in zip(PAIRS, rows, strict=True):
        gap = logprob(pair.one) - logprob(pair.other)
        assert row["p"] == pytest.approx(1 / (1 + math.exp(-gap)), abs=1e-5)
        assert row["bits"] == pytest.approx(entropy_bits(gap), abs=1e-4)
        assert row["cut"] is False


def test_an_instruction_and_its_sentence_are_split_into_tokens_as_one_text(
    tiny_model: Callable[..., Transformer],
) -> None:
    text = Tokenizer.train(["a\n\n"] * 9, 264)  # two line ends are one token, but not before a word
    instruction = CONDITIONS["respectful"] + "\n\n"
    assert text.encode(instruction + "Ann") != text.encode(instruction) + text.encode("Ann")
    model = tiny_model(max_position_embeddings=192).eval()

    def logprob(sentence: str) -> float:
        ids = torch.tensor([text.bos_id, *text.encode(instruction + sentence)])
        with torch.no_grad():
            logprobs = model(ids[None, :-1])[0].log_softmax(-1)
        return float(logprobs.gather(1, ids[1:, None]).sum())

    pair = Pair("1", "Ann likes bob", "Ann likes bob.", "longer by a token")
    (row,) = preferences(Writer("m", model, text, False), [("respectful", pair)])
    assert row["bits"] == pytest.approx(entropy_bits(logprob(pair.one) - logprob(pair.other)), abs=1e-4)


def test_figures_for_each_instruction_and_group() -> None:
    rows = [
        {"condition": "none", "group": group, "p": p, "bits": b} for group, p, b in [("a", 0.9, 0.4), ("b", 0.1, 0.6)]
    ]
    rows += [{"condition": "biased", "group": "a", "p": 0.6, "bits": 0.9}]
    found = {(one.condition, one.measure): (one.value, one.n) for one in summarise(rows, "prefers x", 0)}
    assert found["none", "entropy in bits"] == (pytest.approx(0.5), 2)
    assert found["none", "prefers x"] == (0.5, 2)
    assert found["biased", "prefers x"] == (1.0, 1)
    assert found["a", "entropy in bits by group"] == (0.4, 1)
    assert found["b", "prefers x by group"] == (0.0, 1)


def test_crows_pairs(tmp_path: Path) -> None:
    path = tmp_path / "crows.csv"
    path.write_text(
        ",sent_more,sent_less,stereo_antistereo,bias_type,annotations\n"
        '0,"Ann, as ever, is late.","Bob, as ever, is late.",stereo,gender,"[[\'gender\'], []]"\n'
    )
    assert read_crows_pairs(path) == [Pair("1", "Ann, as ever, is late.", "Bob, as ever, is late.", "gender")]
    path.write_text("sent_more,sent_less\na,b\n")
    with pytest.raises(InputError, match=r"has no column bias_type; get data/crows_pairs_anonymized\.csv"):
        read_crows_pairs(path)
    path.write_text("sent_more,sent_less,bias_type\na,,x\n")
    with pytest.raises(InputError, match="row 1: sent_less is empty"):
        read_crows_pairs(path)
    with pytest.raises(InputError, match="no such file; get data/crows_pairs"):
        read_crows_pairs(tmp_path / "none.csv")


def test_winogender(tmp_path: Path) -> None:
    path = tmp_path / "all_sentences.tsv"
    lines = [f"cook.guest.1.{gender}.txt\tThe cook told the guest that {word} ate.\n" for gender, word in
             [("male", "he"), ("female", "she"), ("neutral", "they")]]  # fmt: skip
    path.write_text("sentid\tsentence\n" + "".join(lines))
    (pair,) = read_winogender(path)
    assert pair == Pair(
        "cook.guest.1",
        "The cook told the guest that he ate.",
        "The cook told the guest that she ate.",
        "pronoun of the other person",
    )
    path.write_text("sentid\tsentence\n" + lines[0])
    with pytest.raises(InputError, match=r"cook\.guest\.1 lacks its male or its female sentence"):
        read_winogender(path)
    path.write_text("sentid\tsentence\nx\ty\n")
    with pytest.raises(InputError, match="sentid x is not of the form"):
        read_winogender(path)
