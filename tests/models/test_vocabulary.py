"""Rows for tokens that a model was not trained with, and no save without a row for every token."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from preceptor.errors import InputError
from preceptor.models.checkpoint import load_language_model, load_scalar_model, save_model
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.models.vocabulary import give_rows
from preceptor.text.tokenizer import Tokenizer

IDS = torch.tensor([[5, 9, 200, 11]])


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("known", "new"), [(270, [270, 271, 272]), (260, [260, 261]), (268, [268, 275])])
def test_a_new_token_gets_the_mean_of_those_the_model_knows(
    tiny_model: Callable[..., Transformer], tied: bool, known: int, new: list[int]
) -> None:
    """Behind the last row, in rows that were to spare, and some way behind."""
    model = tiny_model(tie_word_embeddings=tied)
    before, logits = model.embed.weight.detach().clone(), model(IDS)
    head = model.head.weight.detach().clone()
    give_rows(model, new, known)
    rows = max(270, new[-1] + 1)
    assert model.config.vocab_size == model.embed.num_embeddings == model.head.out_features == rows
    assert (model.head.weight is model.embed.weight) == tied
    for number in new:
        torch.testing.assert_close(model.embed.weight[number], before[:known].mean(0))
        torch.testing.assert_close(model.head.weight[number], head[:known].mean(0))
    assert torch.equal(model.embed.weight[:known], before[:known])
    after = model(torch.cat([IDS, torch.tensor([new[:1]])], dim=1))
    torch.testing.assert_close(after[:, :4, :known], logits[..., :known])
    mean = logits[..., :known].mean(-1)
    torch.testing.assert_close(after[:, :4, new[0]], mean, msg="a new token's logit is the mean logit")
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_nothing_new_changes_nothing(tiny_model: Callable[..., Transformer]) -> None:
    model = tiny_model()
    weight = model.embed.weight
    give_rows(model, [], 270)
    assert model.embed.weight is weight


def test_grown_models_are_saved_and_read_back(
    tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = tiny_model(tie_word_embeddings=False)
    give_rows(model, [270, 271], 270)
    save_model(model, tmp_path, tiny_tokenizer)
    again = load_language_model(tmp_path)
    assert again.config.vocab_size == 272
    torch.testing.assert_close(again(IDS), model(IDS))


@pytest.mark.parametrize("kind", ["model", "scalar"])
def test_a_model_without_a_row_for_every_token_is_never_written(
    tiny_model: Callable[..., Transformer], tmp_path: Path, kind: str
) -> None:
    larger = Tokenizer.train(["ann likes bob. dan sees eve. what else"] * 9, 280)
    assert larger.vocab_size > 270
    model = tiny_model() if kind == "model" else ScalarModel(tiny_model())
    with pytest.raises(InputError, match=r"out: not written: the tokenizer has \d+ tokens and the weights 270 rows"):
        save_model(model, tmp_path / "out", larger)
    assert not (tmp_path / "out").exists()
    smaller = Tokenizer.train(["ann"] * 9, 264)
    save_model(model, tmp_path / "out", smaller)  # rows to spare do no harm
    assert (load_language_model if kind == "model" else load_scalar_model)(tmp_path / "out")
