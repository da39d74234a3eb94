"""How often somebody may do a thing, such as guess a secret or judge replies.

Kept in memory: a restart forgets, and each server process counts its own.
"""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from time import monotonic

MAX_KEYS = 100_000  # names and addresses remembered; a flood of new ones pushes out the oldest


class Attempts:
    """At most ``limit`` attempts a key in a window of ``seconds``, which begins with the first of them.

    An attempt counts when it begins, so that many at the same moment are no way around.
    """

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._limit, self._seconds, self._clock = limit, seconds, clock
        self._begun: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = Lock()

    def take(self, key: str) -> float:
        """Count an attempt; 0 if it may go on, else the seconds to wait."""
        with self._lock:
            now = self._clock()
            since, count = self._begun.get(key, (now, 0))
            if now - since >= self._seconds:
                since, count = now, 0
            if count >= self._limit:
                return self._seconds - (now - since)
            self._begun[key] = (since, count + 1)
            while len(self._begun) > MAX_KEYS:
                self._begun.popitem(last=False)
            return 0.0

    def forgive(self, key: str) -> None:
        """The attempt succeeded: one is taken back."""
        with self._lock:
            if key in self._begun:
                since, count = self._begun[key]
                self._begun[key] = (since, max(0, count - 1))

    def clear(self, key: str) -> None:
        """Start anew."""
        with self._lock:
            self._begun.pop(key, None)
