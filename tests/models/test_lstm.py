"""The LSTM: one step at a time equals the whole row, and it comes back from disk as it was."""

from pathlib import Path

import pytest
import torch

from preceptor.errors import InputError
from preceptor.files import write_json
from preceptor.keyed import torch_rng
from preceptor.models.checkpoint import load_model
from preceptor.models.lstm import LSTM, LSTMConfig, load_lstm, lstm_of_size, save_lstm
from preceptor.text.tokenizer import Tokenizer


@pytest.fixture
def model(tiny_tokenizer: Tokenizer) -> LSTM:
    model = LSTM(LSTMConfig(tiny_tokenizer.vocab_size, 12, 2, 32))
    model.initialise(torch_rng(0, "weights"))
    return model


def ids_of(rows: int, length: int) -> torch.Tensor:
    return torch.randint(7, 250, (rows, length), generator=torch_rng(0, "ids"))


def test_steps_with_a_state_equal_the_full_pass(model: LSTM) -> None:
    ids = ids_of(3, 10)
    full = model(ids)
    state = model.start(3)
    parts = [model.unembed(model.hidden(part, state=state)) for part in ids.split([4, 1, 1, 3, 1], dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), full)


def test_a_position_depends_on_what_lies_before_it_alone(model: LSTM) -> None:
    ids = ids_of(1, 9)
    changed = ids.clone()
    changed[0, 5] += 1
    different = (model(ids) != model(changed)).any(-1)[0]
    assert different.tolist() == [False] * 5 + [True] * 4


def test_padding_behind_a_row_changes_nothing_and_packed_rows_are_refused(model: LSTM) -> None:
    ids = ids_of(2, 8)
    segments = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])
    torch.testing.assert_close(model(ids, segments)[1, :5], model(ids[1:, :5])[0])
    only = segments == 1
    torch.testing.assert_close(model.hidden(ids, only_BT=only), model.hidden(ids)[only])
    for bad in ([1, 1, 2, 2], [0, 1, 1, 1]):
        with pytest.raises(ValueError, match="one sequence a row"):
            model(ids[:1, :4], torch.tensor([bad]))


@pytest.mark.parametrize("parameters", [20_000, 300_000, 1_234_567])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_size_is_met_within_two_percent(parameters: int, layers: int) -> None:
    config = lstm_of_size(parameters, 300, layers, 64)
    with torch.device("meta"):
        counted = sum(parameter.numel() for parameter in LSTM(config).parameters())
    assert counted == config.parameters
    assert abs(counted / parameters - 1) < 0.02


def test_it_is_saved_and_loaded(model: LSTM, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_lstm(model, tmp_path / "lstm", tiny_tokenizer)
    again = load_lstm(tmp_path / "lstm")
    assert again.config == model.config
    assert torch.equal(again(ids_of(2, 6)), model(ids_of(2, 6)))
    assert again.head.weight is again.embed.weight
    assert Tokenizer.load(tmp_path / "lstm").fingerprint == tiny_tokenizer.fingerprint


def test_what_is_no_lstm_is_refused_by_name(model: LSTM, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_lstm(model, tmp_path / "lstm", tiny_tokenizer)
    with pytest.raises(InputError, match="preceptor_lstm"):
        load_model(tmp_path / "lstm")
    weights = (tmp_path / "lstm/model.safetensors").read_bytes()
    (tmp_path / "lstm/model.safetensors").write_bytes(weights[:-20])
    with pytest.raises(InputError, match="not a whole LSTM"):
        load_lstm(tmp_path / "lstm")
    write_json(tmp_path / "config.json", {"model_type": "llama"})
    with pytest.raises(InputError, match="not the config of an LSTM"):
        load_lstm(tmp_path)
