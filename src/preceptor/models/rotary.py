"""Rotary position embedding (RoFormer, arXiv 2104.09864).

Channel c of a head turns together with channel c + C/2 by the angle position * theta^(-2c/C): that is how
Hugging Face pairs them, and so they lie in the weights. To turn them, the two are made neighbours and taken as
one complex number: a single product. Queries and keys are reordered alike, which no product of them notices.
"""

import torch
from torch import Tensor


def rotary_tables(channels: int, positions: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (positions, channels / 2)."""
    frequencies = theta ** (-torch.arange(0, channels, 2, dtype=torch.float32) / channels)
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), frequencies)
    return angles.cos(), angles.sin()


def pair_channels(heads: int, channels: int) -> Tensor:
    """The order (heads * channels,) that makes the channels that turn together neighbours, in every head."""
    return torch.arange(heads * channels).view(heads, 2, channels // 2).mT.flatten()


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn (B, T, heads, C) with paired channels by complex numbers that broadcast to (B, T, 1, C/2)."""
    pairs = torch.view_as_complex(x.to(turns.real.dtype).unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)
