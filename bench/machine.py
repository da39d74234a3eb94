"""What the other benches share: a clock, this machine's peak, and the arithmetic that a decoder needs."""

import os
import statistics
import time
from collections.abc import Callable, Sequence

import torch

from preceptor.models.transformer import Transformer


def use_threads(count: int | None) -> int:
    """Let torch compute on ``count`` threads, by default one for each core."""
    torch.set_num_threads(count or len(os.sched_getaffinity(0)))
    return torch.get_num_threads()


def seconds(run: Callable[[], object]) -> float:
    """What one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class Peak:
    """The speed of large square float32 matrix products, in operations a second."""

    def __init__(self, sizes: Sequence[int] = (1024, 1536, 2048)):
        self._pairs = [(torch.randn(size, size), torch.empty(size, size)) for size in sizes]
        self.seen: list[float] = []
        self.measure()  # the first products of a process are slow
        self.seen.clear()

    def measure(self) -> None:
        """Once more: the best of all sizes counts."""
        self.seen.append(
            max(2 * len(a) ** 3 / seconds(lambda a=a, out=out: torch.mm(a, a, out=out)) for a, out in self._pairs)
        )

    @property
    def flops(self) -> float:
        """The median of the measurements."""
        return statistics.median(self.seen)


def matrices(model: Transformer) -> int:
    """Parameters of the blocks' matrices: each costs two operations a token and pass."""
    return sum(p.numel() for name, p in model.named_parameters() if "blocks." in name and p.ndim == 2)


def attention_flops(model: Transformer, tokens: int) -> float:
    """Both products of causal attention, all layers, one forward pass over a sequence."""
    config = model.config
    return 4 * config.num_hidden_layers * config.num_attention_heads * config.head_dim * tokens * (tokens + 1) / 2


def head_flops(model: Transformer) -> int:
    """The product with the vocabulary, forward, for one token."""
    return 2 * model.config.hidden_size * model.config.vocab_size
