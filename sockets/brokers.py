"""Carrying broadcasts to the other processes: none there are, or by a channel layer."""

import asyncio
import logging
from collections.abc import Awaitable, Collection, Iterator
from functools import cached_property
from itertools import groupby
from typing import Any
from weakref import WeakKeyDictionary

from channels.layers import InMemoryChannelLayer, channel_layers
from django.core.signals import setting_changed

from .conf import get_settings
from .exceptions import DeclarationError
from .listener import Joined, Listener, Take, is_pubsub
from .sync import DONE, finish_future

logger = logging.getLogger("sockets")

EVERYONE = "sockets.everyone"
"""The address at which all processes listen."""
PATIENCE = 2.0
"""Seconds that the layer has for what still waits at the end, and then to be left."""
BATCH = 128 * 1024
"""Characters that go together at most, beyond the first text."""
LIMIT = 64 * 1024 * 1024
"""Characters that may wait for a layer that is slow; what is more is dropped and counted."""
IDLE = 1.0
"""Seconds without a send after which a connection may have been closed unnoticed."""
QUIET = 1.0
"""Seconds between two errors in the log."""

CAPACITY = 10_000
"""Events that may wait for a process: the usual hundred come while a loop is busy for a moment."""
EXPIRY = 600
"""Seconds after which the layer forgets the addresses of a process that was killed."""


class LocalBroker:
    """For a project of one process: there are no others to tell."""

    lost = 0
    """How many broadcasts did not reach another process, as far as the sender knows."""

    async def listen(self, address: str, take: Take, on_joined: Joined) -> None:
        """Hand the texts for this address, and for everyone, to `take`; return once they come.

        `on_joined` is called whenever listening began or had a gap, for then something may
        have been missed.
        """

    def publish(self, addresses: Collection[str], text: str) -> Awaitable[None]:
        """Send the text to each address; awaiting the result waits until it was taken."""
        return DONE

    async def stop(self) -> None:
        """Send what waits, and listen no more."""


class LayerBroker(LocalBroker):
    """Carries texts as events of a channel layer, whatever its kind.

    Addresses are groups, because all kinds of layers have them. While one event is on its
    way, what follows it is gathered into the next, so that a burst is few events. Who listens
    hears the texts of one sender in their order.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._waiting: list[tuple[str, str]] = []
        self._number = self._size = 0
        self._taken: asyncio.Future[None] | None = None
        self._publishing: asyncio.Task[None] | None = None
        self._listener: Listener | None = None
        self._listening: asyncio.Task[None] | None = None
        self._stopped = False
        self._quiet_until = 0.0
        self._sent_at = 0.0

    @cached_property
    def _layer(self) -> Any:
        """A layer of our own, whose channels share no queue with those of consumers."""
        spare = _spare_layers(self._alias)
        return spare.pop() if spare else _make_layer(self._alias)

    async def listen(self, address: str, take: Take, on_joined: Joined) -> None:
        self._listener = Listener(self._layer, (address, EVERYONE), take, on_joined)
        self._listening = asyncio.create_task(self._listener.run())
        await self._listener.begun()

    def publish(self, addresses: Collection[str], text: str) -> Awaitable[None]:
        if self._stopped or self._size > LIMIT:
            self._lose(len(addresses), "it was left" if self._stopped else "it is too slow")
            return DONE
        loop = asyncio.get_running_loop()
        self._number += len(addresses)
        self._size += len(text) * len(addresses)
        self._waiting += [(address, text) for address in addresses]
        if self._taken is None:
            self._taken = loop.create_future()
        if self._publishing is None:
            self._publishing = loop.create_task(self._publish())
        return self._taken

    async def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        if self._listening is not None:
            self._listening.cancel()
        if tasks := [task for task in (self._listening, self._publishing) if task is not None]:
            await asyncio.wait(tasks, timeout=PATIENCE)
        if self._publishing is not None:
            self._publishing.cancel()
            self._lose(self._number, f"it did not take them within {PATIENCE:g} s")
        try:
            async with asyncio.timeout(PATIENCE):
                await self._leave()
            _spare_layers(self._alias).append(self._layer)
        except Exception as fault:
            logger.error("The channel layer could not be left: %s", _name_of(fault))

    async def _leave(self) -> None:
        try:
            if self._listener is not None:
                await self._listener.leave()
        finally:
            await _disconnect(self._layer)

    async def _publish(self) -> None:
        taken = None
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                taken, self._taken = self._taken, None
                for address, texts in _batches(waiting):
                    await self._send(address, texts)
                finish_future(taken)
        finally:
            self._publishing = None
            finish_future(taken)
            finish_future(self._taken)

    async def _send(self, address: str, texts: list[str]) -> None:
        now = asyncio.get_running_loop().time
        event = {"type": "sockets.broadcast", "texts": texts}
        try:
            try:
                await self._layer.group_send(address, event)
            except Exception as fault:
                if now() < self._sent_at + IDLE or "Timeout" in type(fault).__name__:
                    raise
                # Its connection was closed while it was idle, so nothing has been sent.
                await self._layer.group_send(address, event)
        except Exception as fault:
            self._lose(len(texts), _name_of(fault))
        self._sent_at = now()
        self._number -= len(texts)
        self._size -= sum(map(len, texts))

    def _lose(self, number: int, why: str) -> None:
        self.lost += number
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET
            logger.error(
                "The channel layer did not take broadcasts for other processes (%d so far): %s",
                self.lost, why,
            )  # fmt: skip


def make_broker() -> LocalBroker:
    """The broker that `SOCKETS["BROKER"]` names: a channel layer's alias, or "local".

    The default is the layer "default", where there is one that leaves the process.
    """
    alias = get_settings().BROKER
    if alias == "local" or (alias == "default" and alias not in channel_layers):
        return LocalBroker()
    if alias not in channel_layers:
        raise DeclarationError(
            f"SOCKETS['BROKER'] names the channel layer {alias!r}, which is not in CHANNEL_LAYERS; "
            "add it, or write 'local' for a project of one process"
        )
    if isinstance(channel_layers[alias], InMemoryChannelLayer):
        return LocalBroker()
    return LayerBroker(alias)


_spare: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, list[Any]]]" = WeakKeyDictionary()
"""Layers that were left. They are used again, as channels_redis keeps each as long as its loop."""


def _spare_layers(alias: str) -> list[Any]:
    return _spare.setdefault(asyncio.get_running_loop(), {}).setdefault(alias, [])


def _make_layer(alias: str) -> Any:
    layer = channel_layers.make_backend(alias)
    own = vars(layer)  # the pub/sub layer takes any other look at it for use in this loop
    if "capacity" in own:
        layer.capacity, layer.channel_capacity = max(layer.capacity, CAPACITY), []
    if "group_expiry" in own:
        layer.group_expiry = min(layer.group_expiry, EXPIRY)
    return layer


async def _disconnect(layer: Any) -> None:
    """Close the layer's connections of this loop, where its kind has a way to.

    channels_redis' core has a method for it. Its pub/sub layer has `flush`, which touches nothing
    but this process there, while other kinds' `flush` deletes what belongs to all.
    """
    if is_pubsub(layer):
        await layer.flush()
    elif close := getattr(layer, "close_pools", None):
        await close()


def _name_of(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}"  # not all have a repr that tells more than a type


def _batches(waiting: list[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """The texts as few events. One for everyone and one for an address keep their order."""
    for _, stretch in groupby(waiting, key=lambda pair: pair[0] == EVERYONE):
        by_address: dict[str, list[str]] = {}
        for address, text in stretch:
            by_address.setdefault(address, []).append(text)
        for address, texts in by_address.items():
            for batch in _cut(texts):
                yield address, batch


def _cut(texts: list[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and size + len(text) > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    yield batch


def _forget_layers(*, setting: str, **kwargs: object) -> None:
    if setting == "CHANNEL_LAYERS":
        _spare.clear()


setting_changed.connect(_forget_layers, dispatch_uid="sockets.brokers")
