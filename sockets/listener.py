"""Listening for what other processes send, whatever becomes of what carries it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from .carriers import Carrier
from .ledger import Batch, Ledger, Seldom
from .sync import finish_future

Take = Callable[[str], None]
Joined = Callable[[], None]

logger = logging.getLogger("sockets")

RETRY = 1.0
"""Seconds from one try to listen to the next: a connection that was cut after long is remade at
once, a carrier that is down is asked now and then."""
ECHO = 1.0
"""Seconds between two batches to ourselves: what does not come back was not heard."""
SILENT = 5
"""Echoes after which a carrier that has brought nothing at all is taken for broken."""
RENEWAL = 60
"""Echoes between two renewals of the addresses: layers forget them with age. Where they do at a
restart, an echo that does not come back leads to one at once."""
PATIENCE = 2.0
"""Seconds that joining has, an echo to be sent, and what has failed to be closed: over a dead
connection they may never end."""
STRETCH = 0.01
"""Seconds that are spent on what came before the loop's other work has its turn."""


class Listener:
    """Hands on the texts that others send to some addresses, the first of which is ours alone.

    `take` gets each text; `on_joined` is called whenever listening began or something was
    missed. What this broker itself sent, whose name is `sender`, is not handed on.
    """

    def __init__(
        self,
        carrier: Carrier,
        sender: str,
        addresses: tuple[str, ...],
        take: Take,
        on_joined: Joined,
    ) -> None:
        self.ledger = Ledger(on_joined)
        self._carrier = carrier
        self._sender = sender
        self._addresses = addresses
        self._take = take
        self._on_joined = on_joined
        self._begun = asyncio.get_running_loop().create_future()
        self._strange = Seldom(logging.ERROR)
        self._joined = self._failed = False
        self._sent = self._heard = self._silent = 0

    async def begun(self) -> None:
        """Return when others are heard, or that has failed for the first time."""
        await self._begun

    async def run(self) -> None:
        """Listen until cancelled."""
        now = asyncio.get_running_loop().time
        while not _is_cancelled():
            next_try = now() + RETRY
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._carrier.join(self._addresses)
                await _until_one_fails(self._hear(), self._echo())
            except Exception:
                if not self._failed:
                    logger.exception("The broker failed; listening again when it is back")
                self._failed = True
                finish_future(self._begun)
                await self._start_over()
                await asyncio.sleep(next_try - now())

    def close(self) -> None:
        """Tell the log what has not been told."""
        self.ledger.close()
        self._strange.finish()

    async def _start_over(self) -> None:
        self._joined = False
        with suppress(Exception):
            async with asyncio.timeout(PATIENCE):
                await self._carrier.start_over()

    async def _echo(self) -> None:
        """Send ourselves batches, and raise when nothing at all is heard any more.

        Layers that lose their connection make another without a word. And channels_redis may not
        be idle for 5 s, for then redis-py 8 gives up.
        """
        self._heard, self._silent = self._sent, 0
        while self._silent < SILENT:
            self._sent += 1
            self._silent += 1
            with suppress(Exception):  # that echo will be missed
                async with asyncio.timeout(PATIENCE):
                    if self._silent > 1 or self._sent % RENEWAL == 0:
                        await self._carrier.join(self._addresses)
                    echo = Batch(self._sender, 0.0, self._sent, [])
                    await self._carrier.send(self._addresses[0], echo.pack())
            if _is_cancelled():
                return
            await asyncio.sleep(ECHO)
        raise ConnectionError(f"expected texts, heard nothing for {SILENT * ECHO:g} s")

    async def _hear(self) -> None:
        while not _is_cancelled():
            found = await self._carrier.receive()
            self._silent = 0
            try:
                batch = Batch.unpack(found)
                if batch.line == self._sender:
                    self._hear_echo(batch.number)
                elif not batch.line.startswith(self._sender):
                    await self._hear_texts(self.ledger.enter(batch))
            except ValueError:
                self._strange.tell("A text that is none of ours was ignored: %.80r", found)

    def _hear_echo(self, number: int) -> None:
        if self._joined and number > self._heard + 1:
            logger.warning("The broker lost an echo; broadcasts may have been missed")
            self._on_joined()
        elif not self._joined and number > self._heard:
            if self._failed:
                logger.info("The broker is back; what was sent meanwhile was missed")
            self._joined, self._failed = True, False
            self.ledger.begin()
            self._on_joined()
            finish_future(self._begun)
        self._heard = max(self._heard, number)

    async def _hear_texts(self, texts: list[str]) -> None:
        now = asyncio.get_running_loop().time
        pause = now() + STRETCH
        for text in texts:
            try:
                self._take(text)
            except Exception:
                logger.exception("A broadcast of another process cannot be read; it is lost here")
            if now() > pause:
                await asyncio.sleep(0)
                pause = now() + STRETCH
        await asyncio.sleep(0)  # carriers may have the next one ready


def _is_cancelled() -> bool:
    """Whether this task has been cancelled: carriers that were connecting may have swallowed it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _until_one_fails(*coroutines: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            if not task.cancelling():  # twice would cut off what it does at its end
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
