"""Loss against position, against length and on copies, against what a loop over single tokens gives."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from preceptor.evaluation.context import (
    blank_losses,
    copy_losses,
    copy_rows,
    loss_by_length,
    loss_by_position,
    next_token_losses,
    position_bins,
)
from preceptor.keyed import torch_rng
from preceptor.models.lstm import LSTM, LSTMConfig
from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import MASK_ID

Make = Callable[..., Transformer]


@pytest.fixture
def lstm(tiny_model: Make) -> LSTM:
    model = LSTM(LSTMConfig(tiny_model().config.vocab_size, 12, 1, 32))
    model.initialise(torch_rng(0, "weights"))
    return model


def some_ids(rows: int, length: int) -> torch.Tensor:
    return torch.randint(7, 250, (rows, length), generator=torch_rng(1, "ids"))


@torch.no_grad()
def one_by_one(model: Transformer | LSTM, ids: list[int], at: int) -> float:
    """-log p(token ``at`` | all before it), from a pass that ends just before it."""
    logits = model(torch.tensor([ids[:at]]))[0, -1].double()
    return float(logits.logsumexp(-1) - logits[ids[at]])


def test_loss_by_position_equals_a_loop_over_single_tokens(tiny_model: Make, lstm: LSTM) -> None:
    models: dict[str, Transformer | LSTM] = {"lstm": lstm, "causal": tiny_model()}
    ids = some_ids(35, 10)  # more than a batch
    losses = {name: next_token_losses(model, ids) for name, model in models.items()}
    rows = loss_by_position(losses, ("lstm", "causal"), seed=0, resamples=50)
    assert [(row["first"], row["last"]) for row in rows] == [(1, 1), (2, 3), (4, 7), (8, 9)]
    for row in rows:
        places = range(row["first"], row["last"] + 1)
        for name, model in models.items():
            brute = np.mean([one_by_one(model, one, at) for one in ids.tolist() for at in places])
            assert row["loss"][name] == pytest.approx(brute, rel=1e-5)
        gap = row["difference"]
        assert gap["mean"] == pytest.approx(row["loss"]["lstm"] - row["loss"]["causal"])
        assert gap["low"] <= gap["mean"] <= gap["high"] and gap["n"] == 35


@pytest.mark.parametrize("length", [2, 3, 16, 17, 128])
def test_bins_hold_every_position_once(length: int) -> None:
    assert [at for first, last in position_bins(length) for at in range(first, last + 1)] == list(range(1, length))


def test_loss_by_length_predicts_the_same_token_from_what_is_shown(tiny_model: Make, lstm: LSTM) -> None:
    masked = tiny_model(causal=False)
    ids = some_ids(4, 17)
    rows = loss_by_length({"lstm": lstm}, masked, ids, MASK_ID, seed=0, resamples=20)
    assert [row["length"] for row in rows] == [2, 4, 8]
    for row in rows:
        length = row["length"]
        brute = np.mean([one_by_one(lstm, one[8 - length : 9], length) for one in ids.tolist()])
        assert row["loss"]["lstm"]["mean"] == pytest.approx(brute, rel=1e-5)
        around = ids[:, 8 - length // 2 : 9 + length // 2].clone()
        targets, around[:, length // 2] = ids[:, 8], MASK_ID
        with torch.no_grad():
            found = masked(around)[:, length // 2].log_softmax(-1)
        assert row["loss"]["masked"]["mean"] == pytest.approx(-float(found[range(4), targets].mean()), rel=1e-5)


def test_a_masked_model_sees_both_sides_and_a_causal_one_does_not(tiny_model: Make) -> None:
    ids, blank = some_ids(1, 9), torch.tensor([4])
    for causal in (False, True):
        model = tiny_model(causal=causal)
        here = blank_losses(model, ids, blank, MASK_ID)
        for side, at in (("left", 1), ("right", 7)):
            changed = ids.clone()
            changed[0, at] += 1
            moved = blank_losses(model, changed, blank, MASK_ID) != here
            assert bool(moved) == (not causal or side == "left"), (causal, side)


def test_copies_are_copies_and_score_no_better_than_chance_with_a_blind_model(lstm: LSTM) -> None:
    alphabet = range(10, 42)
    rows = copy_rows(5, 6, alphabet, 1, 0, "test")
    assert rows.shape == (5, 13)
    assert torch.equal(rows[:, 1:7], rows[:, 7:])
    assert set(rows[:, 1:].flatten().tolist()) <= set(alphabet)
    assert not torch.equal(rows, copy_rows(5, 6, alphabet, 1, 0, "train"))
    lstm.embed.weight.data.zero_()  # every token is as likely as any other
    (found,) = copy_losses({"lstm": lstm}, [6], alphabet, 1, 8, 0, 20)
    assert found["loss"]["lstm"]["mean"] == pytest.approx(math.log(lstm.config.vocab_size), rel=1e-5)


def test_the_first_token_of_the_second_copy_is_left_out(lstm: LSTM) -> None:
    (found,) = copy_losses({"lstm": lstm}, [4], range(10, 42), 1, 3, 0, 20)
    ids = copy_rows(3, 4, range(10, 42), 1, 0, "test").tolist()
    brute = np.mean([one_by_one(lstm, one, at) for one in ids for at in (6, 7, 8)])
    assert found["loss"]["lstm"]["mean"] == pytest.approx(brute, rel=1e-5)
