"""Mounting handlers at their views' own URLs."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.apps import apps
from django.conf import settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.core.asgi import get_asgi_application as get_django_application
from django.http import Http404
from django.urls import ResolverMatch, URLPattern, re_path, resolve
from django.utils import translation

from .brokers import make_broker
from .exceptions import DeclarationError
from .hub import connection
from .mounts import find_router
from .router import SocketRouter
from .scope import Scope
from .tokens import TicketMiddleware
from .writer import Send

Application = Callable[[Scope, Any, Send], Awaitable[None]]


def get_asgi_application(
    websocket_urlpatterns: Sequence[URLPattern] = (),
    *,
    tickets: bool = False,
    origins: Sequence[str] = (),
) -> Application:
    """The project's ASGI application: Django's for HTTP, each view's Handler for WebSockets.

    A socket is wherever the page of its view is, with the page's session and user.
    `websocket_urlpatterns` mounts consumers that stand on no view; they are tried first. The
    origin of a handshake must be one of `ALLOWED_HOSTS` or of `origins`, which are written as
    "https://app.example.com"; clients that are no browsers send none. With `tickets`, tokens of
    `sockets.tokens` are taken everywhere.
    """
    if isinstance(origins, str):
        raise DeclarationError(f"expected a list of origins, got {origins!r}; write [{origins!r}]")
    http = get_django_application()
    if not apps.is_installed("sockets"):
        raise DeclarationError("expected 'sockets' in INSTALLED_APPS; add it, and migrate")
    make_broker()  # servers run no checks: a setting that cannot work shows here
    routed: Application = URLRouter([*websocket_urlpatterns, *socket_urlpatterns()])
    if tickets:
        routed = TicketMiddleware(routed)
    websocket = WebSockets(AuthMiddlewareStack(routed), origins)
    return ProtocolTypeRouter(  # type: ignore[no-any-return]
        {"http": http, "websocket": websocket, "lifespan": serve_lifespan}
    )


def socket_urlpatterns() -> list[URLPattern]:
    """The sockets of all views, as patterns to put last in a `URLRouter` of your own.

    They take every path that is left, and refuse those that lead to no socket.
    """
    return [re_path("", serve_view)]  # type: ignore[arg-type]


class WebSockets:
    """An application behind an origin check, its synchronous calls on the connection's lane."""

    def __init__(self, application: Application, origins: Sequence[str]) -> None:
        self.application = application
        self.checked = AllowedHostsOriginValidator(application)
        self.checked.allowed_origins = [*self.checked.allowed_origins, *origins]

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        # Browsers send the origin of the page with every handshake, and with it the cookies
        # that another site's page must not use. Without an origin there is no such page.
        root = scope.get("root_path", "").rstrip("/")
        if not scope["path"].startswith(f"{root}/"):
            scope = {**scope, "path": root + scope["path"]}  # daphne leaves the prefix out
        from_page = any(name == b"origin" for name, _ in scope["headers"])
        async with connection():
            await (self.checked if from_page else self.application)(scope, receive, send)


async def serve_view(scope: Scope, receive: Any, send: Send) -> None:
    """Hand the connection to the Handler of the view at its path, or refuse it.

    The path is resolved as a page's: without the script prefix, in the language of its prefix.
    """
    prefix = (settings.FORCE_SCRIPT_NAME or scope.get("root_path", "")).rstrip("/")
    path = scope["path"]
    if path.startswith(f"{prefix}/"):
        path = path.removeprefix(prefix)
    prefixed = settings.USE_I18N and is_language_prefix_patterns_used(settings.ROOT_URLCONF)[0]
    language = translation.get_language_from_path(path) if prefixed else None
    with translation.override(language) if language else nullcontext():
        # The client of django-channels-router puts a slash behind the path of any page.
        found = find_socket(path) or find_socket(path.removesuffix("/"))
        if found is None:
            await send({"type": "websocket.close", "code": 1000})
            return
        match, router = found
        scope = {
            **scope,
            "url_route": {"args": match.args, "kwargs": match.kwargs},
            "view_initkwargs": getattr(match.func, "view_initkwargs", {}),
        }
        await router.Handler()(scope, receive, send)


def find_socket(path: str) -> tuple[ResolverMatch, SocketRouter] | None:
    """What a path resolves to, and the router of its view; None where either is missing."""
    try:
        match = resolve(path)
    except Http404:
        return None
    router = find_router(getattr(match.func, "view_class", None))
    return None if router is None else (match, router)


async def serve_lifespan(scope: Scope, receive: Any, send: Send) -> None:
    """Tell the server that there is nothing to start or to stop."""
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return
