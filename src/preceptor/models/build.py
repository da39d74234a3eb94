"""A decoder from the pieces of a checkpoint, without ever holding it twice."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from preceptor.models.config import TransformerConfig
from preceptor.models.families.pieces import Piece
from preceptor.models.transformer import Transformer


class MisfitError(Exception):
    """A tensor of another shape than the config asks for."""


def assemble(config: TransformerConfig, pieces: Iterable[Piece], read: Callable[[str], Tensor]) -> Transformer:
    """The decoder whose parameters the pieces fill, in float32; ``read`` gives one of their tensors by name.

    Tensors are read one at a time, each straight into its place, so the most that is held is the model and one of
    them. Where no piece fills the head, it shares the embedding. Raises :class:`MisfitError` for a tensor of
    another shape, and what ``read`` raises.
    """
    with torch.device("meta"):  # shapes only; tables of positions are computed all the same, on the CPU
        model = Transformer(config)
    pieces = list(pieces)
    shapes = {name: parameter.shape for name, parameter in model.named_parameters(remove_duplicate=False)}
    state = {name: torch.empty(shapes[name]) for name in dict.fromkeys(piece.ours for piece in pieces)}
    for piece in pieces:
        target, tensor = state[piece.ours][piece.rows], piece.stored.read(read(piece.theirs))
        if tensor.shape != target.shape:
            raise MisfitError(f"{piece.theirs} is {_shape(tensor)} where {_shape(target)} is asked for")
        target.copy_(tensor)
    shared = "head.weight" not in state
    if shared:
        state["head.weight"] = state["embed.weight"]
    model.load_state_dict(state, assign=True)
    if shared:
        model.head.weight = model.embed.weight
    return model


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))
