"""What the connections of one event loop share: begun by its first, ended by its last."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import ClassVar

from asgiref.sync import AsyncToSync

from .conf import get_settings
from .lane import Lane, lane_of
from .lanes import Lanes
from .mailbox import Timeouts
from .registry import Registry
from .sync import is_beneath_thread

GRACE = 1.0
"""Seconds that the last rows have to be deleted, and then the threads to end."""


class Hub:
    """The threads, the rows and the clock of one event loop's connections."""

    _by_loop: ClassVar[dict[asyncio.AbstractEventLoop, "Hub"]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        settings = get_settings()
        self.loop = loop
        self.timeouts = Timeouts(loop)
        self.lanes = Lanes(loop, settings.LANES, settings.LANE_WAIT)
        self.registry = Registry(loop, self.lanes if _is_outermost(loop) else None)
        self.connections = 0

    @classmethod
    def current(cls) -> "Hub":
        """The running loop's hub, begun now if there is none."""
        loop = asyncio.get_running_loop()
        if loop not in cls._by_loop:
            for closed in [known for known in tuple(cls._by_loop) if known.is_closed()]:
                cls._by_loop.pop(closed).lanes.abandon()
            cls._by_loop[loop] = cls(loop)
        return cls._by_loop[loop]

    async def leave(self) -> None:
        """Count one connection less; the last one ends the hub."""
        self.connections -= 1
        if not self.connections:
            self._by_loop.pop(self.loop, None)
            self.timeouts.stop()
            await self.registry.stop(GRACE)
            await self.lanes.stop(GRACE)


_entered: ContextVar[tuple[Hub, Lane | None] | None] = ContextVar("entered", default=None)


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[Hub, Lane | None]]:
    """The hub, and a lane for what the block calls synchronously.

    Entered within itself it gives the same again, so that middleware and handler share a
    lane. Beneath `async_to_sync`, as in Django's own async tests, there is no lane: asgiref
    then runs synchronous code on the thread that waits, which has the test's transaction.
    """
    hub = Hub.current()
    entered = _entered.get()
    if entered is not None and entered[0] is hub:
        yield entered
        return
    hub.connections += 1
    try:
        async with lane_of(hub.lanes if _is_outermost(hub.loop) else None) as lane:
            token = _entered.set((hub, lane))
            try:
                yield hub, lane
            finally:
                _entered.reset(token)
    finally:
        await hub.leave()


def _is_outermost(loop: asyncio.AbstractEventLoop) -> bool:
    return loop not in AsyncToSync.loop_thread_executors and not is_beneath_thread()
