"""Sockets for clients of ObservableSocket."""

import asyncio
import time

from django.contrib.auth.models import Group
from django.views import View

from sockets import SocketRouter
from sockets.compat.observable import SocketRouterConsumer, StatusCodes
from sockets.protocols.observable import Observable


class Teams(SocketRouterConsumer):
    routes = (
        {"route": "sayHello"},
        {
            "route": "createTeam",
            "hydrate": lambda headers, p: Group.objects.create(name=p["name"]),
            "dehydrate": lambda team: {"name": team.name},
        },
        {"route": "getTeam", "check_access": lambda scope: scope["user"].is_authenticated},
        {"route": "fail"},
        {"route": "sleep"},
        {"route": "sleepAsync"},
        {"route": "missing"},
    )

    def on_say_hello(self, payload, headers):
        name = (payload or {}).get("name", "World")
        return {"status": StatusCodes.OK, "payload": f"Hello, {name}!"}

    def on_create_team(self, payload, headers):
        return {"status": 201, "payload": payload}

    def on_get_team(self, arg):
        return {"payload": arg.payload}

    def on_fail(self, arg):
        raise RuntimeError("expected no traceback in a reply")

    def on_sleep(self, arg):
        time.sleep(arg.payload)
        return {}

    async def on_sleep_async(self, arg):
        await asyncio.sleep(arg.payload)
        return {}


class Observed(View):
    socket = SocketRouter(Teams)

    @socket.route
    async def on_count_down(socket, payload):
        for number in range(payload, 0, -1):
            yield number

    @socket.route
    def on_tell_all(socket, payload):
        socket.broadcast_action("told", text=payload)


class ObservedMembers(View):
    socket = SocketRouter(protocols=(Observable(),), login_required=True)
