"""Text that arrives token by token: whole characters only, and none of what may still become a stop string."""

from collections.abc import Callable, Sequence


class TextStream:
    """The text of one response in pieces, whose sum is the text that ``decode`` gives of all its ids, up to a stop."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stops: Sequence[str] = ()) -> None:
        self._decode, self._stops = decode, stops
        self._ids: list[int] = []
        self._start = self._read = 0  # ids from start on are decoded again; those up to read have been
        self._held = ""  # decoded, and not given out: a stop string may begin in it
        self.decoded = 0  # characters so far, given out or not: where the text of the next id begins
        self.stopped = False

    def push(self, ids: Sequence[int], *, last: bool) -> str:
        """What can be said after these further ids; ``last`` lets out all that was held."""
        self._ids.extend(ids)
        new = self._decoded(last)
        self._held, self.decoded = self._held + new, self.decoded + len(new)
        ends = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if ends:
            self.stopped = True
            return self._held[: min(ends)]
        keep = 0 if last else max((_overlap(self._held, stop) for stop in self._stops), default=0)
        said, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return said

    def _decoded(self, last: bool) -> str:
        """The text of the ids not yet read, or nothing while they end within a character."""
        before = self._decode(self._ids[self._start : self._read])
        after = self._decode(self._ids[self._start :])
        if after.endswith("\ufffd") and not last:
            return ""
        self._start, self._read = self._read, len(self._ids)
        return after[len(before) :]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of the text that begins the stop string."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
