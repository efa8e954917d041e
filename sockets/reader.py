"""Taking in what one client sends, in whichever task of the connection need not wait."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from .backlog import Event
from .mailbox import Mailbox, Opening
from .sync import start_in

TURN = 64
"""Frames of one client that are taken, where they need not be waited for, before others' turn."""


class Reader:
    """Has each frame taken, which may run its job right here: nobody need be woken for it.

    When the job has to wait another task reads on, and this one sees to it and to those that
    come meanwhile. So the client is heard whatever its messages wait for. Each task reads until
    it is needed for work, and none reads again.
    """

    __slots__ = ("_gone", "_mailbox", "_receive", "_stopped", "_task", "_turn", "take")

    def __init__(
        self,
        receive: Callable[[], Awaitable[Event]],
        mailbox: Mailbox,
        max_waiting: int,
    ) -> None:
        self.take: Callable[[Event], object] = ignore
        """Called with each event that brings a frame; it never waits."""
        self._receive = receive
        self._mailbox = mailbox
        self._turn = min(TURN, max_waiting)
        self._stopped = False
        self._task: asyncio.Task[Event | None] | None = None
        """The one that reads now."""

    def begin(
        self, opening: Opening, take: Callable[[Event], object]
    ) -> "asyncio.Future[Event | None]":
        """Have the mailbox opened, then `take` the frames.

        Awaiting the result waits for the event of the client's end, or None where reading was
        stopped. It raises what `receive` did.
        """
        self.take = take
        self._gone: asyncio.Future[Event | None] = asyncio.get_running_loop().create_future()
        self._go_on(opening)
        return self._gone

    def stop(self) -> None:
        """Take in nothing more."""
        self._stopped = True
        self.take = ignore  # no cycle is left to the garbage collector
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _read(self, opening: Opening | None) -> Event | None:
        if opening is not None:
            self._mailbox.open(opening)
            del opening  # this frame lives as long as the connection, mostly
        mailbox, waiting, receive = self._mailbox, self._mailbox.waiting, self._receive
        turn, longest = 0, self._turn
        try:
            while not self._stopped and mailbox.stalled is None:
                if turn + len(waiting) >= longest:
                    # Others' turn, and the worker's before a message is refused.
                    turn = 0
                    await asyncio.sleep(0)
                event = await receive()
                if event["type"] == "websocket.receive":
                    self.take(event)
                    turn += 1
                elif event["type"] == "websocket.disconnect":
                    return event
        except asyncio.CancelledError:
            if self._stopped:
                return None
            if mailbox.ending or self._task is None or not self._task.cancelling():
                raise
            # A handler that ran here cancels its task, not the connection.
            self._go_on()
            return None
        if mailbox.stalled is not None:
            self._go_on()
            await mailbox.work()
        return None

    def _go_on(self, opening: Opening | None = None) -> None:
        self._task = start_in(self._mailbox.context, self._read(opening))
        self._task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[Event | None]") -> None:
        if task is not self._task:
            return  # another one reads
        gone, self._task = self._gone, None
        del self._gone  # which may hold a fault, and with it all that ran
        fault = None if task.cancelled() else task.exception()
        if gone.done():
            return  # the server has ended the application
        if fault is None:
            gone.set_result(None if task.cancelled() else task.result())
        elif task.cancelling():
            gone.set_result(None)  # what the server makes of being asked no more is no fault
        else:
            gone.set_exception(fault)


def ignore(event: Any) -> None:
    """Take nothing."""
