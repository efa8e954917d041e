"""What Django tells of logins, logouts and deletions, told to the sockets that they concern."""

from collections.abc import Collection
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db.models.signals import post_delete, post_save
from django.utils import timezone

from .broadcasts import Broadcast, LogOut, NewSession, Target
from .identity import storable_key
from .senders import send, when_committed

GRACE = 1.0
"""Seconds between the deletion of a session and the end of its sockets. A login deletes it too,
to give its data another key, and tells so right after."""


def connect_receivers() -> None:
    """Listen to the project's sessions and users; called once its models are loaded."""
    user_logged_in.connect(on_login, dispatch_uid="sockets")
    user_logged_out.connect(on_logout, dispatch_uid="sockets")
    users = get_user_model() if apps.is_installed("django.contrib.auth") else None
    for model in apps.get_models():
        if users and issubclass(model, users):  # a proxy sends signals of its own
            post_save.connect(on_user_saved, sender=model, dispatch_uid="sockets")
            post_delete.connect(on_user_deleted, sender=model, dispatch_uid="sockets")
    store = import_module(settings.SESSION_ENGINE).SessionStore
    if issubclass(store, DatabaseStore) and apps.is_installed("django.contrib.sessions"):
        post_delete.connect(
            on_session_deleted, sender=store.get_model_class(), dispatch_uid="sockets"
        )


def on_login(*, request: Any, user: Any, **kwargs: object) -> None:
    """A login moves the session's data to a new key, or begins anew after another user."""
    old, new = _keys(request), _session_key(request)
    for key in old - {new}:
        target = Target("session", storable_key(key))
        _tell(Broadcast(target, NewSession(new, str(user.pk))))


def on_logout(*, request: Any, **kwargs: object) -> None:
    for key in _keys(request) | {_session_key(request)} - {""}:
        _tell(Broadcast(Target("session", storable_key(key)), LogOut()))


def on_session_deleted(*, instance: Any, **kwargs: object) -> None:
    # `clearsessions` deletes many that ended long ago: the sockets of those are closed already.
    if instance.expire_date > timezone.now():
        target = Target("session", storable_key(instance.session_key))
        _tell(Broadcast(target, LogOut(), delay=GRACE))


def on_user_saved(
    *, instance: Any, created: bool, update_fields: Collection[str] | None, **kwargs: object
) -> None:
    # A login saves `last_login` alone; some backends let in who is not active.
    concerned = update_fields is None or "is_active" in update_fields
    if concerned and not created and not getattr(instance, "is_active", True):
        _tell(Broadcast(Target("user", str(instance.pk)), LogOut()))


def on_user_deleted(*, instance: Any, **kwargs: object) -> None:
    _tell(Broadcast(Target("user", str(instance.pk)), LogOut()))


def _keys(request: Any) -> set[str]:
    """The key of the session that the request came with, while its cookie is still at hand."""
    key = getattr(request, "COOKIES", {}).get(settings.SESSION_COOKIE_NAME)
    return {key} if key else set()


def _session_key(request: Any) -> str:
    return getattr(getattr(request, "session", None), "session_key", None) or ""


def _tell(broadcast: Broadcast) -> None:
    # Whoever logs in or out does not wait for the broker.
    when_committed(lambda: send(broadcast, wait=False))
