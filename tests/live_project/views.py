"""Sockets that do what the tests of real servers need, and views that look into the process."""

import asyncio
import gc
import threading
import time

from asgiref.sync import SyncToAsync
from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, JsonResponse
from django.views import View

from sockets import RoutedSocketHandler, SocketRouter, groups
from sockets.hub import Hub

PADDING = "x" * 100_000

ended: list[str] = []
"""Tokens of the messages and connections whose `finally` ran."""
sent: dict[str, int] = {}
"""Chunks that a flood has got rid of, by its token."""


class Bench(View):
    socket = SocketRouter()

    @socket.route("ECHO")
    def on_echo(socket, content):
        return content["text"]

    @socket.route("ECHO_ASYNC")
    async def on_echo_async(socket, content):
        return content["text"]

    @socket.route("WAIT")
    async def on_wait(socket, *, token: str):
        socket.send_action("WAITING")
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(token)

    @socket.route("WAIT_BRIEFLY", timeout=0.3)
    async def on_wait_briefly(socket, *, token: str):
        await Bench.on_wait(socket, token=token)

    @socket.route("QUERY_AND_WAIT")
    async def on_query_and_wait(socket):
        socket.send_action("WAITING", users=await User.objects.acount())
        await asyncio.sleep(60)

    @socket.route("BLOCK")
    def on_block(socket):
        time.sleep(0.1)
        return "done"

    @socket.route("FAIL")
    def on_fail(socket):
        raise RuntimeError("a fault that nobody foresaw")

    @socket.route("ASK")
    def on_ask(socket):
        return {"answer": socket.call("QUESTION", {"number": 1})}

    @socket.route("ASK_ASYNC")
    async def on_ask_async(socket):
        return {"answer": await socket.call("QUESTION", {"number": 1})}

    @socket.route("COUNT")
    def on_count(socket, *, token: str, to: int):
        try:
            yield from range(to)
        finally:
            ended.append(token)

    @socket.route("COUNT_ASYNC")
    async def on_count_async(socket, *, token: str, to: int):
        try:
            for number in range(to):
                yield number
                await asyncio.sleep(0.01)
        finally:
            ended.append(token)

    @socket.route("CLOSE")
    def on_close(socket, *, code: int):
        socket.close(code)

    @socket.route("FLOOD")
    async def on_flood(socket, *, token: str, chunks: int):
        for number in range(chunks):
            socket.send_json({"number": number, "padding": PADDING})
        sent[token] = chunks

    @socket.route("POUR")
    async def on_pour(socket, *, token: str, chunks: int):
        try:
            for number in range(chunks):
                await socket.send_json({"number": number, "padding": PADDING})
                sent[token] = number + 1
        finally:
            ended.append(token)

    @socket.route("POUR_SYNC")
    def on_pour_sync(socket, *, token: str, chunks: int):
        try:
            for number in range(chunks):
                socket.send_json({"number": number, "padding": PADDING})
                sent[token] = number + 1
        finally:
            ended.append(token)

    @socket.route("STREAM", timeout=None)
    async def on_stream(socket, *, token: str, chunks: int):
        try:
            for number in range(chunks):
                sent[token] = number
                yield {"number": number, "padding": PADDING}
        finally:
            ended.append(token)

    @socket.route("STREAM_SYNC", timeout=None)
    def on_stream_sync(socket, *, token: str, chunks: int):
        try:
            for number in range(chunks):
                sent[token] = number
                yield {"number": number, "padding": PADDING}
        finally:
            ended.append(token)


class Crowd(View):
    """Is sent broadcasts of 100 kB by any of its clients."""

    socket = SocketRouter(Bench.socket.Handler)

    @socket.connect
    async def on_open(socket):
        socket.join("crowd")

    @socket.disconnect
    async def on_close(socket, code):
        ended.append(f"{socket.path} {code}")

    @socket.route("CAST")
    async def on_cast(socket, *, first: int, chunks: int):
        for number in range(first, first + chunks):
            await groups.asend_json("crowd", {"number": number, "padding": PADDING})


class PatientCrowd(View):
    socket = SocketRouter(Crowd.socket.Handler, slow_client="drop")


class Roomy(View):
    socket = SocketRouter(Bench.socket.Handler, max_frame_bytes=1_000_000)


class Strict(View):
    socket = SocketRouter(max_strikes=3)


class Greeter(View):
    """Asks its clients for their name before it lets them in."""

    socket = SocketRouter()

    @socket.connect
    def on_connect(socket):
        socket.state.first = socket.call("FIRST_NAME")

    @socket.connect
    async def on_connect_async(socket):
        last = await socket.call("LAST_NAME")
        await socket.send_action("WELCOME", name=f"{socket.state.first} {last}")


class Slow(View):
    socket = SocketRouter()

    @socket.connect
    async def on_connect(socket, scope):
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(scope["query_string"].decode())


def refuse(socket):
    raise PermissionDenied("Not today.")


class Forbidden(View):
    socket = SocketRouter()
    socket.connect(refuse)


class ForbiddenAtHandshake(View):
    socket = SocketRouter(refuse_at_handshake=True)
    socket.connect(refuse)


def on_who(socket, user):
    return user.username


class Members(View):
    socket = SocketRouter(login_required=True)
    socket.route("WHO")(on_who)


class MembersAtHandshake(View):
    socket = SocketRouter(login_required=True, refuse_at_handshake=True)
    socket.route("WHO")(on_who)


def log_in(request):
    """Log in as the user `name`, who is made if there is none."""
    user, _ = User.objects.get_or_create(username=request.GET["name"])
    login(request, user)
    return HttpResponse("Welcome.")


def log_out(request):
    logout(request)
    return HttpResponse("Farewell.")


async def show_load(request):
    """What of connections is alive in this process."""
    gc.collect()
    kinds = [type(thing) for thing in gc.get_objects()]
    return JsonResponse(
        {
            "tasks": len(asyncio.all_tasks()),
            "threads": sum(t.name.startswith("sockets-lane") for t in threading.enumerate()),
            "handlers": sum(issubclass(kind, RoutedSocketHandler) for kind in kinds),
            "hubs": len(Hub._by_loop),
            "contexts": len(SyncToAsync.context_to_thread_executor),
        }
    )


async def show_records(request):
    return JsonResponse({"ended": ended, "sent": sent})
