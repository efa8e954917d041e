"""Bringing what is sent to many to their outboxes: a slice of it in each step of the loop."""

import asyncio
import logging
from collections import deque
from contextvars import Context

from .backlog import Parcel
from .outbox import Outbox

logger = logging.getLogger("sockets")

SLICE = 256
"""Frames that are written in one step; what else the loop has to do comes after each of them."""
QUIET = 10.0
"""Seconds between two warnings in the log."""


class FanOut:
    """Gives the members of one event loop what they are sent together.

    It never waits for a client. What is more than a slice is held in the outboxes, where all that
    is sent later queues behind it, and written in the next steps of the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.dropped = 0
        """How many broadcasts clients that read too slowly have missed, each client's counted."""
        self._loop = loop
        self._left = SLICE
        self._held: deque[Outbox] = deque()
        self._context = Context()  # steps keep nothing of those alive who sent
        self._quiet_until = 0.0

    def deliver(self, outbox: Outbox, parcel: Parcel) -> None:
        """Send a frame after those sent before it, now or soon."""
        if not outbox.direct:
            if dropped := outbox.queue(parcel):
                self._lose(dropped)
        elif self._left:
            if self._left == SLICE:
                self._loop.call_soon(self._begin_step, context=self._context)
            self._left -= 1
            outbox.write(parcel[0])
        else:
            outbox.hold(parcel)
            self._held.append(outbox)

    def _begin_step(self) -> None:
        self._left = SLICE
        if self._held:
            self._loop.call_soon(self._begin_step, context=self._context)
        while self._held and self._left > 0:
            outbox = self._held.popleft()
            self._left -= outbox.release(self._left)
            if outbox.held is not None:
                self._held.appendleft(outbox)

    def _lose(self, number: int) -> None:
        self.dropped += number
        if self._loop.time() >= self._quiet_until:
            self._quiet_until = self._loop.time() + QUIET
            logger.warning(
                "Clients read too slowly: they missed broadcasts (%d so far)", self.dropped
            )
