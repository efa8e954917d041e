"""The settings, their defaults, their reset in tests."""

from functools import cache
from math import inf
from typing import Any

from django.conf import settings as django_settings
from django.core.signals import setting_changed
from msgspec import Struct
from msgspec.structs import fields

from .exceptions import DeclarationError, suggest


class Settings(Struct, frozen=True):
    """What the processes of a project must agree on: the dict `SOCKETS` of the settings."""

    BROKER: str = "default"
    """What carries broadcasts to other processes: a channel layer's alias, the URL of a Redis, the
    dotted path of a `Carrier`, or "local" for a project of one process."""

    LANES: int = 16
    """Threads for synchronous code, per event loop."""

    LANE_WAIT: float = 5.0
    """Seconds that a call waits for a free thread before it is refused with 503."""

    LEASE: float = 15.0
    """Seconds after which the rows of a process that died are taken for dead."""

    TRUSTED_PROXIES: int = 0
    """Proxies in front of the server that append to X-Forwarded-For."""


LOWEST = {"TRUSTED_PROXIES": 0, "LEASE": 0.1}
"""The lowest values, where they are not 1 or 0 seconds."""


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
        _check(name, value, type(known[name].default))
    return Settings(**given)


def _check(name: str, value: object, kind: type) -> None:
    if kind is str:
        fits, expected = isinstance(value, str), "a text"
    else:
        lowest = LOWEST.get(name, 1 if kind is int else 0.0)
        number = isinstance(value, int if kind is int else int | float)
        fits = number and not isinstance(value, bool) and lowest <= value < inf  # type: ignore[operator]
        expected = f"{'a whole number' if kind is int else 'seconds'} of at least {lowest}"
    if not fits:
        raise DeclarationError(f"expected SOCKETS[{name!r}] to be {expected}, got {value!r}")


def _reset(*, setting: str, **kwargs: object) -> None:
    if setting == "SOCKETS":
        get_settings.cache_clear()


setting_changed.connect(_reset, dispatch_uid="sockets.conf")
