"""A linear layer that can carry a low-rank adapter (LoRA, arXiv 2106.09685).

What an adapter adds to y = W x is scale * B A x, with A (rank, in) and B (out, rank). Our layers are fused, so one
carries a pair for each layer of a checkpoint that it holds: queries, keys and values apart, gate and value apart.

Shapes: D inputs, O outputs, R the ranks of all parts together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Part(NamedTuple):
    """One of a checkpoint's layers in a fused one."""

    name: str  # its last name there, q_proj
    start: int  # its outputs among the fused layer's: start .. stop
    stop: int
    rank: int
    scale: float  # times B A


class Adapter(nn.Module):
    """The pairs of one layer. They are float32 whatever the layer is, and B starts at 0: nothing is added."""

    def __init__(self, parts: Sequence[Part], layer: nn.Linear, dropout: float, salt: int):
        """``dropout`` is of the adapter's input; ``salt`` tells the layer's noise from that of others."""
        super().__init__()
        self.parts, self.dropout, self.salt = list(parts), dropout, salt
        self.inputs, self.outputs = layer.in_features, layer.out_features
        device = layer.weight.device
        self.A = nn.ParameterDict({p.name: torch.zeros(p.rank, self.inputs, device=device) for p in parts})
        self.B = nn.ParameterDict({p.name: torch.zeros(p.stop - p.start, p.rank, device=device) for p in parts})

    def onto(self, y: Tensor, x: Tensor, order: Tensor | None, noise: Tensor | None) -> Tensor:
        """y (..., O) plus what the adapter makes of x (..., D); see :meth:`Linear.forward`."""
        if noise is not None and self.dropout:
            x = keyed_dropout(x, noise, self.dropout, self.salt)
        up_OR = self._up()
        if order is not None:
            up_OR = up_OR.index_select(0, order)
        low = F.linear(x, self._down().to(x.dtype)).flatten(0, -2)
        return torch.addmm(y.flatten(0, -2), low, up_OR.to(x.dtype).t()).view_as(y)

    def delta(self) -> Tensor:
        """scale * B A of every part, (O, D): what the adapter adds to the weight."""
        return self._up() @ self._down()

    def _down(self) -> Tensor:
        """(R, D): every part's A, one below the other."""
        return torch.cat([self.A[part.name] for part in self.parts])

    def _up(self) -> Tensor:
        """(O, R): every part's scale * B, in its own rows and columns."""
        up_OR = self.B[self.parts[0].name].new_zeros(self.outputs, sum(part.rank for part in self.parts))
        column = 0
        for part in self.parts:
            up_OR[part.start : part.stop, column : column + part.rank] = part.scale * self.B[part.name]
            column += part.rank
        return up_OR


class Linear(nn.Linear):
    """``torch.nn.Linear``, plus an adapter if it has one."""

    adapter: Adapter | None

    def __init__(self, inputs: int, outputs: int, bias: bool):
        super().__init__(inputs, outputs, bias=bias)
        self.register_module("adapter", None)

    def forward(self, x: Tensor, order: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """(..., D) to (..., O), the outputs in ``order`` (O,) if it is given.

        ``noise`` (...) int64 names each row's draw of the adapter's dropout; without it there is none.
        """
        if order is None:
            y = F.linear(x, self.weight, self.bias)
        else:
            bias = None if self.bias is None else self.bias[order]
            y = F.linear(x, self.weight.index_select(0, order), bias)
        return y if self.adapter is None else self.adapter.onto(y, x, order, noise)


def chosen(noise: Tensor | None, rows: Tensor | None) -> Tensor | None:
    """The noise (B, T) of some rows (N,) of the B * T, if there is any."""
    return noise if noise is None or rows is None else noise.flatten().index_select(0, rows)


def merged_weight(linear: nn.Linear) -> Tensor:
    """The weight with the adapter in it, (O, D) float32; the weight itself where there is none."""
    if isinstance(linear, Linear) and linear.adapter is not None:
        return linear.weight.float() + linear.adapter.delta()
    return linear.weight


def keyed_dropout(x: Tensor, noise: Tensor, share: float, salt: int) -> Tensor:
    """Set a share of the numbers of x (..., D) to 0 and scale up the others.

    Which ones depends on the row's ``noise`` (...) int64, the channel and the salt alone, so that neither batching
    nor a second computation of the same activations changes it. The bits are those of a hash (the finaliser of
    MurmurHash3) over the three.
    """
    channels = torch.arange(x.shape[-1], device=x.device)
    bits = _mix(noise * 0x9E3779B1 + salt)[..., None] + _mix(channels + 1)
    kept = _mix(bits) >= round(share * 2**32)
    return x * kept.to(x.dtype).mul_(1 / (1 - share))


def _mix(bits: Tensor) -> Tensor:
    """Thoroughly mixed 32 bits, in int64."""
    bits = bits & _MASK
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = ((bits ^ (bits >> shift)) * factor) & _MASK
    return bits ^ (bits >> 16)


_MASK = 0xFFFFFFFF
