"""Rotary position embedding (RoFormer, arXiv 2104.09864).

Channel c of a head turns together with channel c + R/2 by the angle position * theta^(-2c/R), where the first R of
the C channels turn (all of them, in most models): that is how Hugging Face pairs them, and so they lie in the
weights. To turn them, the two are made neighbours and taken as one complex number: a single product. Queries and
keys are reordered alike, which no product of them notices. Channels that do not turn have angle 0.
"""

import math

import torch
from torch import Tensor

from preceptor.models.config import RopeScaling, TransformerConfig


def rotary_tables(
    channels: int, positions: int, theta: float, *, scaling: RopeScaling | None = None, turning: int | None = None
) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (positions, channels / 2); ``turning`` of the channels turn, None: all."""
    turning = channels if turning is None else turning
    frequencies = torch.zeros(channels // 2, device="cpu")  # stated, as the others are: see models/build.py
    steps = torch.arange(0, turning, 2, dtype=torch.float32, device="cpu")
    frequencies[: turning // 2] = scaled(theta ** (-steps / turning), scaling)
    angles = torch.outer(torch.arange(positions, dtype=torch.float32, device="cpu"), frequencies)
    return angles.cos(), angles.sin()


def scaled(frequencies: Tensor, scaling: RopeScaling | None) -> Tensor:
    """The frequencies under a scaling: linear (position interpolation, arXiv 2306.15595) or that of Llama 3.1."""
    if scaling is None:
        return frequencies
    slow = frequencies / scaling.factor
    if scaling.kind == "linear":
        return slow
    turns = scaling.original_max_position_embeddings * frequencies / (2 * math.pi)  # in the context first trained on
    quickness = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    return torch.lerp(slow, frequencies, quickness.clamp(0, 1))


def layer_tables(config: TransformerConfig) -> dict[str, tuple[Tensor, Tensor]]:
    """The tables of a decoder by the name of the layers that use them: "", and "local" if sliding layers differ."""
    size = (config.head_dim, config.max_position_embeddings)
    tables = {"": rotary_tables(*size, config.rope_theta, scaling=config.rope_scaling, turning=config.rotary_dim)}
    if config.rope_local_theta is not None:
        tables["local"] = rotary_tables(*size, config.rope_local_theta, turning=config.rotary_dim)
    return tables


def pair_channels(heads: int, channels: int, turning: int | None = None) -> Tensor:
    """The order (heads * channels,) that makes the channels that turn together neighbours, in every head."""
    turning = channels if turning is None else turning
    order = torch.arange(heads * channels, device="cpu").view(heads, channels)
    paired = order[:, :turning].view(heads, 2, turning // 2).mT.flatten(1)
    return torch.cat([paired, order[:, turning:]], dim=1).flatten()


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn (B, T, heads, C) with paired channels by complex numbers that broadcast to (B, T, 1, C/2)."""
    pairs = torch.view_as_complex(x.to(turns.real.dtype).unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)
