"""How much a key may ask for: requests and tokens a minute, and requests at once.

Buckets of our own, since what a request costs in tokens is known when it has ended: a bucket must be able to go below
nothing, which libraries for rate limits do not have.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from preceptor.serving.front.keys import Key
from preceptor.serving.front.record import Record
from preceptor.serving.refusals import RefusalError


class Bucket:
    """Holds as much as a minute allows, and fills evenly. Full at first."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._most, self._rate, self._clock = float(per_minute), per_minute / 60, clock
        self._level, self._at = self._most, clock()

    def wait(self, amount: float) -> float:
        """Seconds until so much is in it; 0 if it is."""
        self._fill()
        return max(0.0, (amount - self._level) / self._rate)

    def take(self, amount: float) -> None:
        """Take so much out, though it be more than there is."""
        self._fill()
        self._level -= amount

    def _fill(self) -> None:
        now = self._clock()
        self._level = min(self._most, self._level + (now - self._at) * self._rate)
        self._at = now


class _Use:
    """What a key has used."""

    def __init__(self, key: Key, clock: Callable[[], float]) -> None:
        self.key, self.running = key, 0
        self.requests = Bucket(key.requests_per_minute, clock) if key.requests_per_minute else None
        self.tokens = Bucket(key.tokens_per_minute, clock) if key.tokens_per_minute else None


class Limits:
    """The use of all keys. Kept in memory: a restart forgets it."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._uses: dict[str, _Use] = {}

    @contextmanager
    def within(self, key: Key | None, record: Record) -> Iterator[None]:
        """Let a request in, or raise a refusal. Its tokens are charged when it has ended, however it did."""
        if key is None:
            yield
            return
        use = self._uses.get(key.name)
        if use is None or use.key != key:  # new, or its line was changed
            use = self._uses[key.name] = _Use(key, self._clock)
        if key.at_once is not None and use.running >= key.at_once:
            words = f"the key {key.name} has {key.at_once} requests under way, and no more at once"
            raise RefusalError(429, words, code="at_once", headers={})  # nobody knows when one of them ends
        waits = {
            "requests_per_minute": use.requests.wait(1) if use.requests else 0.0,
            "tokens_per_minute": use.tokens.wait(1) if use.tokens else 0.0,
        }
        longest = max(waits, key=lambda name: waits[name])
        if waits[longest] > 0:
            seconds = math.ceil(waits[longest])
            words = f"the key {key.name} is at its limit of {getattr(key, longest):,} {longest.replace('_', ' ')}"
            raise RefusalError(429, f"{words}; try again in {seconds} s", code=longest, wait=seconds)
        if use.requests:
            use.requests.take(1)
        use.running += 1
        try:
            yield
        finally:
            use.running -= 1
            if use.tokens:
                use.tokens.take(record.prompt_tokens + record.completion_tokens)
