"""How the tensors of a checkpoint lie in ours: the one mapping that reading, writing and adapters share.

Ours are fused (queries, keys and values are the rows of one matrix), theirs often are not. A :class:`Piece` says
which rows of which parameter one of their tensors fills, and how it is stored.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from preceptor.models.config import TransformerConfig


class Storage(NamedTuple):
    """How a tensor is stored: from theirs to ours, and back."""

    read: Callable[[Tensor], Tensor]
    write: Callable[[Tensor], Tensor]


PLAIN = Storage(lambda tensor: tensor, lambda tensor: tensor)
TRANSPOSED = Storage(torch.t, torch.t)
# Gemma keeps the scale of a norm as what it has more than 1.
LESS_ONE = Storage(lambda tensor: tensor.float() + 1, lambda tensor: (tensor.float() - 1).to(tensor.dtype))


def by_head(heads: int) -> Storage:
    """Rows that run head by head, query, key and value of each together; ours: all queries, all keys, all values."""
    return Storage(
        lambda tensor: tensor.unflatten(0, (heads, 3, -1)).transpose(0, 1).flatten(0, 2),
        lambda tensor: tensor.unflatten(0, (3, heads, -1)).transpose(0, 1).flatten(0, 2),
    )


def output_rows(stored: Storage) -> Storage:
    """How a matrix with a row for each output of a linear layer is stored: as its weight, but never transposed."""
    return PLAIN if stored is TRANSPOSED else stored


class Piece(NamedTuple):
    """One of their tensors, and where it lies in ours."""

    theirs: str  # the full name less the trunk's prefix
    ours: str  # a parameter of Transformer
    rows: slice = slice(None)  # of ours
    stored: Storage = PLAIN


def projections(theirs: Iterable[str], ours: str, widths: Iterable[int], kinds: Iterable[str]) -> list[Piece]:
    """Their separate linear layers, one below the other in one of ours; ``kinds``: "weight", "bias"."""
    pieces, start = [], 0
    for name, width in zip(theirs, widths, strict=True):
        rows = slice(start, start + width)
        pieces += [Piece(f"{name}.{kind}", f"{ours}.{kind}", rows) for kind in kinds]
        start += width
    return pieces


def qkv_widths(config: TransformerConfig) -> list[int]:
    """Rows of the queries, keys and values in ``attention.qkv``."""
    key_width = config.num_key_value_heads * config.head_dim
    return [config.num_attention_heads * config.head_dim, key_width, key_width]


def export_pieces(pieces: Iterable[Piece], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our parameters as their tensors; views of ours where nothing has to change."""
    return {piece.theirs: piece.stored.write(ours[piece.ours][piece.rows]) for piece in pieces}
