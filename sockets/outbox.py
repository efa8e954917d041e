"""What waits to be written to one connection, in the order in which it was sent."""

import asyncio
import logging
import types
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import CancelledError, Future
from threading import Lock, get_ident
from typing import Any

from .exceptions import CloseCode, LanesBusy
from .lanes import Lanes
from .messages import Frame, Message, current_message
from .sync import DONE

Event = dict[str, Any]
Send = Callable[[Event], Coroutine[Any, Any, None]]

logger = logging.getLogger("sockets")

MAX_REASON = 123
"""Bytes of a closing reason (RFC 6455, 5.5: a control frame holds 125, the code takes two)."""

_handing_over = Lock()


class Outbox:
    """The frames of one connection on their way to the server.

    They wait until `open` is called (the client was accepted), then while the server's
    `send` blocks because the client does not read. `send` may be called from any thread,
    all else from the loop's.
    """

    def __init__(self, lanes: Lanes, send: Send, limit: int) -> None:
        self.closed = False
        self.limit = limit
        self.writer: asyncio.Task[None] | None = None
        """Runs while the server does not take frames at once."""
        self._lanes = lanes
        self._loop = lanes.loop
        self._thread = get_ident()
        self._send = send
        self._opened = False
        self._direct = False  # opened, not closed, and nothing waits
        self._waiting: deque[tuple[Event, int, bool]] = deque()  # with size, and if a broadcast
        self._bytes = 0
        self._drained: asyncio.Future[None] | None = None
        # Bytes that other threads handed over, and those of them that have arrived here.
        self._handed_over = 0
        self._arrived = 0
        self._blocked: dict[Message | None, Future[None]] = {}

    @property
    def waiting(self) -> int:
        """How many bytes wait."""
        return self._bytes + self._handed_over - self._arrived

    @property
    def full(self) -> bool:
        """Whether more than `limit` bytes wait."""
        return self.waiting > self.limit

    @property
    def overfull(self) -> bool:
        """Whether twice the limit waits, which only a client that does not read comes to."""
        return self.waiting > 2 * self.limit

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

    def put(self, frame: Frame | None, *, broadcast: bool = False) -> Awaitable[None]:
        """What `send` does, for callers that know they are in the loop's thread.

        A `broadcast` is for others too: one that came before the client was accepted is not
        for a client that is refused.
        """
        if frame is None:
            return DONE
        kind = "text" if type(frame) is str else "bytes"
        event: Event = {"type": "websocket.send", kind: frame}
        if not self._direct:
            return self._wait(event, len(frame), broadcast)
        self._write(event)
        return DONE

    def open(self, event: Event) -> None:
        """Send the event that accepts the client, then what waited for it."""
        self._opened = self._direct = True
        self._write(event)
        if self._waiting and self.writer is None:
            self._start_writer(self._flush())

    def close(self, code: int, reason: str) -> None:
        """Send the closing event after all frames, and take no more."""
        reason = reason.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")
        event = {"type": "websocket.close", "code": int(code), "reason": reason}
        if not self._opened:
            self.drop_waiting()
        if self._direct or not self._opened:
            self._write(event)
        else:
            self._wait(event, 0)
        self.closed = True
        self._direct = False

    def drop_waiting(self) -> None:
        """Forget what is not written yet."""
        self._bytes -= sum(size for _, size, _ in self._waiting)
        self._waiting.clear()

    def drop_broadcasts(self) -> None:
        """Forget what is not written yet and was not meant for this client alone."""
        own = [waiting for waiting in self._waiting if not waiting[2]]
        self._waiting = deque(own)
        self._bytes = sum(size for _, size, _ in own)

    def abandon(self) -> None:
        """Take and write nothing more: the client is gone."""
        self._shut()
        if self.writer is not None:
            self.writer.cancel()

    async def drain(self) -> None:
        """Wait until no more than half of the limit waits, or nothing is written any more."""
        while self.writer is not None and self._bytes * 2 > self.limit:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    async def stop(self, grace: float) -> None:
        """Wait at most `grace` seconds until all is written, then write no more."""
        if self.writer is not None:
            await asyncio.wait([self.writer], timeout=grace)
        self.abandon()

    def _wait(self, event: Event, size: int, broadcast: bool = False) -> Awaitable[None]:
        """Keep the event until the client has taken those before it, or was accepted."""
        if self.closed:
            return DONE
        self._waiting.append((event, size, broadcast))
        self._bytes += size
        return Drain(self) if self._opened and self.full else DONE

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

    def _write(self, event: Event) -> None:
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
                self._write(instead)

    def _start_writer(self, writing: Coroutine[Any, Any, None]) -> None:
        self._direct = False
        self.writer = self._loop.create_task(writing)
        self.writer.add_done_callback(self._ended)

    async def _resume(self, sending: Generator[Any, Any, None], event: Event, first: Any) -> None:
        await self._deliver(event, _continue(sending, first))
        await self._flush()

    async def _flush(self) -> None:
        while self._waiting:
            event, size, _ = self._waiting.popleft()
            await self._deliver(event, self._send(event))
            self._bytes -= size
            if self._drained is not None and self._bytes * 2 <= self.limit:
                self._wake()

    async def _deliver(self, event: Event, sending: Awaitable[None]) -> None:
        try:
            await sending
        except Exception as fault:
            if instead := self._refused(event, fault):
                await self._deliver(instead, self._send(instead))

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
        self.writer = None
        self._direct = not self.closed
        self._wake()

    def _shut(self) -> None:
        self.closed = True
        self._direct = False
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
