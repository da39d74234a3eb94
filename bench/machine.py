"""What the other benches share: a clock, this machine's peak, and the arithmetic that a decoder needs."""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence

import torch

from preceptor.models.transformer import Transformer


def add_options(parser: argparse.ArgumentParser) -> None:
    """How to compute and what to count."""
    parser.add_argument("--threads", type=int, help="default: one for each core")
    parser.add_argument(
        "--cpu-time", action="store_true",
        help="one thread, and its processor seconds: steady even while others use the machine",
    )  # fmt: skip


class Clock:
    """Sets torch's threads as the options say and measures calls."""

    def __init__(self, args: argparse.Namespace):
        self.cpu_time: bool = args.cpu_time
        torch.set_num_threads(1 if args.cpu_time else args.threads or len(os.sched_getaffinity(0)))
        self.threads = torch.get_num_threads()
        self._now = time.process_time if args.cpu_time else time.perf_counter

    def seconds(self, run: Callable[[], object]) -> float:
        """What one call takes."""
        start = self._now()
        run()
        return self._now() - start


class Peak:
    """The speed of large square float32 matrix products, in operations a second."""

    def __init__(self, clock: Clock, sizes: Sequence[int] = (1024, 1536, 2048)):
        self._clock = clock
        self._pairs = [(torch.randn(size, size), torch.empty(size, size)) for size in sizes]
        self.seen: list[float] = []
        self.measure()  # the first products of a process are slow
        self.seen.clear()

    def measure(self) -> None:
        """Once more: the best of all sizes counts."""
        speeds = []
        for a, out in self._pairs:
            speeds.append(2 * len(a) ** 3 / self._clock.seconds(lambda a=a, out=out: torch.mm(a, a, out=out)))
        self.seen.append(max(speeds))

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


def reading_speed(clock: Clock) -> float:
    """Bytes a second of reading one array too large for the caches of a core."""
    a = torch.ones(1 << 27)
    return a.numel() * 4 / min(clock.seconds(lambda: a.sum()) for _ in range(5))
