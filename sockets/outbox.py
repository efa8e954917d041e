"""What waits to be written to one connection, in the order in which it was sent."""

import asyncio
import logging
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import CancelledError, Future
from math import inf
from threading import Lock, get_ident
from typing import Any

from .backlog import Backlog, Event, Parcel, event_of
from .exceptions import CloseCode, LanesBusy
from .lanes import Lanes
from .messages import Frame, Message, current_message
from .sync import DONE

Send = Callable[[Event], Coroutine[Any, Any, None]]

logger = logging.getLogger("sockets")

MAX_REASON = 123
"""Bytes of a closing reason (RFC 6455, 5.5: a control frame holds 125, the code takes two)."""
WRITE_DEADLINE = 30.0
"""Seconds in which a client must have taken a frame, while any wait for it."""

_handing_over = Lock()


class Outbox:
    """The frames of one connection on their way to the server.

    They wait until `open` is called (the client was accepted), then while the server's
    `send` blocks because the client does not read, or while they are held because the loop has
    others to write to first. `send` may be called from any thread, all else from the loop's.
    `on_slow` is called for a client that is behind by twice the limits.
    """

    __slots__ = (
        *("closed", "direct", "held", "writer"),
        *("_arrived", "_backlog", "_blocked", "_closing", "_drained", "_handed_over", "_lanes"),
        *("_loop", "_on_slow", "_opened", "_send", "_taken_at", "_thread"),
    )

    def __init__(
        self, lanes: Lanes, send: Send, backlog: Backlog, on_slow: Callable[[], object]
    ) -> None:
        self.closed = False
        self.direct = False
        """Whether it is opened, not closed, and nothing waits."""
        self.held: Parcel | None = None
        """What could have been sent at once, and waits for no more than `release`."""
        self.writer: asyncio.Task[None] | None = None
        """Runs while the server does not take frames at once."""
        self._lanes = lanes
        self._loop = lanes.loop
        self._thread = get_ident()
        self._send = send
        self._on_slow = on_slow
        self._backlog = backlog
        self._opened = False
        self._closing: Event | None = None
        self._taken_at = 0.0
        self._drained: asyncio.Future[None] | None = None
        # Bytes that other threads handed over, and those of them that have arrived here.
        self._handed_over = 0
        self._arrived = 0
        self._blocked: dict[Message | None, Future[None]] = {}

    @property
    def full(self) -> bool:
        """Whether more than the limits waits."""
        return self._backlog.exceeds(1, self._handed_over - self._arrived)

    @property
    def overfull(self) -> bool:
        """Whether twice the limits waits, which only a client that does not read comes to."""
        return self._backlog.exceeds(2, self._handed_over - self._arrived)

    def send(self, frame: Frame | None) -> Awaitable[None]:
        """Send the frame after those sent before it; None is silence.

        The frame is on its way when this returns. Awaiting the result waits for a client
        that reads slowly; in another thread than the loop's the call itself does.
        """
        if get_ident() == self._thread:
            return self.put(frame)
        message = current_message.get()
        if frame is not None and (message is None or not message.cancelled):
            self._hand_over(frame, message)
        return DONE

    def put(self, frame: Frame | None) -> Awaitable[None]:
        """What `send` does, for callers that know they are in the loop's thread."""
        if frame is None:
            return DONE
        event = event_of(frame)
        if self.direct:
            self.write(event)
            return DONE
        return self._wait((event, len(frame), False))

    def queue(self, parcel: Parcel) -> int:
        """Keep what others are sent too; returns how many broadcasts were dropped for it."""
        backlog = self._backlog
        if self.closed:
            return 0
        if self.held is None:
            if backlog.drops and parcel[2]:
                return backlog.offer(parcel)
            if backlog.exceeds(2):
                self._on_slow()
                return 0
        self._keep(parcel)
        return 0

    def check(self) -> None:
        """Close a client who does not read its errors: nothing else holds back their cause."""
        if self.overfull and not self.closed:
            self._on_slow()

    def hold(self, parcel: Parcel) -> None:
        """Keep what could be sent at once, and all that is sent later, until `release`."""
        self.direct = False
        self.held = parcel

    def release(self, most: float = inf) -> int:
        """Write at most so many of the frames that are held; returns how many were written."""
        written = 0
        while self.held is not None and written < most:
            event, self.held = self.held[0], None
            self.write(event)
            written += 1
            if self.writer is None and self._backlog.parcels:
                self.held = self._backlog.take()
        if self.held is None:
            self.direct = self.writer is None and not self.closed
        return written

    def open(self, event: Event) -> None:
        """Send the event that accepts the client, then what waited for it."""
        self._opened = self.direct = True
        self.write(event)
        if self._backlog.parcels and self.writer is None:
            self.hold(self._backlog.take())
            self.release()

    def close(self, code: int, reason: str) -> None:
        """Send the closing event after all frames, and take no more."""
        reason = reason.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")
        event = {"type": "websocket.close", "code": int(code), "reason": reason}
        if not self._opened:
            self.drop_waiting()
        if self.direct or not self._opened:
            self.write(event)
        else:
            self._wait((event, 0, False))
        self._closing = event
        self.closed = True
        self.direct = False

    def drop_waiting(self) -> None:
        """Forget what is not written yet."""
        self._backlog.clear()
        self._wake()

    def drop_broadcasts(self) -> None:
        """Forget what is not written yet and was not meant for this client alone."""
        self._backlog.drop_broadcasts()

    def abandon(self) -> None:
        """Take and write nothing more: the client is gone."""
        self._shut()
        if self.writer is not None:
            self.writer.cancel()

    def is_stuck(self, now: float) -> bool:
        """Whether the client has taken nothing for `WRITE_DEADLINE` seconds, though it should."""
        return self.writer is not None and now - self._taken_at >= WRITE_DEADLINE

    async def drain(self) -> None:
        """Wait until no more than half of the limits waits, or nothing is written any more."""
        while self.writer is not None and self._backlog.exceeds(0.5):
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    async def stop(self, grace: float) -> None:
        """Wait at most `grace` seconds until all is written, then write no more."""
        if self.held is not None:
            self.release()
        if self.writer is not None:
            await asyncio.wait([self.writer], timeout=grace)
        if self.writer is not None and self._closing is not None:
            # A client that is not told to go would stay where the server does not end with us.
            self.writer.cancel()
            self.drop_waiting()
            self.write(self._closing)
        self.abandon()
        del self._on_slow  # no cycle is left to the garbage collector

    def _wait(self, parcel: Parcel) -> Awaitable[None]:
        """Keep an own frame until the client has taken those before it, or was accepted."""
        if self.closed:
            return DONE
        self._keep(parcel)
        return Drain(self) if self.writer is not None and self.full else DONE

    def _keep(self, parcel: Parcel) -> None:
        if self.held is not None and self._backlog.exceeds(1):  # it was not the client who was slow
            self.release()
        if self.direct:
            self.write(parcel[0])
        else:
            self._backlog.add(parcel)

    def unblock(self, message: Message) -> None:
        """Let go the thread that waits here for the client in handling this message."""
        if message in self._blocked:
            self._blocked[message].cancel()

    def _hand_over(self, frame: Frame, message: Message | None) -> None:
        with _handing_over:
            self._handed_over += len(frame)
        self._loop.call_soon_threadsafe(self._take, frame)
        if self.full:
            with self._lanes.parking("send", share=4) as granted:
                if granted:
                    self._block(message)
                elif self.overfull:
                    raise LanesBusy("Too many handlers wait for slow clients; try again.")

    def _block(self, message: Message | None) -> None:
        drained = asyncio.run_coroutine_threadsafe(self.drain(), self._loop)
        self._blocked[message] = drained
        try:
            drained.result()
        except CancelledError:
            logger.debug("A handler stopped waiting for its client: its message has ended")
        finally:
            self._blocked.pop(message, None)

    def _take(self, frame: Frame) -> None:
        self._arrived += len(frame)
        self.put(frame)

    def write(self, event: Event) -> None:
        """Give the server an event now, ahead of all that waits."""
        # Nearly always the server takes the frame at once. Its coroutine's first step is made by
        # hand, so that only a client that does not read costs a task.
        send = self._send
        sending = send(event).__await__()
        try:
            for blocked_on in sending:
                self._start_writer(self._resume(sending, event, blocked_on))
                break
        except Exception as fault:
            if instead := self._refused(event, fault):
                self.write(instead)

    def _start_writer(self, writing: Coroutine[Any, Any, None]) -> None:
        self.direct = False
        self._taken_at = self._loop.time()
        self.writer = self._loop.create_task(writing)
        self.writer.add_done_callback(self._ended)

    async def _resume(self, sending: Generator[Any, Any, None], event: Event, first: Any) -> None:
        await self._deliver(event, _continue(sending, first))
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

    def _ended(self, writer: "asyncio.Task[None]") -> None:
        if writer is self.writer:
            self._rest()

    def _rest(self) -> None:
        self.writer = None
        self.direct = not self.closed
        self._wake()

    def _shut(self) -> None:
        self.closed = True
        self.direct = False
        self.held = None
        self.drop_waiting()

    def _wake(self) -> None:
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None


class Drain:
    """Awaits room in an outbox; forgetting it loses nothing."""

    __slots__ = ("_outbox",)

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def __await__(self) -> Generator[Any, Any, None]:
        return self._outbox.drain().__await__()


@types.coroutine
def _continue(sending: Generator[Any, Any, None], blocked_on: Any) -> Generator[Any, Any, None]:
    """Await the rest of what took its first step by hand."""
    try:
        while True:
            try:
                sent = yield blocked_on
            except BaseException as fault:
                blocked_on = sending.throw(fault)
            else:
                blocked_on = sending.send(sent)
    except StopIteration:
        return
