"""The statements that write rows under a process's lease, and reap those of dead processes."""

import logging
import uuid
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from django.apps import apps
from django.db import connections, router, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from .conf import get_settings
from .signals import connections_lost

if TYPE_CHECKING:
    from .models import Process, Socket

logger = logging.getLogger("sockets")

BATCH = 500
"""Rows that one statement writes."""


class Lease:
    """One process's rows in the database. Synchronous: called on a lane.

    The lease runs by the database's clock. Whoever finds it expired deletes it, and with it
    the rows; a process that finds its own deleted takes it anew and writes its rows again.
    """

    def __init__(self, process_id: uuid.UUID | None = None) -> None:
        self.process_id = process_id or uuid.uuid4()
        # Models may be loaded only once the apps are, which is after this module's import.
        self._sockets: type[Socket] = apps.get_model("sockets", "Socket")
        self._processes: type[Process] = apps.get_model("sockets", "Process")
        self._alias = router.db_for_write(self._sockets)

    def renew(self) -> bool:
        """Renew the lease; whether all rows must be written again."""
        expires = Now() + timedelta(seconds=get_settings().LEASE)
        processes = self._processes.objects.using(self._alias)
        kept = bool(processes.filter(pk=self.process_id).update(expires=expires))
        if not kept:
            processes.bulk_create([self._processes(pk=self.process_id, expires=expires)])
        return not kept

    def transaction(self) -> AbstractContextManager[None]:
        """One transaction for all that the block writes."""
        return transaction.atomic(using=self._alias)

    def reap(self) -> int:
        """Delete the leases that ran out and all rows without a lease; returns their number."""
        processes = self._processes.objects.using(self._alias)
        living = processes.filter(pk=OuterRef("process_id"))
        lost = self._sockets.objects.using(self._alias).filter(~Exists(living))
        # Together: a process that wakes up meanwhile waits, and finds its lease gone or kept.
        with self.transaction():
            processes.filter(expires__lt=Now()).delete()
            rows = list(lost) if connections_lost.has_listeners(self._sockets) else []
            deleted = lost.delete()[0]
        if rows:
            tell = partial(connections_lost.send_robust, self._sockets, rows=rows)
            transaction.on_commit(tell, using=self._alias, robust=True)
        return deleted

    def insert(self, rows: Iterable["Socket"]) -> list["Socket"]:
        """Write the rows; returns those that could not be written, which are logged."""
        failed: list[Socket] = []
        rows = list(rows)
        for row in rows:
            row.process_id = self.process_id
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            try:
                self._upsert(batch)
            except Exception:  # a value that no driver takes is a ValueError, say
                if not connections[self._alias].is_usable():
                    raise
                failed += [row for row in batch if not self._insert_alone(row)]
        return failed

    def update(self, rows: Collection["Socket"]) -> None:
        """Write what may change while a connection lives."""
        self._sockets.objects.using(self._alias).bulk_update(
            rows, ["user", "session", "session_key", "last_ping"], batch_size=BATCH
        )

    def deactivate(self, ids: Collection[uuid.UUID]) -> None:
        self._sockets.objects.using(self._alias).filter(pk__in=ids).update(active=False)

    def delete(self, ids: Collection[uuid.UUID]) -> None:
        self._sockets.objects.using(self._alias).filter(pk__in=ids).delete()

    def end(self) -> None:
        """Give the lease back; what rows it still has go with it."""
        with self.transaction():
            self._sockets.objects.using(self._alias).filter(process_id=self.process_id).delete()
            self._processes.objects.using(self._alias).filter(pk=self.process_id).delete()

    def _upsert(self, rows: list["Socket"]) -> None:
        # A row may be there still, under a lease that was lost.
        target = connections[self._alias].features.supports_update_conflicts_with_target
        with self.transaction():
            self._sockets.objects.using(self._alias).bulk_create(
                rows,
                update_conflicts=True,
                unique_fields=["id"] if target else None,
                update_fields=["process", "active"],
            )

    def _insert_alone(self, row: "Socket") -> bool:
        try:
            self._upsert([row])
        except Exception:
            logger.exception("The row at %r cannot be written; it goes on without", row.path)
            return False
        return True
