"""Live connections as rows."""

import uuid
from datetime import timedelta
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import models
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from .broadcasts import AnyDeed, Close, Exclude
from .exceptions import CloseCode
from .recipients import Places, Recipients, address, send_to
from .senders import asend_on_commit, send_on_commit, when_committed
from .sync import blocking


class Process(models.Model):
    """The lease of one event loop's rows: while it is renewed, they are of living connections."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    expires = models.DateTimeField(_("expires"))

    class Meta:
        verbose_name = _("process")
        verbose_name_plural = _("processes")

    def __str__(self) -> str:
        return str(self.id)


class SocketQuerySet(Recipients, models.QuerySet["Socket"]):
    """A selection of live connections, which can be sent to."""

    def online(self) -> "SocketQuerySet":
        """Those that are active and whose process is alive, by the database's clock."""
        return self.filter(active=True, process__expires__gt=Now())

    @blocking
    def mark_active(self) -> int:
        """Set `active`, and return how many rows that concerned."""
        return self.update(active=True)

    @blocking
    def mark_inactive(self) -> int:
        """Unset `active`, and return how many rows that concerned."""
        return self.update(active=False)

    @blocking
    def purge_inactive(self, minutes: float = 5.0) -> int:
        """Delete the rows that are not active and were last heard of `minutes` ago or before.

        What connections they still have are closed. Returns how many rows were deleted.
        """
        heard = Coalesce("last_ping", "created")
        old = self.filter(active=False).alias(heard=heard)
        old = old.filter(heard__lte=Now() - timedelta(minutes=minutes))
        places = old._places()
        deleted = old.delete()[1]
        when_committed(lambda: send_to(places, Close(CloseCode.NO_PONG, "Inactive.")))
        return deleted.get(self.model._meta.label, 0)

    async def amark_active(self) -> int:
        return await self.aupdate(active=True)

    async def amark_inactive(self) -> int:
        return await self.aupdate(active=False)

    async def apurge_inactive(self, minutes: float = 5.0) -> int:
        return await sync_to_async(self.purge_inactive)(minutes)

    def _places(self) -> Places:
        # Django appends what an ordered union is ordered by.
        return {pk: process for pk, process, *_ in self.values_list("pk", "process_id")}


class Socket(Recipients, models.Model):
    """One live connection, linked to its user and session, which can be sent to.

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

    @blocking
    def cleanup_stale(self, wait: float = 10.0) -> None:
        """Do what `cleanup_stale` of a selection does with the user's other sockets on this path.

        Those of somebody who is not logged in are the others of the session.
        """
        self._others().cleanup_stale(wait)

    def geoip(self) -> dict[str, Any] | None:
        """Where the client's address is, as Django's `GeoIP2` has it; None where it is unknown.

        A city's dict, or a country's with a database of countries. Needs the extra `geoip` and
        the setting `GEOIP_PATH`.
        """
        from .geoip import locate

        return locate(self.user_ip)

    def _others(self) -> SocketQuerySet:
        rows = type(self).objects.using(self._state.db).filter(path=self.path).exclude(pk=self.pk)
        if self.user_id is not None:
            return rows.filter(user=self.user_id)
        if self.session_key:
            return rows.filter(user=None, session_key=self.session_key)
        return rows.none()

    def _places(self) -> Places:
        return {self.pk: self.process_id}

    def _send(self, deed: AnyDeed, exclude: Exclude, immediate: bool) -> None:
        send_on_commit(partial(address, self._places(), deed), exclude, immediate)

    async def _asend(self, deed: AnyDeed, exclude: Exclude, immediate: bool) -> None:
        await asend_on_commit(partial(address, self._places(), deed), exclude, immediate)


class Ticket(models.Model):
    """What a token of `sockets.tokens` stands for, until it expires; the token is not kept."""

    digest = models.CharField(_("digest"), primary_key=True, max_length=64, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",  # the project may have tickets of its own
    )
    auth_hash = models.CharField(_("digest of the session auth hash"), max_length=64)
    session_key = models.TextField(_("session key"), blank=True)
    expires = models.DateTimeField(_("expires"), db_index=True)
    used = models.BooleanField(_("used"), default=False)

    class Meta:
        verbose_name = _("ticket")
        verbose_name_plural = _("tickets")

    def __str__(self) -> str:
        return f"{self.digest[:8]} ({self.user_id})"
