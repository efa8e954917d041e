"""Looking after the members of one event loop: who is not heard any more, who takes nothing."""

import asyncio
import logging
from contextvars import Context

from .members import Members

logger = logging.getLogger("sockets")

EVERY = 2.5
"""Seconds between two looks. What is due sooner is looked at in time."""


class Heartbeat:
    """One timer for all members; a timer for each would be re-set with each of their frames."""

    def __init__(self, loop: asyncio.AbstractEventLoop, members: Members) -> None:
        self._loop = loop
        self._members = members
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Look from now on."""
        if self._timer is None:
            self._look_at(self._loop.time() + EVERY)

    def expect(self, due: float) -> None:
        """Look no later than at this time of the loop's clock."""
        if self._timer is not None and due < self._timer.when():
            self._timer.cancel()
            self._look_at(due)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look_at(self, time: float) -> None:
        self._timer = self._loop.call_at(time, self._look, context=Context())

    def _look(self) -> None:
        now = self._loop.time()
        self._look_at(now + EVERY)
        for member in self._members:
            try:
                self.expect(member.look(now))
            except Exception:
                logger.exception("Looking after %s failed", member.id)
