"""What moves texts between processes: a channel layer, or another kind with the same methods."""

import asyncio
from collections.abc import Collection
from typing import Any
from weakref import WeakKeyDictionary

from channels.layers import channel_layers
from django.core.signals import setting_changed

CAPACITY = 10_000
"""Events that may wait for a process: the usual hundred come while a loop is busy for a moment."""
EXPIRY = 600
"""Seconds after which a layer forgets the addresses of a process that was killed."""


class Carrier:
    """Moves texts to addresses. It may lose some, and any of its methods may raise.

    A broker uses it in one event loop. It sends one text after another, and counts, numbers and
    begins anew, so that there is nothing here but the moving.
    """

    async def join(self, addresses: Collection[str]) -> None:
        """Receive what is sent to these addresses; called again each minute, and after a fault."""
        raise NotImplementedError

    async def receive(self) -> object:
        """Wait for the next text, as it was sent or encoded in UTF-8."""
        raise NotImplementedError

    async def send(self, address: str, text: str) -> None:
        """Send a text to all who joined this address, in the order of the calls."""
        raise NotImplementedError

    async def start_over(self) -> None:
        """Drop connections that may be broken; `join` and `send` will make others."""

    async def close(self) -> None:
        """Leave the addresses and close what is open."""


class LayerCarrier(Carrier):
    """A channel layer of any kind. Addresses are groups, because all kinds have them."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._layer_in_use: Any = None
        self._channel = ""
        self._addresses: Collection[str] = ()

    @property
    def layer(self) -> Any:
        """A layer of our own, whose channels share no queue with those of consumers."""
        if self._layer_in_use is None:
            spare = _spare_layers(self._alias)
            self._layer_in_use = spare.pop() if spare else _make_layer(self._alias)
        return self._layer_in_use

    async def join(self, addresses: Collection[str]) -> None:
        self._channel = self._channel or await self.layer.new_channel()
        self._addresses = addresses
        for address in addresses:
            await self.layer.group_add(address, self._channel)

    async def receive(self) -> object:
        event = await self.layer.receive(self._channel)
        return event.get("text")

    async def send(self, address: str, text: str) -> None:
        await self.layer.group_send(address, {"type": "sockets.broadcast", "text": text})

    async def start_over(self) -> None:
        if _is_pubsub(self.layer):  # other kinds may have kept what waits in the channel
            self._channel = ""
            await self.layer.flush()

    async def close(self) -> None:
        try:
            for address in self._addresses if self._channel else ():
                await self.layer.group_discard(address, self._channel)
        finally:
            await _disconnect(self.layer)
        _spare_layers(self._alias).append(self.layer)


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
    if _is_pubsub(layer):
        await layer.flush()
    elif close := getattr(layer, "close_pools", None):
        await close()


def _is_pubsub(layer: Any) -> bool:
    """Whether it is channels_redis' pub/sub layer, which has ways of its own."""
    return "RedisPubSubChannelLayer" in [kind.__name__ for kind in type(layer).__mro__]


def _forget_layers(*, setting: str, **kwargs: object) -> None:
    if setting == "CHANNEL_LAYERS":
        _spare.clear()


setting_changed.connect(_forget_layers, dispatch_uid="sockets.carriers")
