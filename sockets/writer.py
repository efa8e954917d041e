"""Giving a server the events of one connection in turn: at once, or as it takes them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from .backlog import Backlog, Event
from .exceptions import CloseCode
from .sync import resume

Send = Callable[[Event], Coroutine[Any, Any, None]]

logger = logging.getLogger("sockets")

WRITE_DEADLINE = 30.0
"""Seconds in which a client must have taken a frame, while any wait for it."""


class Writer:
    """Writes to one connection, first what it is given, then what waits in its backlog.

    A server whose `send` blocks, because the client does not read, costs a task until nothing
    waits any more.
    """

    __slots__ = (
        *("closed", "direct", "writing"),
        *("_backlog", "_drained", "_loop", "_send", "_taken_at"),
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Send, backlog: Backlog) -> None:
        self.closed = False
        self.direct = False
        """Whether it is opened, not closed, and nothing waits."""
        self.writing: asyncio.Task[None] | None = None
        """Runs while the server does not take frames at once."""
        self._loop = loop
        self._send = send
        self._backlog = backlog
        self._taken_at = 0.0
        self._drained: asyncio.Future[None] | None = None

    def write(self, event: Event) -> None:
        """Give the server an event now, ahead of all that waits."""
        # Nearly always the server takes the frame at once. Its coroutine's first step is made by
        # hand, so that only a client that does not read costs a task.
        send = self._send
        sending = send(event).__await__()
        try:
            for blocked_on in sending:
                self._start(self._resume(sending, event, blocked_on))
                break
        except Exception as fault:
            if instead := self._refused(event, fault):
                self.write(instead)

    def is_stuck(self, now: float) -> bool:
        """Whether the client has taken nothing for `WRITE_DEADLINE` seconds, though it should."""
        return self.writing is not None and now - self._taken_at >= WRITE_DEADLINE

    async def drain(self) -> None:
        """Wait until no more than half of the limits waits, or nothing is written any more."""
        while self.writing is not None and self._backlog.exceeds(0.5):
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    def drop_waiting(self) -> None:
        """Forget what is not written yet."""
        self._backlog.clear()
        self._wake()

    def abandon(self) -> None:
        """Take and write nothing more: the client is gone."""
        self._shut()
        if self.writing is not None:
            self.writing.cancel()

    def _start(self, writing: Coroutine[Any, Any, None]) -> None:
        self.direct = False
        self._taken_at = self._loop.time()
        self.writing = self._loop.create_task(writing)
        self.writing.add_done_callback(self._ended)

    async def _resume(self, sending: Generator[Any, Any, None], event: Event, first: Any) -> None:
        await self._deliver(event, resume(sending, first))
        await self._flush()

    async def _flush(self) -> None:
        while self._backlog.parcels:
            event = self._backlog.take()[0]
            await self._deliver(event, self._send(event))
            if self._drained is not None and not self._backlog.exceeds(0.5):
                self._wake()
        self._rest()  # here, and not once the task has ended: what is sent meanwhile would stay

    async def _deliver(self, event: Event, sending: Awaitable[None]) -> None:
        try:
            await sending
        except Exception as fault:
            if instead := self._refused(event, fault):
                await self._deliver(instead, self._send(instead))
        self._taken_at = self._loop.time()

    def _refused(self, event: Event, fault: Exception) -> Event | None:
        """What to send in the place of an event that the server did not take."""
        logger.debug("The server did not take %s: %r", event["type"], fault)
        self._shut()
        if event.get("code") == CloseCode.NORMAL:
            return None
        # Daphne refuses codes such as 1012 and would leave the client connected; and a client
        # that is not told what it was sent must not stay.
        code = CloseCode.NORMAL if "code" in event else CloseCode.SERVER_FAULT
        return {"type": "websocket.close", "code": int(code)}

    def _ended(self, writing: "asyncio.Task[None]") -> None:
        if writing is self.writing:
            self._rest()

    def _rest(self) -> None:
        self.writing = None
        self.direct = not self.closed
        self._wake()

    def _shut(self) -> None:
        self.closed = True
        self.direct = False
        self.drop_waiting()

    def _wake(self) -> None:
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None
