"""Listening to a channel layer, whatever becomes of it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from .sync import finish_future

Take = Callable[[str], None]
Joined = Callable[[], None]

logger = logging.getLogger("sockets")

RETRY = 1.0
"""Seconds before a layer that failed is asked again."""
ECHO = 1.0
"""Seconds between two events to ourselves: what does not come back was not heard."""
SILENT = 5
"""Echoes after which a layer that has brought nothing at all is taken for broken."""
RENEWAL = 60
"""Echoes between two renewals of the groups: layers forget them, at restarts or with age."""
PATIENCE = 2.0
"""Seconds that an echo has to be sent, and what has failed to be closed."""


class Listener:
    """Hands on the texts of a layer's events to some groups, the first of which is ours alone.

    `take` gets each text; `on_joined` is called whenever listening began or had a gap, for
    then something may have been missed.
    """

    def __init__(self, layer: Any, groups: tuple[str, ...], take: Take, on_joined: Joined) -> None:
        self._layer = layer
        self._groups = groups
        self._take = take
        self._on_joined = on_joined
        self._channel = ""
        self._begun = asyncio.get_running_loop().create_future()
        self._joined = self._failed = False
        self._sent = self._heard = self._silent = 0

    async def begun(self) -> None:
        """Return when events are heard, or that has failed for the first time."""
        await self._begun

    async def run(self) -> None:
        """Listen for ever."""
        while True:
            try:
                await self._join()
                await _until_one_fails(self._hear(), self._echo())
            except Exception:
                if not self._failed:
                    logger.exception("The channel layer failed; listening again when it is back")
                self._failed = True
                finish_future(self._begun)
                await self._start_over()
                await asyncio.sleep(RETRY)

    async def leave(self) -> None:
        """Leave the groups, when `run` has been cancelled."""
        for group in self._groups if self._channel else ():
            await self._layer.group_discard(group, self._channel)

    async def _join(self) -> None:
        self._channel = self._channel or await self._layer.new_channel()
        for group in self._groups:
            await self._layer.group_add(group, self._channel)

    async def _start_over(self) -> None:
        self._joined = False
        if is_pubsub(self._layer):  # other kinds may have kept what waits in the channel
            self._channel = ""
            with suppress(Exception):
                async with asyncio.timeout(PATIENCE):
                    await self._layer.flush()

    async def _echo(self) -> None:
        """Send ourselves events, and raise when nothing at all is heard any more.

        Layers that lose their connection make another without a word. And channels_redis may not
        be idle for 5 s, for then redis-py 8 gives up.
        """
        self._heard, self._silent = self._sent, 0
        while self._silent < SILENT:
            self._sent += 1
            self._silent += 1
            with suppress(Exception):  # that echo will be missed
                async with asyncio.timeout(PATIENCE):
                    if self._sent % RENEWAL == 0:
                        await self._join()
                    event = {"type": "sockets.echo", "echo": self._sent}
                    await self._layer.group_send(self._groups[0], event)
            await asyncio.sleep(ECHO)
        raise ConnectionError(f"expected events, heard nothing for {SILENT * ECHO:g} s")

    async def _hear(self) -> None:
        while True:
            event = await self._layer.receive(self._channel)
            self._silent = 0
            if isinstance(echo := event.get("echo"), int):
                self._hear_echo(echo)
            elif isinstance(texts := event.get("texts"), list):
                self._hear_texts(texts)
            else:
                logger.error("An event that is none of ours was ignored: %r", event.get("type"))

    def _hear_echo(self, number: int) -> None:
        if self._joined and number > self._heard + 1:
            logger.warning("The channel layer lost an event; broadcasts may have been missed")
            self._on_joined()
        elif not self._joined and number > self._heard:
            if self._failed:
                logger.info("The channel layer is back; what was sent meanwhile was missed")
            self._joined, self._failed = True, False
            self._on_joined()
            finish_future(self._begun)
        self._heard = max(self._heard, number)

    def _hear_texts(self, texts: list[str]) -> None:
        for text in texts:
            try:
                self._take(text)
            except Exception:
                logger.exception("A broadcast of another process cannot be read; it is lost here")


async def _until_one_fails(*coroutines: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def is_pubsub(layer: Any) -> bool:
    """Whether it is channels_redis' pub/sub layer, which has ways of its own."""
    return "RedisPubSubChannelLayer" in [kind.__name__ for kind in type(layer).__mro__]
