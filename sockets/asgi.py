"""Mounting handlers at their views' own URLs."""

from collections.abc import Awaitable, Callable
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application as get_django_application
from django.http import Http404
from django.urls import resolve

from .hub import connection
from .outbox import Send
from .router import SocketRouter
from .scope import Scope

Application = Callable[[Scope, Any, Send], Awaitable[None]]


def get_asgi_application() -> Application:
    """The project's ASGI application: Django's for HTTP, each view's Handler for WebSockets.

    A socket is wherever the page of its view is, with the page's session and user. The origin
    of a handshake must be one of `ALLOWED_HOSTS`; clients that are no browsers send none.
    """
    http = get_django_application()
    websocket = WebSockets(AuthMiddlewareStack(serve_view))
    return ProtocolTypeRouter(  # type: ignore[no-any-return]
        {"http": http, "websocket": websocket, "lifespan": serve_lifespan}
    )


class WebSockets:
    """An application behind an origin check, its synchronous calls on the connection's lane."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.checked: Application = AllowedHostsOriginValidator(application)

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        # Browsers send the origin of the page with every handshake, and with it the cookies
        # that another site's page must not use. Without an origin there is no such page.
        from_page = any(name == b"origin" for name, _ in scope["headers"])
        async with connection():
            await (self.checked if from_page else self.application)(scope, receive, send)


async def serve_lifespan(scope: Scope, receive: Any, send: Send) -> None:
    """Tell the server that there is nothing to start or to stop."""
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return


async def serve_view(scope: Scope, receive: Any, send: Send) -> None:
    """Hand the connection to the Handler of the view at its path, or refuse it."""
    try:
        match = resolve(scope["path"])
    except Http404:
        match = None
    view_class = getattr(match and match.func, "view_class", None)
    router = find_router(view_class)
    if match is None or router is None:
        await send({"type": "websocket.close", "code": 4404})
        return
    scope = {
        **scope,
        "url_route": {"args": match.args, "kwargs": match.kwargs},
        "view_initkwargs": getattr(match.func, "view_initkwargs", {}),
    }
    await router.Handler.as_asgi()(scope, receive, send)


def find_router(view_class: type | None) -> SocketRouter | None:
    """The router of a view class, under whatever name it has one."""
    for owner in getattr(view_class, "__mro__", ()):
        for name, value in vars(owner).items():
            if isinstance(value, SocketRouter):
                return getattr(view_class, name)  # type: ignore[no-any-return]
    return None
