"""The order in which one connection's work happens."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

from .lane import Lane, lane_of
from .lanes import Lanes
from .messages import Message, current_message
from .routes import Route

Handle = Callable[[Message, Route], Coroutine[Any, Any, None]]
Opening = Callable[[], Coroutine[Any, Any, bool]]
Job = tuple[Message, Route]

logger = logging.getLogger("sockets")

TICK = 0.05
"""Seconds between two looks at what runs; a time-out is kept within two of them."""


class Mailbox:
    """Runs one connection's jobs: in the order of their arrival, or beside one another.

    One worker task handles the ordered ones, first of all `opening`; each concurrent one has
    a task and a lane of its own. Until `opening` has returned True nothing else runs.
    """

    def __init__(
        self,
        timeouts: "Timeouts",
        lanes: Lanes | None,
        lane: Lane | None,
        *,
        max_waiting: int,
        max_concurrent: int,
        handle: Handle,
        on_overdue: Callable[[Message], None],
    ) -> None:
        self.watched = False
        self.stopping = False
        self._timeouts = timeouts
        self.lanes = lanes
        self._lane = lane
        self._max_waiting = max_waiting
        self._max_concurrent = max_concurrent
        self._handle = handle
        self._on_overdue = on_overdue
        # No deque, which takes 760 bytes where nothing waits: `max_waiting` is small.
        self.waiting: list[Job] = []
        self._running: Job | None = None
        self._beside: dict[Message, tuple[Route, asyncio.Task[None]]] = {}
        self._idle: asyncio.Future[None] | None = None
        self._opened = False
        self._started = False
        self._worker: asyncio.Task[None]

    def start(self, opening: Opening) -> None:
        self._started = True
        self._context = copy_context()
        self._loop = asyncio.get_running_loop()
        self._worker = self._loop.create_task(self._work(opening), context=self._context)

    def post(self, message: Message, route: Route) -> bool:
        """Take a job, or refuse it with False: too many wait or run already."""
        if route.concurrent and self._opened:
            return self._start_beside(message, route)
        if len(self.waiting) >= self._max_waiting:
            return False
        self.waiting.append((message, route))
        if self._idle is not None:
            if not self._idle.done():  # done: the worker was cancelled, and is about to end
                self._idle.set_result(None)
            self._idle = None
        return True

    def cancel(self, message: Message) -> None:
        """End a job: one that waits never runs, asynchronous code stops where it waits.

        Synchronous code runs on unseen; the next ordered job waits for it.
        """
        message.cancelled = True
        if self._running is not None and self._running[0] is message:
            self._worker.cancel()
        elif message in self._beside:
            self._beside[message][1].cancel()
        else:
            for job in tuple(self.waiting):
                if job[0] is message:
                    self.waiting.remove(job)

    def end_overdue(self, now: float) -> bool:
        """End what ran out of time; whether anything runs still."""
        if self._running is not None:
            self._look_at(*self._running, now)
        else:
            # An idle connection keeps no message alive. To say so after each would cost more.
            self._context.run(current_message.set, None)
        for message, (route, _) in tuple(self._beside.items()):
            self._look_at(message, route, now)
        return self._running is not None or bool(self._beside)

    async def stop(self, grace: float, *, finish: bool) -> None:
        """Begin nothing more; end what runs, or with `finish` let it end by itself.

        Threads are waited for. What still runs after `grace` seconds, and with `finish` another
        one to be ended in, is left alone.
        """
        self.stopping = True
        if not self._started:
            return
        self.waiting.clear()
        tasks = {self._worker, *(task for _, task in self._beside.values())}
        if self._idle is not None:
            self._idle = None
            self._worker.cancel()
        if finish:
            _, tasks = await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0 if finish else grace)

    async def _work(self, opening: Opening) -> None:
        lane = self._lane
        try:
            if not await opening():
                return
            if lane is not None:
                lane.release()
            self._open()
            while not self.stopping:
                if self.waiting:
                    await self._run_waiting()
                else:
                    self._idle = self._loop.create_future()
                    await self._idle
        finally:
            if lane is not None:
                await lane.idle()

    async def _run_waiting(self) -> None:
        waiting, handle, lane = self.waiting, self._handle, self._lane
        while waiting:
            self._running = message, route = waiting.pop(0)
            if not self.watched:
                self._timeouts.watch(self)
            try:
                await handle(message, route)
            except asyncio.CancelledError:
                if self.stopping or not message.cancelled:
                    raise
            except Exception:
                # A fault of ours: the messages behind this one must not wait for ever.
                logger.exception("Handling %r failed", message.key)
            finally:
                self._running = None
            if message.cancelled:
                await self._settle()
            if lane is not None and lane.used:
                lane.release()

    def _open(self) -> None:
        self._opened = True
        for job in tuple(self.waiting):
            if job[1].concurrent and self._start_beside(*job):
                self.waiting.remove(job)

    async def _settle(self) -> None:
        """Take back the cancellation of one job, and wait for the thread that it left behind."""
        self._worker.uncancel()
        if self._lane is not None:
            await self._lane.idle()

    def _start_beside(self, message: Message, route: Route) -> bool:
        if len(self._beside) >= self._max_concurrent:
            return False
        task = asyncio.get_running_loop().create_task(self._run_beside(message, route))
        self._beside[message] = route, task
        task.add_done_callback(lambda _: self._beside.pop(message))
        if not self.watched:
            self._timeouts.watch(self)
        return True

    async def _run_beside(self, message: Message, route: Route) -> None:
        async with lane_of(self.lanes) as lane:
            try:
                await self._handle(message, route)
            finally:
                if lane is not None:
                    await lane.idle()

    def _look_at(self, message: Message, route: Route, now: float) -> None:
        if route.timeout is None or message.cancelled:
            return
        if not message.deadline:
            message.deadline = now + route.timeout
        elif now >= message.deadline:
            self._on_overdue(message)


class Timeouts:
    """Ends what runs too long: one timer for all busy mailboxes of an event loop.

    A timer per message would cost more than routing it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._busy: set[Mailbox] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, mailbox: Mailbox) -> None:
        mailbox.watched = True
        self._busy.add(mailbox)
        if self._timer is None:
            self._timer = self._loop.call_later(TICK, self._look)

    def stop(self) -> None:
        # What holds this, as a cancelled timer's context may, holds no mailbox any more.
        self._busy.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        try:
            for mailbox in tuple(self._busy):
                if not mailbox.end_overdue(now):
                    mailbox.watched = False
                    self._busy.discard(mailbox)
        finally:
            self._timer = self._loop.call_later(TICK, self._look) if self._busy else None
