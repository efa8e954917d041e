"""What Django tells of logins, logouts and deletions, told to the sockets that they concern."""

from collections.abc import Collection
from functools import partial, wraps
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.utils import timezone

from .broadcasts import GRACE, Broadcast, LogOut, NewSession, Target
from .identity import storable_key
from .permissions import users as current_users
from .senders import send, when_committed


def connect_receivers() -> None:
    """Listen to the project's sessions and users; called once its models are loaded."""
    user_logged_in.connect(on_login, dispatch_uid="sockets")
    user_logged_out.connect(on_logout, dispatch_uid="sockets")
    users = get_user_model() if apps.is_installed("django.contrib.auth") else None
    for model in apps.get_models():
        if users and issubclass(model, users):  # a proxy sends signals of its own
            post_save.connect(on_user_saved, sender=model, dispatch_uid="sockets")
            post_delete.connect(on_user_deleted, sender=model, dispatch_uid="sockets")
    if users:
        _follow_permissions(users)
    store = import_module(settings.SESSION_ENGINE).SessionStore
    _follow_keys(store)
    if issubclass(store, DatabaseStore) and apps.is_installed("django.contrib.sessions"):
        post_delete.connect(
            on_session_deleted, sender=store.get_model_class(), dispatch_uid="sockets"
        )


def _follow_permissions(users: Any) -> None:
    """Hear of what changes a user, the groups they are in, or what those may do."""
    group, permission = apps.get_model("auth.Group"), apps.get_model("auth.Permission")
    links = {field.remote_field.through for field in users._meta.many_to_many}
    for link in links | {group.permissions.through}:
        m2m_changed.connect(on_permissions_changed, sender=link, dispatch_uid="sockets.permissions")
    for model in apps.get_models():
        for concerned, receiver in (
            (users, on_user_changed),
            ((group, permission), on_permissions_changed),
        ):
            if issubclass(model, concerned):
                for signal in (post_save, post_delete):
                    signal.connect(receiver, sender=model, dispatch_uid="sockets.permissions")


def _follow_keys(store: Any) -> None:
    """Have the sessions of an engine tell when they change their key, for which is no signal."""
    cycle, acycle = store.cycle_key, store.acycle_key
    if hasattr(cycle, "__wrapped__"):
        return

    @wraps(cycle)
    def cycle_key(session: Any) -> None:
        old = session.session_key
        cycle(session)
        on_new_key(session, old)

    @wraps(acycle)
    async def acycle_key(session: Any) -> None:
        old = session.session_key
        await acycle(session)
        await sync_to_async(on_new_key)(session, old)

    store.cycle_key, store.acycle_key = cycle_key, acycle_key


def on_new_key(session: Any, old: str | None) -> None:
    """The session goes on under a new key, as at a login or with a new password."""
    new = session.session_key
    if old and new and old != new:
        user = session.get(SESSION_KEY)
        _tell(Broadcast(Target("session", storable_key(old)), NewSession(new, str(user))))


def on_login(*, user: Any, request: Any = None, **kwargs: object) -> None:
    """A login moves the session's data to a new key, or flushes them after another user."""
    if getattr(request, "session", None) is None:
        return
    new = _session_key(request)  # which a flushed session has not got yet
    deed = NewSession(new, str(user.pk)) if new else LogOut()
    for key in _keys(request) - {new}:
        _tell(Broadcast(Target("session", storable_key(key)), deed))


def on_logout(*, request: Any = None, **kwargs: object) -> None:
    for key in _keys(request) | {_session_key(request)} - {""}:
        _tell(Broadcast(Target("session", storable_key(key)), LogOut()))


def on_session_deleted(*, instance: Any, using: str, **kwargs: object) -> None:
    # `clearsessions` deletes many that ended long ago: the sockets of those are closed already.
    if instance.expire_date > timezone.now():
        target = Target("session", storable_key(instance.session_key))
        _tell(Broadcast(target, LogOut(), delay=GRACE), using)


def on_user_saved(
    *,
    instance: Any,
    created: bool,
    update_fields: Collection[str] | None,
    using: str,
    **kwargs: object,
) -> None:
    # A login saves `last_login` alone; some backends let in who is not active.
    concerned = update_fields is None or "is_active" in update_fields
    if concerned and not created and not getattr(instance, "is_active", True):
        _tell(Broadcast(Target("user", str(instance.pk)), LogOut()), using)
    elif not created and getattr(instance, "_password", None) is not None:
        # Set, and not saved before: it ends the user's sessions but for one, whose key changes.
        _tell(Broadcast(Target("user", str(instance.pk)), LogOut(remembered=False)), using)


def on_user_deleted(*, instance: Any, using: str, **kwargs: object) -> None:
    _tell(Broadcast(Target("user", str(instance.pk)), LogOut()), using)


def on_user_changed(
    *, instance: Any, using: str, update_fields: Collection[str] | None = None, **kwargs: object
) -> None:
    if update_fields != {"last_login"}:  # which is all that a login saves
        when_committed(partial(current_users.forget, instance.pk), using)


def on_permissions_changed(*, using: str, **kwargs: object) -> None:
    when_committed(current_users.forget_all, using)


def _keys(request: Any) -> set[str]:
    """The key of the session that the request came with, while its cookie is still at hand."""
    key = getattr(request, "COOKIES", {}).get(settings.SESSION_COOKIE_NAME)
    return {key} if key else set()


def _session_key(request: Any) -> str:
    return getattr(getattr(request, "session", None), "session_key", None) or ""


def _tell(broadcast: Broadcast, using: str | None = None) -> None:
    # Whoever logs in or out does not wait for the broker.
    when_committed(lambda: send(broadcast, wait=False), using)
