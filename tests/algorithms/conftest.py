"""Batches with masks, and the same batches with padding full of rubbish around them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from torch import Tensor

settings.register_profile("tensors", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tensors")

Draw = Callable[..., Tensor]
Batch = Callable[[int], tuple[Draw, Tensor]]
Pad = Callable[..., tuple[Tensor, ...]]
RUBBISH = np.array([np.nan, np.inf, -np.inf, 1e30, -7.0])


@pytest.fixture(scope="session")
def batch() -> Batch:
    """batch(seed) -> (draw, mask): a random (B, T) mask with a real token in every row, gaps allowed, and a function
    draw(scale=1.0) that gives random (B, T) float64 tensors."""

    def make(seed: int) -> tuple[Draw, Tensor]:
        rng = np.random.default_rng(seed)
        shape = (int(rng.integers(1, 5)), int(rng.integers(1, 9)))
        mask = rng.random(shape) < rng.choice([0.5, 0.8, 1.0])
        mask[np.arange(shape[0]), rng.integers(0, shape[1], size=shape[0])] = True

        def draw(scale: float = 1.0) -> Tensor:
            return torch.from_numpy(rng.normal(scale=scale, size=shape))

        return draw, torch.from_numpy(mask)

    return make


@pytest.fixture(scope="session")
def pad() -> Pad:
    """pad(seed, mask, *tensors) -> (mask, *tensors) with rubbish where the mask is 0, more of it in columns on both
    sides and in whole rows below. Every call with this seed pads by the same amounts: (rows, left) is where the
    original stands, given by the mask alone, so compare by `result[mask]`."""

    def make(seed: int, mask: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        rng = np.random.default_rng(seed)
        left, right, below = (int(n) for n in rng.integers(0, 4, size=3))
        rows, columns = mask.shape
        wide = (rows + below, left + columns + right)
        padded_mask = torch.zeros(wide, dtype=torch.bool)
        padded_mask[:rows, left : left + columns] = mask
        padded = []
        for tensor in tensors:
            filled = torch.from_numpy(rng.choice(RUBBISH, size=wide)).to(tensor.dtype)
            filled[padded_mask] = tensor[mask]
            padded.append(filled)
        return padded_mask, *padded

    return make
