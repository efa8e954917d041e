"""What the connections of one event loop share: begun by its first, ended by its last."""

import asyncio
import logging
import os
import threading
import uuid
from collections.abc import Awaitable, Collection
from concurrent.futures import Future
from contextvars import Context
from typing import Any, ClassVar

from asgiref.sync import AsyncToSync

from .broadcasts import Broadcast, unpack
from .brokers import make_broker
from .conf import get_settings
from .fanout import FanOut
from .heartbeat import Heartbeat
from .lane import Lane, current_lane, lane_of
from .lanes import Lanes
from .members import Members
from .registry import Registry
from .sync import DONE, finish, is_beneath_thread
from .timeouts import Timeouts
from .watch import Watch
from .window import pushes_back

logger = logging.getLogger("sockets")

PATIENCE = 1.0
"""Seconds that the first connection waits until broadcasts of other processes are heard."""
GRACE = 1.0
"""Seconds that the last rows have to be deleted, and then the threads to end."""


class Hub:
    """The members, the threads, the rows and the clock of one event loop's connections."""

    _by_loop: ClassVar[dict[asyncio.AbstractEventLoop, "Hub"]] = {}
    ending: ClassVar[set[Future[None]]] = set()
    """Done when what was sent through hubs that end now has been taken by the broker."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        settings = get_settings()
        self.id = uuid.uuid4()
        """Names the process's lease, and its address for broadcasts."""
        self.loop = loop
        self.connections = 0
        self.timeouts = Timeouts(loop)
        self.lanes = Lanes(loop, settings.LANES, settings.LANE_WAIT)
        self.outermost = _is_outermost(loop)
        """Whether no thread waits for what the loop runs."""
        lanes = self.lanes if self.outermost else None
        self.registry = Registry(loop, lanes, self.id)
        self.members = Members(loop)
        self.watch = Watch(self.members, lanes)
        self.heartbeat = Heartbeat(loop, self.members)
        self.fan_out = FanOut(loop)
        self.pushes_back = pushes_back(loop)
        self._thread = threading.get_ident()
        self._broker = make_broker()
        self._listening = loop.create_task(self._listen(), context=Context())

    @classmethod
    def current(cls) -> "Hub":
        """The running loop's hub, begun now if there is none."""
        loop = asyncio.get_running_loop()
        if loop not in cls._by_loop:
            for closed in [known for known in tuple(cls._by_loop) if known.is_closed()]:
                cls._by_loop.pop(closed).lanes.abandon()
            cls._by_loop[loop] = cls(loop)
        return cls._by_loop[loop]

    @classmethod
    def all(cls) -> "list[Hub]":
        """The hubs of this process."""
        return [hub for hub in tuple(cls._by_loop.values()) if not hub.loop.is_closed()]

    @classmethod
    def nearest(cls, hubs: "list[Hub]") -> "Hub":
        """The one of this thread, if there is one."""
        thread = threading.get_ident()
        return next((hub for hub in hubs if hub._thread == thread), hubs[0])

    def deliver(self, broadcast: Broadcast) -> None:
        """Bring a broadcast to the members, from any thread, in the order of the calls."""
        if threading.get_ident() == self._thread:
            self._deliver(broadcast)
        else:
            self.loop.call_soon_threadsafe(self._deliver, broadcast)

    def publish(self, addresses: Collection[str], text: str) -> Awaitable[None]:
        """Have the broker carry a text to addresses, from any thread.

        In the loop's own thread, awaiting the result waits until the broker has taken it.
        """
        if threading.get_ident() == self._thread:
            return self._broker.publish(addresses, text)
        self.loop.call_soon_threadsafe(self._broker.publish, addresses, text)
        return DONE

    async def leave(self) -> None:
        """Count one connection less; the last one ends the hub, even if cancelled meanwhile."""
        self.connections -= 1
        if not self.connections:
            ending: Future[None] = Future()
            self.ending.add(ending)
            self._by_loop.pop(self.loop, None)
            await finish(self._stop(ending))

    async def _stop(self, ending: Future[None]) -> None:
        self.timeouts.stop()
        self.watch.stop()
        self.heartbeat.stop()
        self._listening.cancel()
        try:
            await asyncio.gather(self.registry.stop(GRACE), self._stop_broker(ending))
        finally:
            await self.lanes.stop(GRACE)

    async def _stop_broker(self, ending: Future[None]) -> None:
        try:
            await asyncio.sleep(0)  # for what other threads have handed over
            await self._broker.stop()
        finally:
            self.ending.discard(ending)
            ending.set_result(None)

    async def listening(self) -> None:
        """Return when broadcasts of other processes are heard, or after `PATIENCE` seconds."""
        if not self._listening.done():
            await asyncio.wait([self._listening], timeout=PATIENCE)

    async def _listen(self) -> None:
        await self._broker.listen(address_of(self.id), self._take, self.watch.look_now)

    def _take(self, text: str) -> None:
        if broadcast := unpack(text, self.members.has):
            self._deliver(broadcast)

    def _deliver(self, broadcast: Broadcast) -> None:
        try:
            self.members.deliver(broadcast)
        except Exception:
            logger.exception("A broadcast cannot be brought to %r", broadcast.target)


# The loops of a process do not run in its forks.
os.register_at_fork(after_in_child=Hub._by_loop.clear)
os.register_at_fork(after_in_child=Hub.ending.clear)


def address_of(process_id: uuid.UUID) -> str:
    """Where a process, and no other, listens."""
    return f"sockets.{process_id.hex}"


class connection:
    """The hub, and a lane for what the block calls synchronously.

    Entered within itself it gives the same again, so that middleware and handler share a
    lane. Beneath `async_to_sync`, as in Django's own async tests, there is no lane: asgiref
    then runs synchronous code on the thread that waits, which has the test's transaction.
    """

    # No generator: every connection keeps one of these as long as it lives.
    __slots__ = ("_hub", "_lane")

    async def __aenter__(self) -> tuple[Hub, Lane | None]:
        self._hub: Hub | None = None
        hub, lane = Hub.current(), current_lane.get()
        if lane is not None and lane.lanes is hub.lanes:
            return hub, lane
        self._hub = hub
        hub.connections += 1
        try:
            await hub.listening()
        except BaseException:
            await hub.leave()
            raise
        self._lane = lane_of(hub.lanes if hub.outermost else None)
        return hub, self._lane.__enter__()

    async def __aexit__(self, *fault: Any) -> None:
        if self._hub is not None:
            try:
                self._lane.__exit__(*fault)
            finally:
                await self._hub.leave()


def _is_outermost(loop: asyncio.AbstractEventLoop) -> bool:
    return loop not in AsyncToSync.loop_thread_executors and not is_beneath_thread()
