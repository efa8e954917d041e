"""Taking in what one client sends, in whichever task of the connection need not wait."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from .backlog import Event
from .mailbox import Mailbox


class Reader:
    """Has each frame taken, which may run its job right here: nobody need be woken for it.

    When the job has to wait another task reads on, and this one sees to it and to those that
    come meanwhile. So the client is heard whatever its messages wait for.
    """

    __slots__ = ("_mailbox", "_receive", "_stopped", "_task", "_turn", "gone", "take")

    def __init__(
        self,
        receive: Callable[[], Awaitable[Event]],
        mailbox: Mailbox,
        turn: int,
    ) -> None:
        self.take: Callable[[Event], object]
        """Called with each event that brings a frame; it never waits."""
        self.gone: asyncio.Future[Event | None] = asyncio.get_running_loop().create_future()
        """Done with the event of the client's end, or with None where reading was stopped."""
        self._receive = receive
        self._mailbox = mailbox
        self._turn = turn
        self._stopped = False
        self._task: asyncio.Task[Event | None] | None = None

    @property
    def cancelling(self) -> bool:
        """Whether somebody cancels the tasks of this process."""
        return self._task is not None and self._task.cancelling() > 0

    def begin(self, opening: Coroutine[Any, Any, bool], take: Callable[[Event], object]) -> None:
        """Have the mailbox opened, and `take` the frames."""
        self.take = take
        self._go_on(self._read(opening))

    def stop(self) -> None:
        """Take in nothing more."""
        self._stopped = True
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _read(self, opening: Coroutine[Any, Any, bool] | None = None) -> Event | None:
        if opening is not None:
            self._mailbox.open(opening)
            del opening  # this frame lives as long as the connection, mostly
        mailbox, waiting, receive, turn = self._mailbox, self._mailbox.waiting, self._receive, 0
        try:
            while not self._stopped and mailbox.stalled is None:
                event = await receive()
                if event["type"] == "websocket.receive":
                    self.take(event)
                    turn += 1
                    if turn + len(waiting) >= self._turn:
                        # Others' turn, and the worker's before a message is refused.
                        turn = 0
                        await asyncio.sleep(0)
                elif event["type"] == "websocket.disconnect":
                    return event
        except asyncio.CancelledError:
            if not self._stopped or (self._task and self._task.uncancel()):
                raise
        if mailbox.stalled is not None:
            self._go_on(self._read())
            await mailbox.work()
        return None

    def _go_on(self, reading: Coroutine[Any, Any, Event | None]) -> None:
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(reading, context=self._mailbox.context)
        self._task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[Event | None]") -> None:
        if task is not self._task:
            return  # another one reads
        del self.take  # no cycle is left to the garbage collector
        if self.gone.done():
            return
        if not task.cancelled() and (fault := task.exception()):
            self.gone.set_exception(fault)
        else:
            self.gone.set_result(None if task.cancelled() else task.result())
