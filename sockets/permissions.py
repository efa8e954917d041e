"""What users may do now: read afresh, and remembered for seconds."""

from math import inf
from threading import Lock
from time import monotonic
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import connections, router
from django.utils.asyncio import async_unsafe

from .exceptions import DeclarationError, LoginRequired
from .scope import anonymous_user

REMEMBERED = 10.0
"""Seconds for which a user and their permissions are remembered."""
MAX_USERS = 10_000
"""Users that a process remembers."""


class Deactivated(PermissionDenied):
    """Of a user who is not active: turning a guard round lets them in no more than the guard."""


class CurrentUsers:
    """The users of this process's connections as the database has them, read now and then.

    A connection's own user is that of its handshake, which may be hours ago.
    """

    def __init__(self) -> None:
        # By primary key, then by class: a proxy model's user may do what its class says.
        self._known: dict[Any, dict[type, tuple[float, Any]]] = {}
        self._changes = 0
        self._lock = Lock()

    def get(self, user: Any) -> Any:
        """The user as the database has them; an `AnonymousUser` where they are no more."""
        if not isinstance(user, get_user_model()):
            return user
        model, pk, now = user.__class__, user.pk, monotonic()
        if connections[router.db_for_write(model)].in_atomic_block:
            return _load(model, pk)  # what a transaction sees is not yet so for others
        since, current = self._known.get(pk, {}).get(model, (-inf, None))
        if now - since >= REMEMBERED:
            changes = self._changes
            current = _load(model, pk)
            self._remember(current, model, pk, now, changes)
        return current

    def forget(self, pk: Any) -> None:
        """Read this user afresh."""
        with self._lock:
            self._changes += 1
            self._known.pop(pk, None)

    def forget_all(self) -> None:
        """Read everybody afresh."""
        with self._lock:
            self._changes += 1
            self._known.clear()

    def _remember(self, current: Any, model: type, pk: Any, now: float, changes: int) -> None:
        with self._lock:
            if changes != self._changes:
                return  # it may have been read before the change
            remembered = self._known.pop(pk, {})
            if len(self._known) >= MAX_USERS:
                del self._known[next(iter(self._known))]  # the one read longest ago
            self._known[pk] = remembered | {model: (now, current)}


def _load(model: Any, pk: Any) -> Any:
    users = model._default_manager.using(router.db_for_write(model))
    return users.filter(pk=pk).first() or anonymous_user()


users = CurrentUsers()


@async_unsafe("You cannot call current_user() from an async context; use sync_to_async.")
def current_user(user: Any) -> Any:
    """A user with the permissions, groups and flags of now, at most `REMEMBERED` seconds old.

    One who is deleted is an `AnonymousUser`; users of another kind than the project's are
    returned as they are. A change in this process counts at once.
    """
    return users.get(user)


def check_permissions(user: Any, permissions: tuple[str, ...], obj: Any = None) -> None:
    """Raise `LoginRequired` or `PermissionDenied` where the user lacks one of the permissions.

    The backends of `AUTHENTICATION_BACKENDS` decide, through the user's own `has_perms`.
    """
    current = users.get(user)
    if not current.has_perms(permissions, obj):
        raise refusal_of(current)


def group_names(user: Any) -> frozenset[str]:
    """The names of the groups of a `current_user`, read as seldom as they are."""
    names: frozenset[str] | None = vars(user).get("_group_names")
    if names is None:
        names = frozenset(user.groups.values_list("name", flat=True))
        if isinstance(user, get_user_model()):  # and so one that is forgotten in time
            vars(user)["_group_names"] = names
    return names


def refusal_of(user: Any) -> Exception:
    """What to tell somebody who may not: to log in, where that may help."""
    if not user.is_authenticated:
        return LoginRequired()
    return PermissionDenied() if getattr(user, "is_active", True) else Deactivated()


def permission_list(given: Any, where: str) -> tuple[str, ...]:
    """The names of permissions that a route asks for, or a `DeclarationError`."""
    if not are_permissions(given):
        raise DeclarationError(
            f"{where}: expected a list of names such as 'app.change_model', got {given!r}"
        )
    return tuple(given)


def are_permissions(given: Any) -> bool:
    """Whether these are names of permissions, written as Django's are."""
    return isinstance(given, list | tuple) and all(
        isinstance(name, str) and 0 < name.find(".") < len(name) - 1 for name in given
    )
