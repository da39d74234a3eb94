"""The LSTM language model: what came before attention, behind the decoder's interface.

It reads a row from left to right and carries all that it keeps of it in two vectors a layer. Shapes: B batch rows,
T positions, D hidden size, V vocabulary, L layers.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from preceptor.errors import InputError
from preceptor.files import file_atomic, read_json, write_json
from preceptor.text.tokenizer import Tokenizer

MODEL_TYPE = "preceptor_lstm"  # in config.json; transformers has no such family
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class LSTMConfig:
    """The shape of one LSTM language model; input embedding and output head are one matrix."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    max_position_embeddings: int  # the length of the rows it was trained on; it can read on beyond

    @property
    def parameters(self) -> int:
        """How many parameters a model of this shape has: embedding, and weights and two biases of four gates."""
        D = self.hidden_size
        return self.vocab_size * D + self.num_hidden_layers * (8 * D * D + 8 * D)


@dataclass
class LSTMState:
    """All that is kept of what was read, (L, B, D) each: its size does not grow with the text."""

    hidden: Tensor
    cell: Tensor


class LSTM(nn.Module):
    """Stacked LSTM layers (Hochreiter & Schmidhuber 1997): ``model(ids)`` gives logits (batch, time, vocabulary)."""

    def __init__(self, config: LSTMConfig):
        super().__init__()
        self.config = config
        D = config.hidden_size
        self.embed = nn.Embedding(config.vocab_size, D)
        self.layers = nn.LSTM(D, D, config.num_hidden_layers, batch_first=True)
        self.head = nn.Linear(D, config.vocab_size, bias=False)
        self.head.weight = self.embed.weight

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embed.weight.device

    def initialise(self, generator: torch.Generator) -> None:
        """Uniform within 1/sqrt(D), and forget gates that begin open (Jozefowicz et al. 2015, 2.2)."""
        D = self.config.hidden_size
        self.embed.weight.data.normal_(0.0, 0.1, generator=generator)
        for name, parameter in self.layers.named_parameters():
            if name.startswith("weight"):
                parameter.data.uniform_(-(D**-0.5), D**-0.5, generator=generator)
            else:
                parameter.data.zero_()
                if name.startswith("bias_ih"):
                    parameter.data[D : 2 * D] = 1.0  # gates lie in the order input, forget, cell, output

    def forward(self, ids_BT: Tensor, segments_BT: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) at every position; see :meth:`hidden` for the arguments."""
        return self.unembed(self.hidden(ids_BT, segments_BT))

    def unembed(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states: (..., D) to (..., V)."""
        logits: Tensor = self.head(hidden)
        return logits

    def hidden(
        self,
        ids_BT: Tensor,
        segments_BT: Tensor | None = None,
        *,
        state: LSTMState | None = None,
        only_BT: Tensor | None = None,
    ) -> Tensor:
        """The last hidden states: (B, T, D), or (N, D) at the N positions where ``only_BT`` is True.

        Each row is one sequence; ``segments_BT`` may say that padding (0) lies behind it, which then changes nothing.
        With a ``state`` the row goes on from there, and the state is brought up to its end. Raises ValueError for
        segments that ask for more: a state that forgets in the middle of a row is a row of its own.
        """
        if segments_BT is not None and not _one_from_the_left(segments_BT):
            raise ValueError("an LSTM reads one sequence a row, from its first column; unpack the rows")
        before = None if state is None else (state.hidden, state.cell)
        states_BTD, (hidden, cell) = self.layers(self.embed(ids_BT), before)
        if state is not None:
            state.hidden, state.cell = hidden, cell
        found: Tensor = states_BTD if only_BT is None else states_BTD[only_BT]
        return found

    def start(self, rows: int) -> LSTMState:
        """The state before the first token."""
        zeros = self.embed.weight.new_zeros(self.config.num_hidden_layers, rows, self.config.hidden_size)
        return LSTMState(zeros, zeros.clone())


def _one_from_the_left(segments_BT: Tensor) -> bool:
    real = segments_BT != 0
    return bool(((segments_BT == 1) == real).all() and (real[:, 1:] <= real[:, :-1]).all())


def lstm_of_size(parameters: int, vocab_size: int, layers: int, context: int) -> LSTMConfig:
    """The LSTM whose count of parameters comes nearest to ``parameters``."""

    def shape(hidden: int) -> LSTMConfig:
        return LSTMConfig(vocab_size, hidden, layers, context)

    hidden = 1
    while shape(hidden + 1).parameters <= parameters:
        hidden += 1
    return min(shape(hidden), shape(hidden + 1), key=lambda one: abs(one.parameters - parameters))


def save_lstm(model: LSTM, directory: Path, tokenizer: Tokenizer) -> None:
    """Write tokenizer, config.json and model.safetensors; each file whole or not at all, the weights last."""
    tokenizer.save(directory)
    write_json(directory / "config.json", {"model_type": MODEL_TYPE, **asdict(model.config)})
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.named_parameters()}
    with file_atomic(directory / WEIGHTS) as partial:
        save_file(weights, partial, metadata={"format": "pt"})


def load_lstm(path: str | Path) -> LSTM:
    """The LSTM that :func:`save_lstm` wrote, in evaluation mode; InputError for what is missing, torn or another."""
    directory = Path(path)
    fields = read_json(directory / "config.json")
    if not isinstance(fields, dict) or fields.pop("model_type", None) != MODEL_TYPE:
        raise InputError(f"{directory / 'config.json'}: is not the config of an LSTM; name one that `foundations` made")
    try:
        model = LSTM(LSTMConfig(**fields))
        weights = load_file(directory / WEIGHTS)
        model.load_state_dict(weights | {"head.weight": weights["embed.weight"]})
    except (SafetensorError, OSError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{directory}: is not a whole LSTM ({error}); make it again") from None
    return model.eval()
