"""Live connections as rows."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import models
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from .broadcasts import Action, Broadcast, Close, Event, Exclude, Probe, Target, Text, ids_of
from .exceptions import CloseCode
from .senders import in_transaction, send, when_committed

FEW = 4
"""Processes that are sent to one by one; what concerns more of them is sent to all."""


class Process(models.Model):
    """The lease of one event loop's rows: while it is renewed, they are of living connections."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    expires = models.DateTimeField(_("expires"))

    class Meta:
        verbose_name = _("process")
        verbose_name_plural = _("processes")

    def __str__(self) -> str:
        return str(self.id)


class SocketQuerySet(models.QuerySet["Socket"]):
    """A selection of live connections, which can be sent to.

    Inside `transaction.atomic()` what is sent goes out on commit, to those who were selected
    at the call and to those who are then; with `immediate=True` it goes out at once.
    `exclude` takes a handler, a row, its id, or a list of them.
    """

    def send_json(self, content: Any, *, exclude: Exclude = None, immediate: bool = False) -> None:
        """Send an event."""
        self._send(Event.of(content), exclude, immediate)

    def send_action(
        self, type: str, /, *, exclude: Exclude = None, immediate: bool = False, **fields: Any
    ) -> None:
        """Send the event `{"type": type, ...fields}`."""
        self._send(Action.of(type, fields), exclude, immediate)

    def send_str(self, text: str, *, exclude: Exclude = None, immediate: bool = False) -> None:
        """Send a text frame as it is, in no protocol."""
        self._send(Text.of(text), exclude, immediate)

    def close(
        self, code: int = CloseCode.NORMAL, reason: str = "", *, immediate: bool = False
    ) -> None:
        """Close the connections, which deletes their rows."""
        self._send(Close.of(code, reason), None, immediate)

    def cleanup_stale(self, wait: float = 10.0) -> None:
        """Ask the clients for a PING; closed is who sends nothing within `wait` seconds.

        The rows of those who do have the time in `last_ping`. Returns at once. Clients of
        protocols that know no such question are not asked.
        """
        self._send(Probe(float(wait)), None, False)

    def purge_inactive(self, minutes: float = 5.0) -> int:
        """Delete the rows that are not active and were last heard of `minutes` ago or before.

        What connections they still have are closed. Returns how many rows were deleted.
        """
        heard = Coalesce("last_ping", "created")
        old = self.filter(active=False).alias(heard=heard)
        old = old.filter(heard__lte=Now() - timedelta(minutes=minutes))
        places = old._places()
        rows = self.model._default_manager.using(self.db).filter(pk__in=list(places))
        deleted = rows.delete()[0]
        when_committed(lambda: _send_to(places, Close(CloseCode.NO_PONG, "Inactive."), ()))
        return deleted

    def online(self) -> "SocketQuerySet":
        """Those that are active and whose process is alive, by the database's clock."""
        return self.filter(active=True, process__expires__gt=Now())

    def mark_active(self) -> int:
        """Set `active`, and return how many rows that concerned."""
        return self.update(active=True)

    def mark_inactive(self) -> int:
        """Unset `active`, and return how many rows that concerned."""
        return self.update(active=False)

    async def asend_json(
        self, content: Any, *, exclude: Exclude = None, immediate: bool = False
    ) -> None:
        await sync_to_async(self._send)(Event.of(content), exclude, immediate)

    async def asend_action(
        self, type: str, /, *, exclude: Exclude = None, immediate: bool = False, **fields: Any
    ) -> None:
        await sync_to_async(self._send)(Action.of(type, fields), exclude, immediate)

    async def asend_str(
        self, text: str, *, exclude: Exclude = None, immediate: bool = False
    ) -> None:
        await sync_to_async(self._send)(Text.of(text), exclude, immediate)

    async def aclose(
        self, code: int = CloseCode.NORMAL, reason: str = "", *, immediate: bool = False
    ) -> None:
        await sync_to_async(self.close)(code, reason, immediate=immediate)

    async def acleanup_stale(self, wait: float = 10.0) -> None:
        await sync_to_async(self.cleanup_stale)(wait)

    async def apurge_inactive(self, minutes: float = 5.0) -> int:
        return await sync_to_async(self.purge_inactive)(minutes)

    async def amark_active(self) -> int:
        return await self.aupdate(active=True)

    async def amark_inactive(self) -> int:
        return await self.aupdate(active=False)

    def _send(self, deed: Any, exclude: Exclude, immediate: bool) -> None:
        excluded, places = ids_of(exclude), self._places()
        if in_transaction():
            # Who comes until the commit has seen what was before it.
            when_committed(lambda: _send_to(places | self._places(), deed, excluded), immediate)
        else:
            _send_to(places, deed, excluded)

    def _places(self) -> dict[uuid.UUID, uuid.UUID]:
        """The ids of the selected connections, with those of their processes."""
        return dict(self.values_list("pk", "process_id"))


def _send_to(
    places: Mapping[uuid.UUID, uuid.UUID], deed: Any, excluded: tuple[uuid.UUID, ...]
) -> None:
    ids = tuple(id for id in places if id not in excluded)
    if ids:
        processes = {places[id] for id in ids}
        send(
            Broadcast(Target("ids", ids=ids), deed),
            processes if len(processes) <= FEW else None,
        )


class Socket(models.Model):
    """One live connection, linked to its user and session.

    The links have no constraint in the database: a session that ends while its socket's row
    is on its way must not fail the batch that it is written in.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    session = models.ForeignKey(
        "sessions.Session",
        verbose_name=_("session"),
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
    )
    session_key = models.CharField(_("session key"), max_length=64, blank=True, db_index=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
    )
    channel_name = models.CharField(_("channel name"), max_length=128, blank=True)
    path = models.CharField(_("path"), max_length=255, db_index=True)
    view = models.CharField(_("view"), max_length=255, blank=True)
    active = models.BooleanField(_("active"), default=True)
    last_ping = models.DateTimeField(_("last ping"), null=True, blank=True)
    user_ip = models.GenericIPAddressField(_("IP address"), null=True, blank=True)
    created = models.DateTimeField(_("created"), auto_now_add=True)
    process = models.ForeignKey(
        Process,
        verbose_name=_("process"),
        on_delete=models.DO_NOTHING,
        db_constraint=False,
    )

    objects = SocketQuerySet.as_manager()

    class Meta:
        verbose_name = _("socket")
        verbose_name_plural = _("sockets")

    def __str__(self) -> str:
        return f"{self.path} ({self.user_id or 'anonymous'})"
