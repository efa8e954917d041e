"""The threads that run synchronous code: a bounded number, each lent for one call at a time."""

import asyncio
import functools
import logging
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import close_old_connections, connections

from .exceptions import LanesBusy
from .sync import finish_future

if TYPE_CHECKING:
    from .lane import Lane

logger = logging.getLogger("sockets")

IDLE = 1.0
"""Seconds of idleness after which a thread lets Django close its old database connections."""


class Lanes:
    """The threads of one event loop.

    The thread used last is lent first, so that few threads, and with them few database
    connections, carry an ordinary load. A call waits at most `wait` seconds for a free
    thread; then it is refused with `LanesBusy` and counted in `refused`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, size: int, wait: float) -> None:
        self.loop = loop
        self.size = size
        self.wait = wait
        self.refused = 0
        self.lock = threading.Lock()
        self._threads: list[LaneThread] = []
        self._idle: list[LaneThread] = []
        self._waiting: deque[Call] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._parked: Counter[str] = Counter()
        self._stopping = False

    def lend(self, call: "Call") -> None:
        """Run the call on a free thread, now or as soon as there is one."""
        if not self._lend_now(call):
            call.future.add_done_callback(functools.partial(self._withdraw, call))

    def _lend_now(self, call: "Call") -> bool:
        with self.lock:
            if self._idle:
                self._idle.pop().inbox.put(call)
            elif len(self._threads) < self.size or self._stopping:  # late ones end by themselves
                thread = LaneThread(self, call, f"sockets-lane-{len(self._threads)}")
                self._threads.append(thread)
                thread.start()
            else:
                call.since = self.loop.time()
                self._waiting.append(call)
                if len(self._waiting) == 1:
                    self.loop.call_soon_threadsafe(self._set_timer)
                return False
        return True

    def _withdraw(self, call: "Call", future: Future[Any]) -> None:
        """Take out a call that was cancelled while it waited for a thread."""
        if future.cancelled():
            with self.lock:
                if call not in self._waiting:
                    return
                self._waiting.remove(call)
            call.lane.ended()

    def take_back(self, thread: "LaneThread") -> "Call | None":
        """The next call for a thread that has returned; None when it is to wait for one."""
        with self.lock:
            if self._waiting:
                return self._waiting.popleft()
            if self._stopping:
                thread.inbox.put(None)
            else:
                self._idle.append(thread)
            return None

    @contextmanager
    def parking(self, why: str, share: int) -> Iterator[bool]:
        """Whether a thread may block on a client now, for which one in `share` lanes may."""
        with self.lock:
            granted = self._parked[why] < max(1, self.size // share)
            self._parked[why] += granted
        try:
            yield granted
        finally:
            with self.lock:
                self._parked[why] -= granted

    def abandon(self) -> None:
        """Let the idle threads end: the loop was closed without giving them back."""
        with self.lock:
            self._stopping = True
            for thread in self._idle:
                thread.inbox.put(None)

    def _set_timer(self) -> None:
        with self.lock:
            if self._waiting and self._timer is None:
                when = self._waiting[0].since + self.wait
                self._timer = self.loop.call_at(when, self._refuse_overdue)

    def _refuse_overdue(self) -> None:
        overdue = []
        with self.lock:
            self._timer = None
            while self._waiting and self._waiting[0].since + self.wait <= self.loop.time():
                overdue.append(self._waiting.popleft())
        for call in overdue:
            call.refuse(LanesBusy(f"No thread was free within {self.wait:g} s; try again."))
        if overdue:
            self.refused += len(overdue)
            logger.warning(
                "%d calls found none of %d lanes free within %g s; raise SOCKETS['LANES'] or "
                "make the handlers faster.",
                len(overdue), self.size, self.wait,
            )  # fmt: skip
        self._set_timer()

    async def stop(self, grace: float) -> None:
        """End the threads and their database connections; wait at most `grace` seconds for it."""
        self.abandon()
        if self._timer is not None:
            self._timer.cancel()
        if self._threads:
            await asyncio.wait([thread.ended for thread in self._threads], timeout=grace)


class LaneThread(threading.Thread):
    """One thread of the lanes, with its own database connections."""

    def __init__(self, lanes: Lanes, call: "Call", name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.lanes = lanes
        self.inbox: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self.inbox.put(call)
        self.ended: asyncio.Future[None] = lanes.loop.create_future()
        self.held = 0
        """Runs not yet ended that used this thread: each may hold an open iterator of it."""

    def run(self) -> None:
        try:
            while (call := self._next()) is not None:
                while call is not None:  # an idle thread keeps no call alive
                    call = self._serve(call)
        finally:
            connections.close_all()
            try:
                self.lanes.loop.call_soon_threadsafe(finish_future, self.ended)
            except RuntimeError:
                logger.debug("The event loop was closed before %s ended.", self.name)

    def _serve(self, call: "Call") -> "Call | None":
        """Make the call; returns the one to make next if it waits already."""
        run = call.future.set_running_or_notify_cancel()
        if run:
            call.lane.began(self)
            call.run()
            _drop_broken_connections()
        # Free again before the result is known: what follows it finds this thread.
        following = self.lanes.take_back(self)
        call.lane.ended()
        if run:
            call.deliver()
        return following

    def _next(self) -> "Call | None":
        while True:
            try:
                return self.inbox.get(timeout=IDLE)
            except queue.Empty:
                if not self.held:
                    close_old_connections()
                    return self.inbox.get()


def _drop_broken_connections() -> None:
    # A lane under constant load is never idle: a connection that the database has ended
    # would fail every message until then.
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred:
            connection.close_if_unusable_or_obsolete()


class Call:
    """One function call on its way through a lane."""

    def __init__(self, lane: "Lane", function: Callable[[], Any]) -> None:
        self.lane = lane
        self.future: Future[Any] = Future()
        self.since = 0.0
        self._function = function
        self._result: Any = None
        self._fault: BaseException | None = None

    def run(self) -> None:
        try:
            self._result = self._function()
        except StopIteration as fault:
            # No future can hold one; a coroutine that raises it fails in the same way.
            self._fault = RuntimeError("the function raised StopIteration")
            self._fault.__cause__ = fault
        except BaseException as fault:
            self._fault = fault

    def deliver(self) -> None:
        """Hand over the result; keeping the fault would keep the frames of its traceback."""
        if self._fault is None:
            self.future.set_result(self._result)
        else:
            self.future.set_exception(self._fault)
            self._fault = None

    def refuse(self, fault: Exception) -> None:
        """Answer without having run."""
        self.lane.ended()
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(fault)
