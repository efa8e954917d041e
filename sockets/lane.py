"""The lane of one connection: it lends a thread for each synchronous call, one at a time."""

import asyncio
import functools
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import ThreadSensitiveContext

from .lanes import Call, Lanes, LaneThread
from .sync import finish_future


class Lane(Executor):
    """Runs what one connection, or one concurrent message, submits: one call at a time.

    Each call goes to whichever thread is free, so that a handler that waits keeps none.
    """

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self._busy = False
        self._waiting: deque[Call] = deque()
        self.used: set[LaneThread] = set()
        """Threads that ran a call here since the last `release`."""
        self._idle: asyncio.Future[None] | None = None

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        call = Call(self, functools.partial(function, *args, **kwargs))
        with self.lanes.lock:
            if self._busy:
                self._waiting.append(call)
                return call.future
            self._busy = True
        self.lanes.lend(call)
        return call.future

    def began(self, thread: LaneThread) -> None:
        """Keep the thread's database connections open until `release`."""
        if thread not in self.used:
            with self.lanes.lock:
                self.used.add(thread)
                thread.held += 1

    def ended(self) -> None:
        """Go on with the next call, if one waits."""
        with self.lanes.lock:
            following = self._waiting.popleft() if self._waiting else None
            self._busy = following is not None
            idle = None if self._busy else self._idle
        if following is not None:
            self.lanes.lend(following)
        elif idle is not None:
            self.lanes.loop.call_soon_threadsafe(finish_future, idle)

    def release(self) -> None:
        """Tell the threads that the run which used them has ended."""
        with self.lanes.lock:
            for thread in self.used:
                thread.held -= 1
            self.used.clear()

    async def idle(self) -> None:
        """Wait until no call runs or waits here."""
        while self._busy:
            with self.lanes.lock:
                self._idle = self.lanes.loop.create_future()
                busy = self._busy
            if busy:
                await self._idle
            self._idle = None


@asynccontextmanager
async def lane_of(lanes: Lanes | None) -> AsyncIterator[Lane | None]:
    """A lane that takes the thread-sensitive calls made in the block.

    None where asgiref has its own thread for them: beneath `async_to_sync`.
    """
    if lanes is None:
        yield None
        return
    lane = Lane(lanes)
    async with ThreadSensitiveContext(executor=lane):
        try:
            yield lane
        finally:
            lane.release()
