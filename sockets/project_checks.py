"""System checks of the project around its sockets: apps, server, channel layers and hosts."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from .arguments import name_of
from .mounts import Mounted

NEEDED_APPS = (
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
)
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
    layers: dict[str, dict[str, Any]] = getattr(settings, "CHANNEL_LAYERS", {})
    using = [handler for handler in mounted if handler._declared.uses_layer]
    for handler in using:
        if handler.channel_layer_alias not in layers:
            yield Error(
                f"{name_of(handler)} uses the channel layer {handler.channel_layer_alias!r}, "
                "which is not set.",
                hint="Add it to CHANNEL_LAYERS, or leave uses_channel_layer and groups unset.",
                obj=handler,
                id="sockets.E006",
            )
    for alias in sorted({handler.channel_layer_alias for handler in using} & layers.keys()):
        if _backend(layers[alias]) == "channels.layers.InMemoryChannelLayer" and not settings.DEBUG:
            yield Warning(
                f"The channel layer {alias!r} is in memory: other processes do not see its groups.",
                hint="Use channels_redis in production, or run one process only.",
                id="sockets.W006",
            )


def check_redis_layers(mounted: Mounted) -> Iterator[CheckMessage]:
    """Layers whose reader is cut off by redis-py 8 whenever nothing came for five seconds."""
    for alias, layer in getattr(settings, "CHANNEL_LAYERS", {}).items():
        if mounted and _backend(layer) == "channels_redis.core.RedisChannelLayer":
            hosts = layer.get("CONFIG", {}).get("hosts") or [{}]
            if _redis_major() >= 8 and not all(map(_waits_long_enough, hosts)):
                yield Warning(
                    f"The channel layer {alias!r} loses messages after {IDLE} idle seconds: that "
                    "is the default time-out of redis-py 8, and as long as the layer waits.",
                    hint='Write its hosts as [{"address": "redis://...", "socket_timeout": None}].',
                    id="sockets.W007",
                )


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
            "can fill the memory.",
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
    check_origins,
)
