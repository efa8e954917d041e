"""What waits to be written to one connection, in the order in which it was sent."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import CancelledError, Future
from math import inf
from threading import Lock, get_ident
from typing import Any

from .backlog import Backlog, Event, Parcel, event_of
from .exceptions import LanesBusy
from .lanes import Lanes
from .messages import Frame, Message, current_message
from .sync import DONE
from .writer import Send, Writer

logger = logging.getLogger("sockets")

MAX_REASON = 123
"""Bytes of a closing reason (RFC 6455, 5.5: a control frame holds 125, the code takes two)."""

_handing_over = Lock()


class Outbox(Writer):
    """The frames of one connection on their way to the server.

    They wait until `open` is called (the client was accepted), then while the server's
    `send` blocks because the client does not read, or while they are held because the loop has
    others to write to first. `send` may be called from any thread, all else from the loop's.
    `on_slow` is called for a client that is behind by twice the limits.
    """

    __slots__ = (
        *("held", "_arrived", "_blocked", "_closing", "_handed_over", "_lanes"),
        *("_on_slow", "_opened", "_thread"),
    )

    def __init__(
        self, lanes: Lanes, send: Send, backlog: Backlog, on_slow: Callable[[], object]
    ) -> None:
        super().__init__(lanes.loop, send, backlog)
        self.held: Parcel | None = None
        """What could have been sent at once, and waits for no more than `release`."""
        self._lanes = lanes
        self._thread = get_ident()
        self._on_slow = on_slow
        self._opened = False
        self._closing: Event | None = None
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
            if self.writing is None and self._backlog.parcels:
                self.held = self._backlog.take()
        if self.held is None:
            self.direct = self.writing is None and not self.closed
        return written

    def open(self, event: Event) -> None:
        """Send the event that accepts the client, then what waited for it."""
        self._opened = self.direct = True
        self.write(event)
        if self._backlog.parcels and self.writing is None:
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

    def drop_broadcasts(self) -> None:
        """Forget what is not written yet and was not meant for this client alone."""
        self._backlog.drop_broadcasts()

    async def stop(self, grace: float) -> None:
        """Wait at most `grace` seconds until all is written, then write no more."""
        if self.held is not None:
            self.release()
        if self.writing is not None:
            await asyncio.wait([self.writing], timeout=grace)
        if self.writing is not None and self._closing is not None:
            # A client that is not told to go would stay where the server does not end with us.
            self.writing.cancel()
            self.drop_waiting()
            self.write(self._closing)
        self.abandon()
        del self._on_slow  # no cycle is left to the garbage collector

    def _wait(self, parcel: Parcel) -> Awaitable[None]:
        """Keep an own frame until the client has taken those before it, or was accepted."""
        if self.closed:
            return DONE
        self._keep(parcel)
        return Drain(self) if self.writing is not None and self.full else DONE

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

    def _shut(self) -> None:
        self.held = None
        super()._shut()


class Drain:
    """Awaits room in an outbox; forgetting it loses nothing."""

    __slots__ = ("_outbox",)

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def __await__(self) -> Generator[Any, Any, None]:
        return self._outbox.drain().__await__()
