"""The settings, their defaults, their reset in tests."""

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from django.conf import settings as django_settings
from django.core.signals import setting_changed

from .exceptions import DeclarationError, suggest


@dataclass(frozen=True)
class Settings:
    """What the processes of a project must agree on: the dict `SOCKETS` of the settings."""

    LANES: int = 16
    """Threads for synchronous code, per event loop."""

    LANE_WAIT: float = 5.0
    """Seconds that a call waits for a free thread before it is refused with 503."""

    LEASE: float = 15.0
    """Seconds after which the rows of a process that died are taken for dead."""

    TRUSTED_PROXIES: int = 0
    """Proxies in front of the server that append to X-Forwarded-For."""


@cache
def get_settings() -> Settings:
    """The settings now in force, with defaults for what `SOCKETS` leaves out."""
    given: dict[str, Any] = getattr(django_settings, "SOCKETS", {})
    if not isinstance(given, dict):
        raise DeclarationError(f"expected SOCKETS to be a dict of settings, got {given!r}")
    known = {field.name: field for field in fields(Settings)}
    for name, value in given.items():
        if name not in known:
            raise DeclarationError(f"SOCKETS has no setting {name!r}; {suggest(name, known)}")
        _check(name, value, integer=isinstance(known[name].default, int))
    return Settings(**given)


def _check(name: str, value: object, *, integer: bool) -> None:
    expected = int if integer else (int, float)
    lowest = 0 if name == "TRUSTED_PROXIES" else 1 if integer else 0.0
    if isinstance(value, bool) or not isinstance(value, expected) or not value >= lowest:
        kind = "a whole number" if integer else "seconds"
        raise DeclarationError(
            f"expected SOCKETS[{name!r}] to be {kind} of at least {lowest}, got {value!r}"
        )


def _reset(*, setting: str, **kwargs: object) -> None:
    if setting == "SOCKETS":
        get_settings.cache_clear()


setting_changed.connect(_reset, dispatch_uid="sockets.conf")
