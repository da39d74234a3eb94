"""Quick keyed draws for text: thousands of small choices, each document or prompt with a key of its own."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from preceptor.keyed import Key, numpy_rng

Item = TypeVar("Item")


class Draw:
    """Choices that depend on ``seed`` and ``key`` alone.

    NumPy's generators are slow one number at a time, so uniform numbers are fetched in blocks.
    """

    def __init__(self, seed: int, *key: Key) -> None:
        self._rng = numpy_rng(seed, *key)
        self._block: list[float] = []

    def unit(self) -> float:
        """A uniform number in [0, 1)."""
        if not self._block:
            self._block = self._rng.random(32).tolist()
        return self._block.pop()

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1."""
        return int(self.unit() * n)

    def chance(self, share: float) -> bool:
        """True in this share of cases."""
        return self.unit() < share

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[int(self.unit() * len(items))]

    def weighted(self, shares: Mapping[Item, float]) -> Item:
        """One of the keys, as often as its share says."""
        point = self.unit() * sum(shares.values())
        item = None
        for item, share in shares.items():
            point -= share
            if point < 0:
                return item
        assert item is not None, "shares are empty"
        return item

    def some(self, items: Sequence[Item], count: int) -> list[Item]:
        """``count`` different items (all, if there are fewer), in random order."""
        if count * 4 < len(items):  # few of many: draw again on a repeat
            chosen: list[int] = []
            while len(chosen) < count:
                index = int(self.unit() * len(items))
                if index not in chosen:
                    chosen.append(index)
            return [items[index] for index in chosen]
        return self.shuffled(items)[:count]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """All items in random order."""
        rest = list(items)
        for last in range(len(rest) - 1, 0, -1):
            other = int(self.unit() * (last + 1))
            rest[last], rest[other] = rest[other], rest[last]
        return rest

    def normal(self) -> float:
        """A standard normal number."""
        return float(self._rng.standard_normal())
