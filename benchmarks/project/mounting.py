"""Where the consumers of all peers are."""

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from ..peers import option


def mount(**consumers):
    """The application with each consumer at the path of its name; `session` brings the user."""
    router = URLRouter([path(f"{name}/", consumer) for name, consumer in consumers.items()])
    websocket = AuthMiddlewareStack(router) if option("session") else router
    return ProtocolTypeRouter({"websocket": websocket})
