"""Looking, now and then, for connections whose session or user has ended."""

import asyncio
import logging
from contextlib import suppress
from contextvars import Context

from asgiref.sync import sync_to_async

from .broadcasts import GRACE, Broadcast, LogOut, Target
from .identity import NOBODY, find_ended, storable_key
from .lane import lane_of
from .lanes import Lanes
from .members import Members

logger = logging.getLogger("sockets")

EVERY = 60.0
"""Seconds between two looks. What signals tell is not waited for: see `receivers.py`."""


class Watch:
    """Logs out the members of one event loop whose session or user ended unheard."""

    def __init__(self, members: Members, lanes: Lanes | None) -> None:
        self._members = members
        self._lanes = lanes
        self._wanted = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Look from now on."""
        if self._work is None:
            loop = asyncio.get_running_loop()
            self._work = loop.create_task(self._look_often(), context=Context())

    def look_now(self) -> None:
        """Do not wait for the next look: something may have been missed."""
        self._wanted.set()

    def stop(self) -> None:
        if self._work is not None:
            self._work.cancel()

    async def _look_often(self) -> None:
        with lane_of(self._lanes) as lane:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(EVERY):
                        await self._wanted.wait()
                self._wanted.clear()
                try:
                    await self._look()
                except Exception:
                    logger.exception("Sessions and users could not be looked at; trying again")
                if lane is not None:
                    lane.release()

    async def _look(self) -> None:
        identities = {member.identity for member in self._members} - {NOBODY}
        if not identities:
            return
        sessions, users = await sync_to_async(find_ended)(identities)
        for key in sessions:
            target = Target("session", storable_key(key))
            self._members.deliver(Broadcast(target, LogOut(), delay=GRACE))
        for pk in users:
            self._members.deliver(Broadcast(Target("user", str(pk)), LogOut()))
