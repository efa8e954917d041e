"""Taking in what one client sends, in whichever task of the connection need not wait."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .backlog import Event
from .exceptions import FrameTooLarge, InvalidFrame
from .mailbox import Mailbox, Opening
from .messages import check_size
from .sync import start_in

if TYPE_CHECKING:
    from .handlers import RoutedSocketHandler

TURN = 64
"""Frames of one client that are taken, where they need not be waited for, before others' turn."""
MOST_BYTES = 4
"""Bytes of UTF-8 that a character has at most."""


class Reader:
    """Runs what each frame asks for as it comes, right here: nobody need be woken for it.

    When that has to wait another task reads on, and this one sees to it and to what comes
    meanwhile. So the client is heard whatever its messages wait for. Each task reads until it is
    needed for work, and none reads again.
    """

    __slots__ = (
        *("_gone", "_mailbox", "_opening", "_receive", "_socket", "_stopped", "_task", "_turn"),
    )

    def __init__(
        self,
        socket: "RoutedSocketHandler",
        receive: Callable[[], Awaitable[Event]],
        mailbox: Mailbox,
        max_waiting: int,
    ) -> None:
        self._socket: RoutedSocketHandler | None = socket
        self._receive = receive
        self._mailbox = mailbox
        self._turn = min(TURN, max_waiting)
        self._stopped = False
        self._task: asyncio.Task[Event | None] | None = None
        """The one that reads now."""

    def begin(self, opening: Opening) -> "asyncio.Future[Event | None]":
        """Have the mailbox opened, then read.

        Awaiting the result waits for the event of the client's end, or None where reading was
        stopped. It raises what `receive` did.
        """
        self._opening: Opening | None = opening
        self._gone: asyncio.Future[Event | None] = asyncio.get_running_loop().create_future()
        self._go_on()
        return self._gone

    def stop(self) -> None:
        """Take in nothing more."""
        self._stopped = True
        self._socket = self._opening = None  # no cycle is left to the garbage collector
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _read(self) -> Event | None:
        """Read until something has to wait, then have another task read, and see to it."""
        mailbox, receive, socket = self._mailbox, self._receive, self._socket
        if socket is None:
            return None
        if self._opening is not None:
            mailbox.open(self._opening)
            self._opening = None
        # What follows is the path of nearly every message, so it spares each call that it can.
        protocol, open_refs, handle = socket._protocol, socket._answers.open, mailbox.handle
        found, surely_small = socket._route_table.found, socket.max_frame_bytes // MOST_BYTES
        waiting, left = mailbox.waiting, self._turn - len(mailbox.waiting)
        while not self._stopped and mailbox.stalled is None:
            if left <= 0:
                await asyncio.sleep(0)  # others' turn, and the worker's before one is refused
                left = max(1, self._turn - len(waiting))
            left -= 1
            event = frame = ref = steps = None  # an idle client keeps nothing alive
            message: Any = None
            event = await receive()
            if event["type"] == "websocket.disconnect":
                return event
            frame = event.get("text") or event.get("bytes") or ""
            if socket._unheard:
                socket._hear()
            try:
                if len(frame) > surely_small:
                    check_size(frame, socket.max_frame_bytes)
                message = protocol.decode(frame)
            except (InvalidFrame, FrameTooLarge) as fault:
                socket._refuse_frame(frame, fault)
                continue
            route = found.get(message.key)
            if route is None and (route := socket._find(message)) is None:
                continue
            ref = message.ref
            if ref is not None and open_refs.setdefault(ref, message) is not message:
                socket._refuse_ref(message)
                continue
            if route.concurrent or not mailbox.free:
                socket._post(message, route)
                left = min(left, self._turn - len(waiting)) - 1  # the sooner the more wait
                continue
            if not mailbox.watched:
                mailbox.watch()
            steps = handle(message, route).__await__()
            try:
                for blocked_on in steps:
                    mailbox.stall(steps, blocked_on, message, route)
                    break
            except Exception:
                mailbox.log_fault(message)
        if mailbox.stalled is not None:
            self._go_on()
            await mailbox.work()
        return None

    def _go_on(self) -> None:
        context = self._mailbox.context
        self._task = start_in(context, self._read())
        # In no copy of the context, which would keep the message that is handled in it now.
        self._task.add_done_callback(self._end, context=context)

    def _end(self, task: "asyncio.Task[Event | None]") -> None:
        if task is not self._task:
            return  # another one reads
        if task.cancelled() and task.cancelling() and not (self._stopped or self._mailbox.ending):
            return self._go_on()  # a handler that ran there cancelled its task, not the connection
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
