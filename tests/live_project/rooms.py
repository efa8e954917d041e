"""Sockets in several processes, and how tests have everyone send to them."""

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.backends.signals import connection_created
from django.http import HttpResponse, JsonResponse
from django.views import View

from sockets import SocketRouter, groups
from sockets.models import Socket

Step = list[Any]
"""Whom to send to ("rows" or "group") and their ids or name, the method, what it is given by
position and by name; or "path", whose sockets the sending socket reaches."""

gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
"""Where connections wait, by the name that is in their path."""
statements: list[str] = []
"""The SQL of this process."""


def send_all(steps: list[Step], socket: Any = None) -> None:
    for step in steps:
        sending(step, socket)()


async def asend_all(steps: list[Step], socket: Any = None) -> None:
    for step in steps:
        await sending(step, socket, "a")()


def sending(step: Step, socket: Any, prefix: str = "") -> Callable[[], Any]:
    """What makes a send that a test describes; the prefix is that of asynchronous twins."""
    to, name, method, args, options = step
    if "exclude" in options:
        excluded = [socket if id == "me" else UUID(id) for id in options["exclude"]]
        options = {**options, "exclude": excluded}
    match to:
        case "rows":
            send = getattr(Socket.objects.filter(pk__in=name), prefix + method)
        case "group":
            send = partial(getattr(groups, prefix + method), name)
        case _:
            send = getattr(socket, method)
    return partial(send, *args, **options)


def send_from_view(request):
    send_all(json.loads(request.body))
    return HttpResponse("Sent.")


async def send_from_async_view(request):
    await asend_all(json.loads(request.body))
    return HttpResponse("Sent.")


def on_connect(socket, session, scope):
    if scope["query_string"] == b"ended":
        session.delete()


class Room(View):
    socket = SocketRouter()
    socket.connect(on_connect)

    @socket.route("WHO")
    async def on_who(socket):
        return {"id": str(socket.id), "process": os.getpid(), "user": socket.user.username}

    @socket.route("ECHO")
    def on_echo(socket, user, session, *, text: str):
        return [text, user.username, session.get("visits")]

    @socket.route("ECHO_ASYNC")
    async def on_echo_async(socket, user, session, *, text: str):
        return [text, user.username, session.get("visits")]

    @socket.route("SEND")
    def on_send(socket, *, steps: list[Step]):
        send_all(steps, socket)

    @socket.route("SEND_ASYNC")
    async def on_send_async(socket, *, steps: list[Step]):
        await asend_all(steps, socket)

    @socket.route("BURST")
    def on_burst(socket, *, steps: list[Step], times: int):
        for number in range(times):
            send_all(numbered(steps, number), socket)

    @socket.route("BURST_ASYNC")
    async def on_burst_async(socket, *, steps: list[Step], times: int):
        for number in range(times):
            await asend_all(numbered(steps, number), socket)

    @socket.route("ENTER")
    def on_enter(socket, *, group: str):
        socket.join(group)

    @socket.group(r"room-(?P<number>\d+)$")
    def on_join(socket, number):
        return {"number": number}


def numbered(steps: list[Step], number: int) -> list[Step]:
    """The same steps, with the number as the content that they send."""
    return [[to, name, method, [number], options] for to, name, method, _, options in steps]


class Members(View):
    socket = SocketRouter(Room.socket.Handler, login_required=True)


class Untracked(View):
    socket = SocketRouter(Room.socket.Handler, tracked=False)


class Gated(View):
    """Holds its connections in their connect hook."""

    socket = SocketRouter(Room.socket.Handler)

    @socket.connect
    async def wait(socket, name):
        await gates[name].wait()


class HeldHandler(Room.socket.Handler):
    async def __call__(self, scope, receive, send):
        await gates[scope["url_route"]["kwargs"]["name"]].wait()
        await super().__call__(scope, receive, send)


class Held(View):
    """Holds its connections after their session and user were read, before anything else."""

    socket = SocketRouter(HeldHandler)


async def show_gates(request):
    return JsonResponse({"gates": list(gates)})


async def open_gate(request, name):
    gates[name].set()
    return HttpResponse("Open.")


def visit(request):
    """Have a session."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse("Welcome.")


def end(request, what):
    """End the request's session, or its user, in another way than by a logout."""
    if what == "session":
        Session.objects.get(session_key=request.session.session_key).delete()
        return HttpResponse("Ended.")
    user = User.objects.get(pk=request.user.pk)
    if what == "user":
        user.delete()
    else:
        user.is_active = False
        user.save()
    return HttpResponse("Ended.")


def show_rows(request):
    """What the database says of the sockets, and who of them is online."""
    online = set(Socket.objects.online().values_list("pk", flat=True))
    fields = ("id", "path", "process", "session_key", "user", "active")
    rows = [{**row, "online": row["id"] in online} for row in Socket.objects.values(*fields)]
    return JsonResponse({"rows": rows, "database": connection.vendor})


async def show_statements(request):
    return JsonResponse({"statements": statements})


def remember(execute, sql, params, many, context):
    statements.append(sql)
    return execute(sql, params, many, context)


def watch_statements(connection, **kwargs):
    connection.execute_wrappers.append(remember)


connection_created.connect(watch_statements, dispatch_uid="live_project")
