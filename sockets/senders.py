"""Sending broadcasts from wherever one is: a server's loop, its threads, or another process."""

import asyncio
import atexit
import logging
import os
import socket
import threading
import uuid
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import Future
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS, connections, router, transaction

from .broadcasts import Broadcast, Exclude, aids_of, ids_of, pack
from .brokers import EVERYONE, LocalBroker, make_broker
from .hub import Hub, address_of
from .sync import DONE, is_beneath_thread

Processes = Collection[uuid.UUID] | None
"""Those that have all whom a broadcast concerns; None is all."""
Make = Callable[[tuple[uuid.UUID, ...]], tuple[Broadcast, Processes]]
"""Makes a broadcast that spares these connections, and says which processes it is for."""

logger = logging.getLogger("sockets")

PATIENCE = 5.0
"""Seconds that a process without connections waits until the broker has taken a broadcast."""


def send(broadcast: Broadcast, processes: Processes = None, *, wait: bool = True) -> None:
    """Bring a broadcast to the members of this process, and have it carried to the others.

    Where this process serves connections it returns at once; elsewhere when the broker has
    taken the broadcast, unless told not to wait. What the broker does not take is logged and
    counted, not raised.
    """
    taken = _begin(broadcast, processes)
    if wait and isinstance(taken, Future):
        try:
            taken.result(PATIENCE)
        except TimeoutError:
            _report_slow()


async def asend(broadcast: Broadcast, processes: Processes = None) -> None:
    """What `send` does; returns when the broker has taken the broadcast."""
    taken: Any = _begin(broadcast, processes)
    if isinstance(taken, Future):
        taken = asyncio.wrap_future(taken)
    if isinstance(taken, asyncio.Future) and not (await asyncio.wait([taken], timeout=PATIENCE))[0]:
        _report_slow()


def send_on_commit(make: Make, exclude: Exclude, immediate: bool) -> None:
    """Make a broadcast now, and send it once this thread's transaction has committed.

    Without a transaction, and where it is `immediate`, that is now.
    """
    broadcast, processes = make(ids_of(exclude))
    if immediate:
        send(broadcast, processes)
    else:
        when_committed(lambda: send(broadcast, processes))


async def asend_on_commit(make: Make, exclude: Exclude, immediate: bool) -> None:
    """What `send_on_commit` does; returns when the broker has taken the broadcast."""
    if is_beneath_thread():  # which may be inside a transaction
        await sync_to_async(send_on_commit)(make, exclude, immediate)
    else:
        await asend(*make(() if exclude is None else await aids_of(exclude)))


def when_committed(function: Callable[[], object], using: str | None = None) -> None:
    """Call the function once this thread's transaction has committed; without one, now.

    The transaction is one of the database `using`, or else of that which rows are in. What
    then fails is logged: the transaction is committed all the same.
    """
    if in_transaction(using):
        transaction.on_commit(function, using=using or _alias(), robust=True)
    else:
        function()


def in_transaction(using: str | None = None) -> bool:
    """Whether this thread is inside a transaction of that database, or else of the rows' one.

    The one that Django's `TestCase` wraps around a test, and never commits, does not count.
    """
    blocks = connections[using or _alias()].atomic_blocks
    return not all(getattr(block, "_from_testcase", False) for block in blocks)


def _alias() -> str:
    if not apps.is_installed("sockets"):
        return DEFAULT_DB_ALIAS
    return router.db_for_write(apps.get_model("sockets", "Socket"))


def _begin(broadcast: Broadcast, processes: Processes) -> Awaitable[None] | Future[None]:
    hubs = Hub.all()
    addresses = [EVERYONE]
    if processes is not None:
        addresses = [address_of(id) for id in set(processes) - {hub.id for hub in hubs}]
    text = pack(broadcast) if addresses else ""  # first, so that its faults find nothing sent
    for hub in hubs:
        hub.deliver(broadcast)
    if not addresses:
        return DONE
    if hubs:
        return Hub.nearest(hubs).publish(addresses, text)
    return _get_sender().publish(addresses, text)


def _report_slow() -> None:
    logger.error("The broker has not taken a broadcast within %g s; going on", PATIENCE)
    if isinstance(_sender, Sender):
        _sender.slow = True


class _Loop(asyncio.SelectorEventLoop):
    """A loop that finds hosts itself, for at the exit of a process other threads are refused."""

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        return socket.getaddrinfo(host, port, **options)


class Sender:
    """The broker of a process that serves no connections, on a thread and a loop of its own."""

    def __init__(self, broker: LocalBroker) -> None:
        self._loop = _Loop()
        self._broker = broker
        self.slow = False
        """Whether nobody waits for the broker any more, until it takes something again."""
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="sockets-sender", daemon=True)
        self._thread.start()

    def publish(self, addresses: Collection[str], text: str) -> Awaitable[None] | Future[None]:
        taken = asyncio.run_coroutine_threadsafe(self._publish(addresses, text), self._loop)
        taken.add_done_callback(self._on_taken)
        return DONE if self.slow else taken

    def stop(self) -> None:
        """Send what waits, and end the thread."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(PATIENCE)

    def _on_taken(self, taken: Future[None]) -> None:
        self.slow = False

    async def _publish(self, addresses: Collection[str], text: str) -> None:
        for ending in tuple(Hub.ending):  # what was sent through them goes first
            await asyncio.wrap_future(ending)
        taken: Any = self._broker.publish(addresses, text)
        if taken is not DONE:
            await asyncio.shield(taken)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        await self._stopping.wait()
        await self._broker.stop()


_sender: Sender | LocalBroker | None = None
_making = threading.Lock()


def _get_sender() -> Sender | LocalBroker:
    global _sender
    with _making:
        if _sender is None:
            broker = make_broker()
            _sender = broker if type(broker) is LocalBroker else Sender(broker)
        return _sender


def stop_sender() -> None:
    """End the thread of a process that serves no connections; the next send begins another."""
    global _sender
    with _making:
        sender, _sender = _sender, None
    if isinstance(sender, Sender):
        sender.stop()


def _forget_sender() -> None:
    # A thread does not survive a fork, and its lock may be held in the other process.
    global _sender, _making
    _sender, _making = None, threading.Lock()


def _on_setting_changed(*, setting: str, **kwargs: object) -> None:
    if setting in ("SOCKETS", "CHANNEL_LAYERS"):
        stop_sender()


atexit.register(stop_sender)
os.register_at_fork(after_in_child=_forget_sender)
setting_changed.connect(_on_setting_changed, dispatch_uid="sockets.senders")
