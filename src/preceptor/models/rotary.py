"""Rotary position embedding (RoFormer, arXiv 2104.09864), with Hugging Face's pairing of channels.

Channel c turns together with channel c + C/2 by the angle position * theta^(-2c/C).
"""

from typing import Any

import torch
from torch import Tensor


def rotary_tables(channels: int, positions: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (positions, channels / 2)."""
    frequencies = theta ** (-torch.arange(0, channels, 2, dtype=torch.float32) / channels)
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), frequencies)
    return angles.cos(), angles.sin()


class _Rotate(torch.autograd.Function):
    """A rotation's gradient is the rotation back, so nothing but the angles is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turn(grads[0], cos, -sin), None, None


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    torch.mul(first, cos, out=y[..., :half]).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=y[..., half:]).addcmul_(first, sin)
    return y


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn (B, T, heads, C) by tables that broadcast to (B, T, 1, C/2)."""
    rotated: Tensor = _Rotate.apply(x, cos, sin)
    return rotated
