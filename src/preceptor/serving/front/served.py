"""What stands behind the front, as far as it needs to know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from preceptor.serving.worker import Worker


@dataclass(frozen=True)
class Load:
    """Responses of a model that are being written, and that wait to be."""

    model: str
    active: int
    waiting: int


class Served(Protocol):
    """Models that answer."""

    @property
    def broken(self) -> bool:
        """Whether only a restart helps."""

    async def trouble(self) -> str | None:
        """Why no request can be answered now; None if all is well."""

    def loads(self) -> Sequence[Load]:
        """What there is to do, where that is known."""


class Workers:
    """Models of our own. They are loaded before the server answers anything."""

    def __init__(self, workers: Mapping[str, Worker]) -> None:
        self._workers = workers

    @property
    def broken(self) -> bool:
        """Whether an engine has stopped."""
        return any(worker.broken for worker in self._workers.values())

    async def trouble(self) -> str | None:
        """See `Served`."""
        return "broken" if self.broken else None

    def loads(self) -> Sequence[Load]:
        """See `Served`."""
        return [
            Load(name, min(load, worker.slots), max(0, load - worker.slots))
            for name, worker in self._workers.items()
            for load in [worker.load]
        ]
