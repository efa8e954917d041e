"""django-observable-socket's asynchronous router consumer."""

import time

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from django_observable_socket import AsyncSocketRouterConsumer

from ..project.mounting import mount
from . import NAP, ROUTES, work


async def on_route(self, data):
    return {"status": 200, "payload": work(data.payload)}


async def on_sync(self, data):
    return {"status": 200, "payload": await sync_to_async(work)(data.payload)}


async def on_slow(self, data):
    await sync_to_async(time.sleep)(NAP)
    return {"status": 200, "payload": work(data.payload)}


def with_user(application):
    """The consumer asks for the user when a client connects; this one needs no session."""

    async def serve(scope, receive, send):
        scope.setdefault("user", AnonymousUser())
        await application(scope, receive, send)

    return serve


def consumer(base, functions):
    """A subclass with a method and an entry in `_routes` for each of these functions."""
    methods = {f"on_{name}": function for name, function in functions.items()}
    return type("Echo", (base,), {**methods, "_routes": [{"route": name} for name in functions]})


functions = {**dict.fromkeys(ROUTES, on_route), "sync": on_sync, "slow": on_slow}
application = mount(ws=with_user(consumer(AsyncSocketRouterConsumer, functions).as_asgi()))
