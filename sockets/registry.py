"""Having the rows of live connections written, in batches and in time."""

import asyncio
import logging
import uuid
from contextvars import Context
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError
from msgspec import Struct, field

from .conf import get_settings
from .lane import lane_of
from .lanes import Lanes
from .lease import Lease
from .sync import finish_future

if TYPE_CHECKING:
    from .models import Socket

logger = logging.getLogger("sockets")

PATIENCE = 1.0
"""Seconds that a client waits for its row before it is accepted without it."""
RETRY = 1.0
"""Seconds before a database that was away is asked again."""


class Changes(Struct):
    """What the next batch writes, and who waits for it."""

    new: "dict[uuid.UUID, Socket]" = field(default_factory=dict)
    changed: "dict[uuid.UUID, Socket]" = field(default_factory=dict)
    inactive: set[uuid.UUID] = field(default_factory=set)
    gone: set[uuid.UUID] = field(default_factory=set)
    waiters: list["asyncio.Future[None]"] = field(default_factory=list)

    def after(self, earlier: "Changes") -> "Changes":
        """These changes, with those of an earlier batch that could not be written before them."""
        return Changes(
            {pk: row for pk, row in (earlier.new | self.new).items() if pk not in self.gone},
            earlier.changed | self.changed,
            earlier.inactive | self.inactive,
            earlier.gone | self.gone,
            self.waiters,
        )

    def release(self) -> None:
        """Let go those who wait."""
        for waiter in self.waiters:
            finish_future(waiter)


class Registry:
    """The rows of one event loop's connections.

    One task writes them: at once while it is idle, all that came meanwhile together while it
    is busy. A database that is away refuses nobody: what it did not take is tried again, and
    counted in `failures`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, lanes: Lanes | None, process_id: uuid.UUID
    ) -> None:
        self.failures = 0
        self._loop = loop
        self._lanes = lanes
        self._process_id = process_id
        self._lease: Lease  # made by the first row: not every project has rows
        self._rows: dict[uuid.UUID, Socket] = {}
        self._changes = Changes()
        self._renew_at = 0.0
        self._away = False
        self._work = asyncio.Event()
        self._stopping = False
        self._writer: asyncio.Task[None] | None = None

    async def add(self, row: "Socket") -> None:
        """Have the row written; returns when it is, or after `PATIENCE` seconds."""
        self._rows[row.pk] = self._changes.new[row.pk] = row
        await self._written()

    async def deactivate(self, row: "Socket") -> None:
        """Have the row marked inactive; returns when it is, or after `PATIENCE` seconds."""
        row.active = False
        if row.pk in self._rows:
            self._changes.inactive.add(row.pk)
            await self._written()

    def update(self, row: "Socket") -> None:
        """Have the row's user, session and last ping written as they are now."""
        if row.pk in self._rows:
            self._changes.changed[row.pk] = row
            self._wake()

    def remove(self, row: "Socket") -> None:
        """Have the row deleted."""
        if self._rows.pop(row.pk, None) is not None:
            self._changes.new.pop(row.pk, None)
            self._changes.gone.add(row.pk)
            self._wake()

    async def stop(self, grace: float) -> None:
        """Write what waits and give the lease back; wait at most `grace` seconds for it."""
        if self._writer is not None:
            self._stopping = True
            self._wake()
            await asyncio.wait([self._writer], timeout=grace)
            self._writer.cancel()

    async def _written(self) -> None:
        future = self._loop.create_future()
        self._changes.waiters.append(future)
        self._wake()
        if not self._away:
            await asyncio.wait([future], timeout=PATIENCE)

    def _wake(self) -> None:
        if self._writer is None:
            self._lease = Lease(self._process_id)
            # In a context of its own, for it outlives the connection that begins it.
            self._writer = self._loop.create_task(self._write(), context=Context())
        self._work.set()

    async def _write(self) -> None:
        with lane_of(self._lanes) as lane:
            while not self._stopping:
                await self._wait_for_work()
                await self._write_batch()
                if lane is not None:
                    lane.release()
            await self._end()

    async def _wait_for_work(self) -> None:
        """Return when something changed, or when the lease is to be renewed."""
        try:
            async with asyncio.timeout_at(self._renew_at):
                await self._work.wait()
        except TimeoutError:
            pass
        self._work.clear()

    async def _write_batch(self) -> None:
        changes, self._changes = self._changes, Changes()
        try:
            await sync_to_async(self._write_changes)(changes, self._loop.time())
        except (DatabaseError, InterfaceError) as fault:
            self.failures += 1
            self._away = True
            self._changes = self._changes.after(changes)
            logger.error("The rows of sockets cannot be written; trying again: %s", fault)
            changes.release()
            if not self._stopping:
                await asyncio.sleep(RETRY)
                self._work.set()
            return
        except Exception:
            # No fault of the database, such as a test that forbids its use: in vain to try again.
            logger.exception("The rows of sockets cannot be written; they go on without")
            for pk in changes.new:
                self._rows.pop(pk, None)
        self._away = False
        changes.release()

    def _write_changes(self, changes: Changes, now: float) -> None:
        due = now >= self._renew_at
        with self._lease.transaction():
            if due and self._lease.renew():
                changes.new = self._rows | changes.new
            failed = self._lease.insert(changes.new.values())
            if changes.changed:
                self._lease.update(changes.changed.values())
            if changes.inactive:
                self._lease.deactivate(changes.inactive)
            if changes.gone:
                self._lease.delete(changes.gone)
        for row in failed:
            self._rows.pop(row.pk, None)
        if due:
            self._lease.reap()
            self._renew_at = now + get_settings().LEASE / 3

    async def _end(self) -> None:
        try:
            await sync_to_async(self._lease.end)()
        except Exception as fault:
            logger.error("The lease of sockets cannot be given back; it runs out: %r", fault)
