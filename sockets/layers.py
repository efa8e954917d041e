"""Ordinary events of the channel layer, brought to the methods of a handler."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from channels.exceptions import InvalidChannelLayerError
from channels.layers import get_channel_layer

logger = logging.getLogger("sockets")

RETRY = 1.0
"""Seconds before a layer that failed is asked again."""
PATIENCE = 0.5
"""Seconds that the layer has to leave the groups of a connection that ended."""
FULL = 0.05
"""Seconds before an event that found the mailbox full is offered again."""


class LayerEvents:
    """One connection's channel of the layer, its groups, and the task that reads it."""

    def __init__(self, alias: str) -> None:
        self.layer = get_channel_layer(alias)
        self.channel_name = ""
        self._groups: list[str] = []
        self._reading: asyncio.Task[None] | None = None
        if self.layer is None:
            raise InvalidChannelLayerError(
                f"expected a channel layer {alias!r} in CHANNEL_LAYERS, found none; add one, or "
                "leave uses_channel_layer off"
            )

    async def begin(self, groups: Iterable[str], post: Callable[[dict[str, Any]], bool]) -> None:
        """Open a channel, join the groups and hand each event to `post` until it takes it."""
        self.channel_name = await self.layer.new_channel()
        for group in groups:
            self._groups.append(group)
            await self.layer.group_add(group, self.channel_name)
        self._reading = asyncio.get_running_loop().create_task(self._read(post))

    async def end(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        try:
            async with asyncio.timeout(PATIENCE):
                for group in self._groups:
                    await self._leave(group)
        except TimeoutError:
            logger.error("The channel layer took more than %g s to leave its groups", PATIENCE)

    async def _leave(self, group: str) -> None:
        try:
            await self.layer.group_discard(group, self.channel_name)
        except Exception:
            logger.exception("The channel layer's group %r could not be left; it expires", group)

    async def _read(self, post: Callable[[dict[str, Any]], bool]) -> None:
        while True:
            try:
                event = await self.layer.receive(self.channel_name)
            except Exception:
                logger.exception("The channel layer failed; asking again in %g s.", RETRY)
                await asyncio.sleep(RETRY)
                continue
            while not post(event):
                await asyncio.sleep(FULL)
