"""The lane of one connection: it lends a thread for each synchronous call, one at a time."""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from asgiref.sync import ThreadSensitiveContext

from .lanes import Call, Lanes, LaneThread
from .sync import finish_future


class Lane(Executor):
    """Runs what one connection, or one concurrent message, submits: one call at a time.

    Each call goes to whichever thread is free, so that a handler that waits keeps none.
    """

    __slots__ = ("_busy", "_idle", "_waiting", "lanes", "used")

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self._busy = False
        # Tuples, for the empty one takes no memory: few lanes are ever used, and for one call.
        self._waiting: tuple[Call, ...] = ()
        self.used: tuple[LaneThread, ...] = ()
        """Threads that ran a call here since the last `release`."""
        self._idle: asyncio.Future[None] | None = None

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        call = Call(self, functools.partial(function, *args, **kwargs))
        with self.lanes.lock:
            if self._busy:
                self._waiting += (call,)
                return call.future
            self._busy = True
        self.lanes.lend(call)
        return call.future

    def began(self, thread: LaneThread) -> None:
        """Keep the thread's database connections open until `release`."""
        if thread not in self.used:
            with self.lanes.lock:
                self.used += (thread,)
                thread.held += 1

    def ended(self) -> None:
        """Go on with the next call, if one waits."""
        with self.lanes.lock:
            following = self._waiting[0] if self._waiting else None
            self._waiting = self._waiting[1:]
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
            self.used = ()

    async def idle(self) -> None:
        """Wait until no call runs or waits here."""
        while self._busy:
            with self.lanes.lock:
                self._idle = self.lanes.loop.create_future()
                busy = self._busy
            if busy:
                await self._idle
            self._idle = None


class lane_of:
    """A lane that takes the thread-sensitive calls made in the block.

    None where asgiref has its own thread for them: beneath `async_to_sync`.
    """

    # No generator: every connection keeps one of these as long as it lives.
    __slots__ = ("_context", "_lane")

    def __init__(self, lanes: Lanes | None) -> None:
        self._lane = None if lanes is None else Lane(lanes)
        self._context = ThreadSensitiveContext(executor=self._lane)

    async def __aenter__(self) -> Lane | None:
        if self._lane is not None:
            await self._context.__aenter__()  # type: ignore[no-untyped-call]
        return self._lane

    async def __aexit__(self, *fault: Any) -> None:
        if self._lane is not None:
            self._lane.release()
            await self._context.__aexit__(*fault)  # type: ignore[no-untyped-call]
