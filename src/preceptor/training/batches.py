"""Which examples step n sees: a pure function of the seed and n."""

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from preceptor.keyed import numpy_rng


def steps_of(count: int, batch: int, epochs: float) -> int:
    """Optimizer steps that ``epochs`` passes over ``count`` examples make; at least one.

    Fewer examples than ``batch`` are one batch.
    """
    return max(1, round(count * epochs / min(batch, count)))


def batch_at(step: int, *, count: int, batch: int, seed: int, key: str) -> list[int]:
    """The indices of step ``step``: consecutive cuts of an endless sequence of shuffled epochs."""
    indices: list[int] = []
    position = step * batch
    while len(indices) < batch:
        epoch, offset = divmod(position, count)
        order = _epoch_order(seed, key, epoch, count)
        taken = order[offset : offset + batch - len(indices)]
        indices += taken
        position += len(taken)
    return indices


class Padding:
    """How much of what was computed is padding, over the passes of a step."""

    def __init__(self) -> None:
        self.positions = self.tokens = 0

    def count(self, segments_BT: Tensor) -> None:
        """Take a batch in; its segment 0 is padding."""
        self.positions += segments_BT.numel()
        self.tokens += int((segments_BT != 0).sum())

    @property
    def share(self) -> float:
        """0 to 1; 0 if nothing was counted."""
        return 1 - self.tokens / self.positions if self.positions else 0.0


_ORDERS: dict[tuple[int, str, int, int], list[int]] = {}


def _epoch_order(seed: int, key: str, epoch: int, count: int) -> list[int]:
    name = (seed, key, epoch, count)
    if name not in _ORDERS:
        if len(_ORDERS) > 8:
            _ORDERS.clear()
        order: np.ndarray = numpy_rng(seed, key, "order", epoch).permutation(count)
        _ORDERS[name] = order.tolist()
    return _ORDERS[name]


def group_by_length(indices: Sequence[int], lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Split a batch into micro-batches of similar length whose padded size stays within ``token_budget``.

    They are cut, in the order of length, where padding and passes together cost least; a pass counts as a sixteenth of
    the budget in tokens. A single example longer than the budget gets a micro-batch of its own.
    """
    order = sorted(indices, key=lambda i: (-lengths[i], i))
    costs, begins = [0.0], [0]  # of the cheapest way to cut the first n, and where its last micro-batch begins
    for stop in range(1, len(order) + 1):
        cost, begin = math.inf, stop - 1
        for start in range(stop - 1, -1, -1):
            padded = (stop - start) * lengths[order[start]]
            if padded > token_budget and stop - start > 1:
                break
            if (total := costs[start] + padded + token_budget / 16) <= cost:
                cost, begin = total, start
        costs.append(cost)
        begins.append(begin)
    groups, stop = [], len(order)
    while stop:
        groups.append(order[begins[stop] : stop])
        stop = begins[stop]
    return groups[::-1]
