"""The order in which one connection's work happens."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from .lane import Lane, lane_beside
from .messages import Message, current_message
from .routes import Route
from .sync import first_step, resume, start_in
from .timeouts import Timeouts

Handle = Callable[[Message, Route], Coroutine[Any, Any, None]]
Job = tuple[Message, Route]
Opening = Callable[[], Coroutine[Any, Any, bool]]
"""What comes before all jobs; it returns whether they may be run."""

NONE_BESIDE: dict[Message, tuple[Route, asyncio.Task[None]]] = {}
"""What runs beside one another in a connection where nothing does: most have no such jobs."""

logger = logging.getLogger("sockets")


class Mailbox:
    """Runs one connection's jobs: in the order of their arrival, or beside one another.

    While it is `free` the task that reads the client's frames runs the ordered ones itself, for
    as far as they need not wait. When one does it is `stalled`: another task must then read on,
    and this one `work` until nothing waits. So there is at most one worker, and while there is
    one, jobs are kept for it. Concurrent jobs have a task and a lane of their own each.
    """

    __slots__ = (
        *("context", "free", "handle", "lane", "stalled", "stopping", "waiting", "watched"),
        *("_application", "_beginning", "_beside", "_cancelled", "_max_concurrent"),
        *("_max_waiting", "_on_overdue", "_opened", "_running", "_timeouts", "_worker"),
    )

    def __init__(
        self,
        timeouts: Timeouts,
        lane: Lane | None,
        *,
        max_waiting: int,
        max_concurrent: int,
        handle: Handle,
        on_overdue: Callable[[Message], None],
    ) -> None:
        self.context = copy_context()
        """What the tasks that read and work run in: functions find what those before them set."""
        self.stalled: Awaitable[None] | None = None
        """The rest of a job that has to wait."""
        # No deque, which takes 760 bytes where nothing waits: `max_waiting` is small.
        self.waiting: list[Job] = []
        self.free = False
        """Whether a job need not be posted, but may be run: it was opened, and nothing waits."""
        self.watched = False
        self.stopping = False
        self._application = application = asyncio.current_task()
        self._cancelled = 0 if application is None else application.cancelling()
        """How often the application's task was cancelled before, and went on."""
        self.lane = lane
        self._timeouts = timeouts
        self._max_waiting = max_waiting
        self._max_concurrent = max_concurrent
        self.handle = handle
        self._on_overdue = on_overdue
        self._beginning = self.context
        """What the connect hooks left in the context, and no function yet."""
        self._opened = False
        self._running: Job | None = None
        self._worker: asyncio.Task[None] | None = None
        self._beside = NONE_BESIDE

    @property
    def ending(self) -> bool:
        """Whether the connection ends, or will: its application's task is being cancelled.

        Any other cancellation is that of one message.
        """
        application = self._application
        return self.stopping or (
            application is not None and application.cancelling() > self._cancelled
        )

    def open(self, opening: Opening) -> None:
        """Run what comes before all jobs; until it has returned True none is run."""
        self.stalled = first_step(self._open(opening))

    def post(self, message: Message, route: Route) -> bool:
        """Have a job run later, or beside others; False where too many wait or run already."""
        if route.concurrent and self._opened:
            return self._start_beside(message, route)
        if not self._keep(message, route):
            return False
        if self.free:
            self.free = False
            self._worker = start_in(self.context, self.work())
        return True

    def watch(self) -> None:
        """Have its jobs ended when their time is over."""
        self._timeouts.watch(self)

    def stall(
        self, steps: Generator[Any, Any, None], blocked_on: Any, message: Message, route: Route
    ) -> None:
        """Keep the rest of a job that has to wait, for whoever works next."""
        self.free = False
        self._running = message, route
        self.stalled = resume(steps, blocked_on)

    async def work(self) -> None:
        """Finish the job that is stalled, then run those that have come meanwhile.

        A task that was cancelled with one of them leaves the others to a new one.
        """
        self._worker = asyncio.current_task()
        if self.stalled is not None:
            stalled, self.stalled = self.stalled, None
            await self._finish(stalled)
        while self._opened and self.waiting and not self._is_cancelled():
            self._running = message, route = self.waiting.pop(0)
            if not self.watched:
                self.watch()
            await self._finish(self.handle(message, route))
        if self._is_cancelled() and not self.ending:
            self._worker = start_in(self.context, self._work_on())
        else:
            self._worker = None
            self.free = self._opened and not self.waiting

    def _is_cancelled(self) -> bool:
        return self._worker is not None and self._worker.cancelling() > 0

    async def _work_on(self) -> None:
        """Work in the place of a task that was cancelled, once the thread it left is back."""
        if self.lane is not None:
            await self._finish(self.lane.idle())
        await self.work()

    def cancel(self, message: Message) -> None:
        """End a job: one that waits never runs, asynchronous code stops where it waits.

        Synchronous code runs on unseen; the next ordered job waits for it.
        """
        message.cancelled = True
        if self._running is not None and self._running[0] is message:
            if self._worker is not None:
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
            self.context.run(current_message.set, None)
        for message, (route, _) in tuple(self._beside.items()):
            self._look_at(message, route, now)
        return self._running is not None or bool(self._beside)

    async def stop(self, grace: float, *, finish: bool) -> None:
        """Begin nothing more; end what runs, or with `finish` let it end by itself.

        Threads are waited for, and so is what a cancelled job still does. What runs on after
        `grace` seconds, and with `finish` another one to be ended in, is cancelled once more
        and left alone.
        """
        self.stopping, self._opened, self.free = True, False, False
        self.waiting.clear()
        tasks = {task for _, task in self._beside.values()}
        if self._worker is not None:
            tasks.add(self._worker)
        if finish and tasks:
            _, tasks = await asyncio.wait(tasks, timeout=grace)
        for task in tasks - self._cleaning_up():
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0 if finish else grace):
                if tasks:
                    await asyncio.wait(tasks)
                if self.lane is not None:
                    await self.lane.idle()
        for task in tasks:
            task.cancel()
        # No cycle is left to the garbage collector.
        self._application = None
        if all(task.done() for task in tasks):
            self._worker = None
            del self.handle, self._on_overdue

    def _cleaning_up(self) -> set[asyncio.Task[None]]:
        """The tasks whose job was cancelled already, and may be cleaning up."""
        ending = {task for message, (_, task) in self._beside.items() if message.cancelled}
        if self._worker is not None and self._running is not None and self._running[0].cancelled:
            ending.add(self._worker)
        return ending

    async def _finish(self, running: Awaitable[None]) -> None:
        job = self._running
        try:
            await running
        except asyncio.CancelledError:
            if self.ending:
                raise
        except Exception:
            self.log_fault(job and job[0])
        finally:
            self._running = None
        if self.lane is not None and self.lane.used:
            self.lane.release()

    def log_fault(self, message: Message | None) -> None:
        # A fault of ours: the messages behind this one must not wait for ever.
        logger.exception("Handling %r failed", message and message.key)

    async def _open(self, opening: Opening) -> None:
        if not await opening() or self.stopping:
            return
        self._opened = True
        self._beginning = copy_context()
        self.free = self._worker is None  # else once it has run what waits
        for job in tuple(self.waiting):
            if job[1].concurrent:
                self.waiting.remove(job)
                self._start_beside(*job)

    def _keep(self, message: Message, route: Route) -> bool:
        if len(self.waiting) >= self._max_waiting:
            return False
        # Concurrent ones wait for the opening only, and then begin together.
        if (
            route.concurrent
            and sum(job[1].concurrent for job in self.waiting) >= self._max_concurrent
        ):
            return False
        self.waiting.append((message, route))
        return True

    def _start_beside(self, message: Message, route: Route) -> bool:
        if len(self._beside) >= self._max_concurrent:
            return False
        running = self._run_beside(message, route)
        task = asyncio.get_running_loop().create_task(running, context=self._beginning.copy())
        if not self._beside:
            self._beside = {}
        self._beside[message] = route, task
        task.add_done_callback(lambda _: self._beside.pop(message))
        if not self.watched:
            self.watch()
        return True

    async def _run_beside(self, message: Message, route: Route) -> None:
        with lane_beside(self.lane) as lane:
            try:
                await self.handle(message, route)
            except Exception:
                self.log_fault(message)
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
