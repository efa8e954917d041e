"""Holding back a server that never does: a client is sent no more than it has answered for."""

import asyncio
import sys
from typing import Any

from .backlog import Event, event_of
from .messages import Frame
from .sync import finish_future
from .writer import Send


def pushes_back(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the server that runs this loop makes `send` wait for clients that read slowly.

    Daphne does not. Its loop is the one that Twisted's reactor drives.
    """
    reactor: Any = sys.modules.get("twisted.internet.reactor")
    return getattr(reactor, "_asyncioEventloop", None) is not loop


class Window:
    """A server's `send` that also waits for the client's answers, where `counts` says so.

    The client is asked when half of the window is used. A frame larger than the window is sent
    alone.
    """

    def __init__(self, send: Send, size: int, question: Frame) -> None:
        self._send = send
        self._size = size
        self._question = event_of(question)
        self.counts = False
        """Whether the client is relied on to answer."""
        self._unanswered = 0
        """Bytes that the client was sent since its last answer: since the question before it."""
        self._asked: int | None = None
        """How many of them were sent before the question that is open."""
        self._answer: asyncio.Future[None] | None = None

    async def send(self, event: Event) -> None:
        """Give the server the event, as soon as there is room for it."""
        size = len(event.get("text") or event.get("bytes") or "")
        while size and self._unanswered and self._unanswered + size > self._size:
            await self._wait()
        await self._send(event)
        if self.counts:
            self._unanswered += size
            if self._asked is None and self._unanswered * 2 > self._size:
                await self._ask()

    def hear(self) -> None:
        """Take the client's answer."""
        self._unanswered -= self._asked or 0
        self._asked = None
        finish_future(self._answer)

    async def _ask(self) -> None:
        self._asked = self._unanswered
        await self._send(self._question)

    async def _wait(self) -> None:
        if self._asked is None:
            await self._ask()
        self._answer = asyncio.get_running_loop().create_future()
        await self._answer
