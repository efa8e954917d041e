"""The lane of one connection: it lends a thread for each synchronous call, one at a time."""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext

from .lanes import Call, Lanes, LaneThread
from .share import Share
from .sync import finish_future


class Lane:
    """Runs what one connection, or one concurrent message, submits: one call at a time.

    Each call goes to whichever thread is free, so that a handler that waits keeps none.
    Entered, it takes the thread-sensitive calls that are made in the block.
    """

    __slots__ = (
        *("_beside", "_busy", "_idle", "_left", "_outer", "_shared", "_waiting"),
        *("lanes", "used"),
    )

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self._busy = False
        self._left = False
        # Tuples, for the empty one takes no memory: few lanes are ever used, and for one call.
        self._waiting: tuple[Call, ...] = ()
        self.used: tuple[LaneThread, ...] = ()
        """Threads that ran a call here since the last `release`."""
        self._idle: asyncio.Future[None] | None = None
        self._beside: Share | None = None

    def beside(self) -> "Lane":
        """A lane beside this one; all of these together hold a share of the threads at most."""
        if self._beside is None:
            self._beside = Share(self.lanes)
        return SharingLane(self.lanes, self._beside)

    def __enter__(self) -> "Lane":
        self._shared = SHARED.set(ON_LANE)
        self._outer = current_lane.set(self)
        return self

    def __exit__(self, *fault: object) -> None:
        self._left = True
        self.release()
        current_lane.reset(self._outer)
        SHARED.reset(self._shared)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        call = Call(self, functools.partial(function, *args, **kwargs))
        with self.lanes.lock:
            if self._busy:
                self._waiting += (call,)
                return call.future
            self._busy = True
        self.lend(call)
        return call.future

    def lend(self, call: Call) -> None:
        """Have the call run on the next thread that it may have."""
        self.lanes.lend(call)

    def began(self, thread: LaneThread) -> None:
        """Keep the thread's database connections open until `release`."""
        if not self._left and thread not in self.used:
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
            self.lend(following)
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


class SharingLane(Lane):
    """A lane that has a share of the threads with others."""

    __slots__ = ("_share",)

    def __init__(self, lanes: Lanes, share: Share) -> None:
        super().__init__(lanes)
        self._share = share

    def lend(self, call: Call) -> None:
        self._share.lend(call)

    def ended(self) -> None:
        self._share.take_back(self)
        super().ended()


class OnLane(Executor):
    """Runs each call on the lane in whose block it is made."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        lane = current_lane.get()
        assert lane is not None
        return lane.submit(function, *args, **kwargs)


def lane_of(lanes: Lanes | None) -> AbstractContextManager[Lane | None]:
    """A lane to enter; None where asgiref has its own thread for it: beneath `async_to_sync`."""
    return nullcontext() if lanes is None else Lane(lanes)


def lane_beside(lane: Lane | None) -> AbstractContextManager[Lane | None]:
    """A lane to enter, which is `beside` this one, where there is one."""
    return nullcontext() if lane is None else lane.beside()


current_lane: ContextVar[Lane | None] = ContextVar("current_lane", default=None)
"""The lane in whose block this is."""

# asgiref finds the executor of a thread-sensitive call by a context. One for each connection, as
# `ThreadSensitiveContext(executor=...)` makes it, would take more memory than the lane itself.
ON_LANE = ThreadSensitiveContext()
SHARED = SyncToAsync.thread_sensitive_context
SyncToAsync.context_to_thread_executor[ON_LANE] = OnLane()
