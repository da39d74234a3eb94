"""Keyed randomness: what is drawn depends on a key, never on what was drawn before.

A consumed stream of random numbers ties every draw to the whole history of the process:
resume it, split it over workers or change the batch size, and the results move. Here each
draw names itself, ``numpy_rng(seed, "sft", "order", epoch)``, so none of that matters.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # hashes alone must not cost the seconds that torch takes to load
    import torch

Key = str | int


def key_bits(seed: int, *key: Key) -> int:
    """128 bits that depend on the seed and on every part of the key, and on nothing else."""
    text = "\x1f".join([str(seed), *(f"{type(part).__name__}:{part}" for part in key)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def numpy_rng(seed: int, *key: Key) -> np.random.Generator:
    """A NumPy generator (counter-based Philox) of its own for this key."""
    return np.random.Generator(np.random.Philox(key=key_bits(seed, *key)))


def torch_rng(seed: int, *key: Key) -> torch.Generator:
    """A PyTorch CPU generator of its own for this key."""
    import torch

    return torch.Generator().manual_seed(key_bits(seed, *key) % 2**63)
