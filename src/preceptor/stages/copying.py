"""The copy test: who can look up what stood after a token the last time (Olsson et al. 2022, induction heads).

An LSTM and a causal transformer of one size see nothing but rows of random tokens, over and over: the only way to know
the next token is to find where the last ones stood before. Both are small, since two layers are all that it takes.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from preceptor.evaluation.context import copy_rows
from preceptor.keyed import numpy_rng
from preceptor.models.config import ModelConfig

LENGTH = 64  # tokens of a row, so that copies may lie up to 31 tokens apart
SHORTEST = 4  # distance between copies; nearer ones can be counted off without looking anything up
SHAPE = ModelConfig(
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
    max_position_embeddings=LENGTH,
)


def repeating_rows(count: int, alphabet: Sequence[int], start: int, seed: int, step: int) -> Tensor:
    """(count, LENGTH): a begin token, then a random segment over and over, as long as the row goes.

    How long the segments are is drawn evenly on a logarithmic scale, since short ones are learnt first and show how.
    """
    longest = (LENGTH - 1) // 2
    rng = numpy_rng(seed, "foundations", "distance", step)
    distances = (SHORTEST * (longest / SHORTEST) ** rng.random(count)).astype(int)
    rows = []
    for row, distance in enumerate(distances.tolist()):
        (once,) = copy_rows(1, distance, alphabet, start, seed, step, row)
        rows.append(torch.cat([once[:1], once[1 : 1 + distance].repeat(math.ceil(LENGTH / distance))])[:LENGTH])
    return torch.stack(rows)


def tested_distances() -> list[int]:
    """Distances that are tested: powers of two, and the longest."""
    longest = (LENGTH - 1) // 2
    return [2**power for power in range(2, 12) if 2**power < longest] + [longest]
