"""Live connections as rows."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


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
    """A selection of live connections."""

    def online(self) -> "SocketQuerySet":
        """Those that are active and whose process is alive, by the database's clock."""
        return self.filter(active=True, process__expires__gt=Now())

    def mark_active(self) -> int:
        """Set `active`, and return how many rows that concerned."""
        return self.update(active=True)

    def mark_inactive(self) -> int:
        """Unset `active`, and return how many rows that concerned."""
        return self.update(active=False)

    async def amark_active(self) -> int:
        return await self.aupdate(active=True)

    async def amark_inactive(self) -> int:
        return await self.aupdate(active=False)


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
