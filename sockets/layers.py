"""Ordinary events of the channel layer, brought to the methods of a handler."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from channels.exceptions import InvalidChannelLayerError
from channels.layers import get_channel_layer

from .declaration import Declaration
from .exceptions import DeclarationError
from .routes import Route

Post = Callable[[dict[str, Any], Route], bool]

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

    async def begin(self, declaration: Declaration, post: Post) -> None:
        """Open a channel, join the groups and hand each event to `post` until it takes it."""
        self.channel_name = await self.layer.new_channel()
        for group in declaration.groups:
            self._groups.append(group)
            await self.layer.group_add(group, self.channel_name)
        self._reading = asyncio.get_running_loop().create_task(self._read(declaration, post))

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

    async def _read(self, declaration: Declaration, post: Post) -> None:
        while True:
            try:
                event = await self.layer.receive(self.channel_name)
            except Exception:
                logger.exception("The channel layer failed; asking again in %g s.", RETRY)
                await asyncio.sleep(RETRY)
                continue
            if route := self._route(declaration, event):
                while not post(event, route):
                    await asyncio.sleep(FULL)

    def _route(self, declaration: Declaration, event: dict[str, Any]) -> Route | None:
        try:
            route = declaration.event_route(event)
        except DeclarationError:
            logger.exception("The method for the layer's event %r cannot be called", event["type"])
            return None
        if route is None:
            logger.error(
                "There is no method for the layer's event %r; write one, or send to groups that "
                "only handlers with such a method are in.",
                event.get("type"),
            )
        return route
