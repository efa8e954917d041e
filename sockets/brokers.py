"""Carrying broadcasts to the other processes: none there are, or by a channel layer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from channels.layers import InMemoryChannelLayer, channel_layers

from .conf import get_settings
from .exceptions import DeclarationError
from .sync import DONE

Take = Callable[[str], None]

logger = logging.getLogger("sockets")

EVERYONE = "sockets"
"""The address at which all processes listen."""
RETRY = 1.0
"""Seconds before a layer that failed is asked again."""
RENEWAL = 60.0
"""Seconds between two renewals of the addresses: layers forget groups, at restarts or with age."""
POLL = 2
"""Seconds that one question to Redis waits for an event."""
PATIENCE = 2.0
"""Seconds that the layer has for what it is told at the end."""
BATCH = 512 * 1024
"""Characters that go together at most, beyond the first text."""
LIMIT = 64 * 1024 * 1024
"""Characters that may wait for a layer that is slow; what is more is dropped and counted."""


class LocalBroker:
    """For a project of one process: there are no others to tell."""

    lost = 0

    async def listen(self, address: str, take: Take, on_joined: Callable[[], None]) -> None:
        """Hand the texts for this address, and for everyone, to `take`; return once they come.

        `on_joined` is called whenever listening began, for what was said before was missed.
        """

    def publish(self, addresses: Collection[str], text: str) -> Awaitable[None]:
        """Send the text to each address; awaiting the result waits until it was taken."""
        return DONE

    async def stop(self) -> None:
        """Send what waits, and listen no more."""


class LayerBroker(LocalBroker):
    """Carries texts as events of a channel layer, whatever its kind.

    Addresses are groups, because all kinds of layers have them. While one event is on its
    way, what follows it is gathered into the next, so that a burst is few events: layers
    hold a hundred of them and drop the rest.
    """

    def __init__(self, alias: str) -> None:
        # An instance of our own, whose channels share no queue with those of consumers.
        self._layer: Any = channel_layers.make_backend(alias)
        if hasattr(self._layer, "brpop_timeout"):
            # channels_redis waits this long for an event; redis-py 8 gives up after 5 s.
            self._layer.brpop_timeout = min(self._layer.brpop_timeout, POLL)
        self._waiting: list[tuple[str, str]] = []
        self._size = 0
        self._taken: asyncio.Future[None] | None = None
        self._publishing: asyncio.Task[None] | None = None
        self._listening: list[asyncio.Task[None]] = []
        self._channel = ""
        self._address = ""

    async def listen(self, address: str, take: Take, on_joined: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        first = loop.create_future()
        self._address = address
        self._listening = [
            loop.create_task(self._read(take, on_joined, first)),
            loop.create_task(self._renew()),
        ]
        await first

    def publish(self, addresses: Collection[str], text: str) -> Awaitable[None]:
        if self._size > LIMIT:
            self._lose(1, "it is too slow")
            return DONE
        loop = asyncio.get_running_loop()
        self._size += len(text) * len(addresses)
        self._waiting += [(address, text) for address in addresses]
        if self._taken is None:
            self._taken = loop.create_future()
        if self._publishing is None:
            self._publishing = loop.create_task(self._publish())
        return self._taken

    async def stop(self) -> None:
        for task in self._listening:
            task.cancel()
        tasks = [*self._listening, *filter(None, [self._publishing])]
        try:
            async with asyncio.timeout(PATIENCE):
                if tasks:
                    await asyncio.wait(tasks)
                await self._leave()
        except Exception as fault:
            logger.error("The channel layer could not be left: %r", fault)

    async def _publish(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            taken, self._taken = self._taken, None
            for address, texts in _batches(waiting):
                await self._send(address, texts)
            if taken is not None and not taken.done():
                taken.set_result(None)
        self._publishing = None

    async def _send(self, address: str, texts: list[str]) -> None:
        try:
            await self._layer.group_send(address, {"type": "sockets.broadcast", "texts": texts})
        except Exception as fault:
            self._lose(len(texts), repr(fault))
        finally:
            self._size -= sum(map(len, texts))

    def _lose(self, number: int, why: str) -> None:
        self.lost += number
        logger.error(
            "%d broadcasts did not reach the other processes (%d so far): %s",
            number, self.lost, why,
        )  # fmt: skip

    async def _read(self, take: Take, on_joined: Callable[[], None], first: Any) -> None:
        while True:
            try:
                self._channel = self._channel or await self._layer.new_channel()
                await self._join()
                on_joined()
                _finish(first)
                while True:
                    for text in (await self._layer.receive(self._channel))["texts"]:
                        take(text)
            except Exception:
                _finish(first)
                logger.exception("The channel layer failed; listening again in %g s", RETRY)
                await asyncio.sleep(RETRY)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL)
            try:
                await self._join()
            except Exception as fault:
                logger.warning("The channel layer did not renew our addresses: %r", fault)

    async def _join(self) -> None:
        for group in (EVERYONE, self._address):
            await self._layer.group_add(group, self._channel)

    async def _leave(self) -> None:
        if self._channel:
            for group in (EVERYONE, self._address):
                await self._layer.group_discard(group, self._channel)
        if disconnect := _disconnect_of(self._layer):
            await disconnect()


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


def _batches(waiting: list[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """The texts in their order, those that follow one another to the same address together."""
    for address, texts in groupby(waiting, key=itemgetter(0)):
        batch: list[str] = []
        size = 0
        for _, text in texts:
            if batch and size + len(text) > BATCH:
                yield address, batch
                batch, size = [], 0
            batch.append(text)
            size += len(text)
        yield address, batch


def _disconnect_of(layer: Any) -> Any:
    """What closes the layer's connections of this loop; kinds that have nothing for it keep them.

    channels_redis' core has a method for it. Its pub/sub layer has `flush`, which touches nothing
    but this process there, while other kinds' `flush` deletes what belongs to all.
    """
    if type(layer).__name__ == "RedisPubSubChannelLayer":
        return layer.flush
    return getattr(layer, "close_pools", None)


def _finish(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
