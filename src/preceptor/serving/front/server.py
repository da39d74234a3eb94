"""The end of the server: it takes nothing on any more, what is under way gets its time, and then it stops."""

import logging
from time import monotonic
from types import FrameType

import uvicorn

from preceptor.serving.front.front import Front
from preceptor.serving.front.log import LOGGER

LAST_SECONDS = 2.0  # for connections to end, after the requests have


class Server(uvicorn.Server):
    """uvicorn's, which by itself closes its door at once: a load balancer would see broken connections, not a 503."""

    def __init__(self, config: uvicorn.Config, front: Front, grace: float) -> None:
        super().__init__(config)
        self._front, self._grace, self._end = front, grace, 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or Ctrl-C: begin to end; the second time, end at once."""
        super().handle_exit(sig, frame)
        if not self._front.draining:
            self.should_exit = False
            self._front.draining = True

    async def on_tick(self, counter: int) -> bool:
        """What uvicorn does ten times a second; true ends it."""
        over = await super().on_tick(counter)
        if not self._front.draining or over:
            return over
        if not self._end:
            self._end = monotonic() + self._grace
            self._front.hurry(self._grace)
            logging.getLogger(LOGGER).info(
                "stopping", extra={"fields": {"under_way": self._front.running, "grace_seconds": self._grace}}
            )
        return self._front.running == 0 or monotonic() > self._end + LAST_SECONDS
