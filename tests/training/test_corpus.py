"""Packed rows of the corpus: the same loss as document by document, and nothing but padding left out."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from preceptor.errors import InputError
from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.corpus import Corpus, corpus_loss, next_token_loss, next_token_mask

MakeModel = Callable[..., Transformer]
TEXTS = ["ann likes bob.", "eve.", "dan sees eve. bob hears cat.", "cat", "ann sees ann."]


@pytest.fixture
def corpus(tiny_tokenizer: Tokenizer) -> Corpus:
    return Corpus.pack(TEXTS, tiny_tokenizer, 24, seed=0)


def test_point_1_every_end_keeps_its_label_and_only_padding_is_ignored(
    corpus: Corpus, tiny_tokenizer: Tokenizer
) -> None:
    assert len({tiny_tokenizer.pad_id, tiny_tokenizer.eos_id, tiny_tokenizer.bos_id}) == 3
    real = corpus.segments != 0
    assert torch.equal(real, corpus.ids != tiny_tokenizer.pad_id), "pad ids and padding are the same places here"
    assert int(real.sum()) == sum(2 + len(tiny_tokenizer.encode(text)) for text in TEXTS)
    mask = next_token_mask(corpus.segments)
    targets = corpus.ids[:, 1:][mask]
    ends = int((targets == tiny_tokenizer.eos_id).sum())
    # All ends are learnt, except one that a row happens to open with: it has nothing before it in its row.
    opening = int((corpus.ids[:, 0] == tiny_tokenizer.eos_id).sum())
    assert ends == len(TEXTS) - opening > 0
    # What is real and no target opens a segment.
    starts = torch.ones_like(real)
    starts[:, 1:] = corpus.segments[:, 1:] != corpus.segments[:, :-1]
    assert int(mask.sum()) == corpus.tokens == int((real & ~starts).sum())
    assert not (targets == tiny_tokenizer.bos_id).any(), "no document predicts the next one's begin"
    assert not (targets == tiny_tokenizer.pad_id).any()


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_point_2_packing_gives_the_same_loss_as_one_by_one(tiny_model: MakeModel, corpus: Corpus, family: str) -> None:
    model = tiny_model(family)
    with torch.no_grad():
        packed = next_token_loss(model, corpus.ids, corpus.segments, next_token_mask(corpus.segments))
        alone = torch.tensor(0.0)
        for ids, segments in zip(corpus.ids, corpus.segments, strict=True):
            for number in segments.unique():
                one = ids[segments == number][None]
                if number and one.shape[1] > 1:
                    alone += F.cross_entropy(model(one)[0, :-1], one[0, 1:], reduction="sum")
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-4)
    assert corpus_loss(model, corpus) == pytest.approx(float(alone) / corpus.tokens, rel=1e-5)


def test_without_isolation_a_token_sees_its_whole_row(tiny_model: MakeModel, corpus: Corpus) -> None:
    model, mask = tiny_model(), next_token_mask(corpus.segments)
    with torch.no_grad():
        loss = next_token_loss(model, corpus.ids, corpus.segments, mask, isolate=False)
        logits = model(corpus.ids[:, :-1])
        isolated = next_token_loss(model, corpus.ids, corpus.segments, mask)
    right = F.cross_entropy(logits[mask], corpus.ids[:, 1:][mask], reduction="sum")
    torch.testing.assert_close(loss, right, rtol=1e-5, atol=1e-4)
    assert abs(float(loss - isolated)) > 1e-3


def test_point_8_padding_adds_nothing_to_loss_or_gradient(tiny_model: MakeModel, corpus: Corpus) -> None:
    model = tiny_model()
    wide, segments = F.pad(corpus.ids, (0, 7), value=99), F.pad(corpus.segments, (0, 7))
    wide, segments = F.pad(wide, (0, 0, 0, 2), value=99), F.pad(segments, (0, 0, 0, 2))
    results = []
    for ids, parts in [(corpus.ids, corpus.segments), (wide, segments)]:
        model.zero_grad()
        loss = next_token_loss(model, ids, parts, next_token_mask(parts))
        loss.backward()
        results.append([loss.detach(), *(parameter.grad for parameter in model.parameters())])
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_the_mean_loss_weighs_tokens_not_batches(tiny_model: MakeModel, corpus: Corpus, batch: int) -> None:
    model = tiny_model()
    assert corpus_loss(model, corpus, batch=batch) == pytest.approx(corpus_loss(model, corpus, batch=3), rel=1e-5)


def test_no_row_is_without_a_trained_token(tiny_tokenizer: Tokenizer) -> None:
    # 25 tokens in rows of 24: the last row would hold one token, which predicts nothing.
    text = next(text for n in range(40) if len(tiny_tokenizer.encode(text := "x " * n + "x")) == 23)
    corpus = Corpus.pack([text], tiny_tokenizer, 24, seed=0)
    assert corpus.rows == 1
    assert next_token_mask(corpus.segments).any(1).all()


def test_the_order_of_documents_depends_on_the_seed_alone(tiny_tokenizer: Tokenizer) -> None:
    texts = [f"{text} {i}" for i, text in enumerate(TEXTS * 4)]
    first, again, other = (Corpus.pack(texts, tiny_tokenizer, 24, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.ids, again.ids)
    assert not torch.equal(first.ids, other.ids)


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_a_corpus_without_text_is_a_clear_error(tiny_tokenizer: Tokenizer, texts: list[str]) -> None:
    with pytest.raises(InputError, match="holds no text to learn from"):
        Corpus.pack(texts, tiny_tokenizer, 24, seed=0)
