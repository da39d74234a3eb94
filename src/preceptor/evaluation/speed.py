"""How fast models learn, beside each other."""

import time
from collections.abc import Callable, Sequence
from statistics import median

from torch import Tensor

ROUNDS = 5


def training_speeds(names: Sequence[str], loss_of: Callable[[str, Tensor], Tensor], ids_BT: Tensor) -> dict[str, float]:
    """Tokens a second of each model in a forward and backward pass over ``ids_BT``, the median of a few.

    The models take turns, so that what else the machine does falls on all alike; the first turn is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(ROUNDS + 1):
        for name in names:
            began = time.perf_counter()
            loss_of(name, ids_BT).backward()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: ids_BT.numel() / median(times) for name, times in seconds.items()}
