"""System checks of the project around its sockets: apps, server, channel layers and hosts."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from .brokers import LocalBroker, make_broker
from .conf import get_settings
from .functions import name_of
from .handlers import RoutedSocketHandler
from .mounts import Mounted

NEEDED_APPS = (
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
)
IN_MEMORY = "channels.layers.InMemoryChannelLayer"
IDLE = 5
"""Seconds that channels_redis waits for a message before it asks again."""


def check_apps(mounted: Mounted) -> Iterator[CheckMessage]:
    """The apps that a handshake's session and user come from."""
    for name in NEEDED_APPS:
        if mounted and not apps.is_installed(name):
            yield Error(
                f"Sockets need the app {name!r}, which is not installed.",
                hint=f"Add {name!r} to INSTALLED_APPS.",
                id="sockets.E004",
            )


def check_development_server(mounted: Mounted) -> Iterator[CheckMessage]:
    """Whether `runserver` serves WebSockets. Where daphne stands in the list it checks itself."""
    if mounted and settings.DEBUG and not apps.is_installed("daphne"):
        yield Warning(
            "Without daphne, `runserver` serves no WebSockets: handshakes are answered as pages.",
            hint="Install daphne and put 'daphne' first in INSTALLED_APPS; or use another ASGI "
            "server for development and add 'sockets.W005' to SILENCED_SYSTEM_CHECKS.",
            id="sockets.W005",
        )


def check_application(mounted: Mounted) -> Iterator[CheckMessage]:
    """Whether daphne's `runserver` finds the application."""
    if mounted and apps.is_installed("daphne") and not getattr(settings, "ASGI_APPLICATION", None):
        yield Error(
            "daphne is installed, but ASGI_APPLICATION does not say what it serves.",
            hint="Set it to 'project.asgi.application', where project/asgi.py has `application = "
            "sockets.asgi.get_asgi_application()`.",
            id="sockets.E005",
        )


def check_layers(mounted: Mounted) -> Iterator[CheckMessage]:
    """The channel layers that handlers ask for."""
    layers = _layers()
    for handler in _using_layers(mounted):
        if handler.channel_layer_alias not in layers:
            yield Error(
                f"{name_of(handler)} uses the channel layer {handler.channel_layer_alias!r}, "
                "which is not set.",
                hint="Add it to CHANNEL_LAYERS, or leave uses_channel_layer and groups unset.",
                obj=handler,
                id="sockets.E006",
            )
    for alias in _aliases_in_use(mounted):
        if _backend(layers[alias]) == IN_MEMORY and not settings.DEBUG:
            yield Warning(
                f"The channel layer {alias!r} is in memory: other processes do not see its groups.",
                hint="Use channels_redis in production, or run one process only.",
                id="sockets.W006",
            )


def check_redis_layers(mounted: Mounted) -> Iterator[CheckMessage]:
    """Layers whose reader is cut off by redis-py 8 whenever nothing came for five seconds."""
    for alias in _aliases_in_use(mounted):
        layer = _layers()[alias]
        if _backend(layer) == "channels_redis.core.RedisChannelLayer":
            hosts = layer.get("CONFIG", {}).get("hosts") or [{}]
            if _redis_major() >= 8 and not all(map(_waits_long_enough, hosts)):
                yield Warning(
                    f"The channel layer {alias!r} fails after {IDLE} idle seconds, and events come "
                    "late or not at all: that is the default time-out of redis-py 8, and as long "
                    "as the layer waits.",
                    hint='Write its hosts as [{"address": "redis://...", "socket_timeout": None}].',
                    id="sockets.W007",
                )


def check_broker(mounted: Mounted) -> Iterator[CheckMessage]:
    """Whether broadcasts and logouts reach the other processes."""
    try:
        is_local = type(make_broker()) is LocalBroker
    except Exception as fault:
        yield Error(
            f"The settings of sockets cannot be used: {fault}",
            hint="Until this is repaired, no client can connect and nothing can be sent.",
            id="sockets.E007",
        )
        return
    alias = get_settings().BROKER
    if mounted and is_local and alias != "local" and not settings.DEBUG:
        found = "is in memory" if alias in _layers() else "is not set"
        yield Warning(
            "Broadcasts and logouts do not reach sockets in other processes: the channel layer "
            f"{alias!r} {found}.",
            hint="Set it to one of channels_redis in CHANNEL_LAYERS; or a Redis: SOCKETS "
            '= {"BROKER": "redis://localhost:6379"}; or, if there is one process only, say so: '
            'SOCKETS = {"BROKER": "local"}.',
            id="sockets.W010",
        )


def _layers() -> dict[str, dict[str, Any]]:
    return getattr(settings, "CHANNEL_LAYERS", {})


def _using_layers(mounted: Mounted) -> list[type[RoutedSocketHandler]]:
    return [handler for handler in mounted if handler._declared.uses_layer]


def _aliases_in_use(mounted: Mounted) -> list[str]:
    asked = {handler.channel_layer_alias for handler in _using_layers(mounted)}
    return sorted(asked & _layers().keys())


def _backend(layer: dict[str, Any]) -> str:
    return str(layer.get("BACKEND", ""))


def _redis_major() -> int:
    try:
        return int(version("redis").partition(".")[0])
    except (PackageNotFoundError, ValueError):
        return 0


def _waits_long_enough(host: Any) -> bool:
    given = host if isinstance(host, dict) else {"address": host}
    if "socket_timeout=" in str(given.get("address", "")):
        return True
    timeout = given.get("socket_timeout", IDLE)
    return timeout is None or timeout > IDLE


def check_origins(mounted: Mounted) -> Iterator[CheckMessage]:
    """Whether the origin check of handshakes lets every site through."""
    if mounted and not settings.DEBUG and "*" in settings.ALLOWED_HOSTS:
        yield Warning(
            "ALLOWED_HOSTS has '*', so pages of any site can open sockets as the user who looks "
            "at them.",
            hint="List the hosts of this project.",
            id="sockets.W008",
        )


def check_production_server() -> Iterator[CheckMessage]:
    if apps.is_installed("daphne") and not settings.DEBUG:
        yield Warning(
            "daphne is installed; it never pushes back when clients read slowly, so each of them "
            "can fill the memory, unless it speaks the native wire and answers PING.",
            hint="Use uvicorn in production. If you do, install daphne for development only, or "
            "add 'sockets.W009' to SILENCED_SYSTEM_CHECKS.",
            id="sockets.W009",
        )


CHECKS = (
    check_apps,
    check_development_server,
    check_application,
    check_layers,
    check_redis_layers,
    check_broker,
    check_origins,
)
