"""This package: a view with a router.

Without the option `session` its handlers are mounted as other peers' consumers are, with it as
projects do. `protocol` is the wire that it speaks, such as `dcrf`. More options: `rows`, `fields`
(checked by annotations), `typed` (content as a Struct), how many more `routes` and `regexes` there
are, and how many `groups` each member is in besides.
"""

import re
import time

import msgspec
from django.urls import path
from django.utils.module_loading import import_string
from django.views import View

from sockets import SocketRouter, groups
from sockets.brokers import make_broker
from sockets.hub import Hub
from sockets.models import Socket

from ..project.mounting import mount
from . import GROUP, NAP, ROUTES, option, work


class Payload(msgspec.Struct):
    text: str
    n: int


PROTOCOLS = {
    "native": "sockets.protocols.native.Native",
    "observable": "sockets.protocols.observable.Observable",
    "dcrf": "sockets.protocols.dcrf.DCRF",
    "replykey": "sockets.protocols.replykey.ReplyKey",
    "original": "sockets.compat.original.Original",
}
"""Where each is, to be imported by who speaks it only."""


class Echo(View):
    socket = SocketRouter(
        tracked=bool(option("rows")),
        protocols=(import_string(PROTOCOLS[option("protocol", "native")])(),),
    )

    for number in range(int(option("regexes", "0"))):

        @socket.route(re.compile(rf"x{number}_(?P<number>\d+)$"))
        async def on_regex(socket, content, number):
            return work(content)

    for number in range(int(option("routes", "0"))):

        @socket.route(f"s{number}")
        async def on_string(socket, content):
            return work(content)

    @socket.route(*ROUTES)
    async def on_route(socket, content):
        return work(content)

    if option("fields"):

        @socket.route(*ROUTES)
        async def on_fields(socket, *, text: str, n: int):
            return {"text": text, "n": n + 1}

    if option("typed"):

        @socket.route(*ROUTES)
        async def on_typed(socket, content: Payload):
            return {"text": content.text, "n": content.n + 1}

    @socket.route("sync")
    def on_sync(socket, content):
        return work(content)

    @socket.route("slow")
    def on_slow(socket, content):
        time.sleep(NAP)
        return work(content)

    @socket.route("cast")
    async def on_cast(socket, content):
        await groups.asend_json(GROUP, work(content))

    @socket.route("burst")
    async def on_burst(socket, content):
        for _ in range(content["n"]):
            await groups.asend_json(GROUP, work(content))

    @socket.route("tell")
    async def on_tell(socket, content):
        others = Socket.objects.filter(path=socket.path)
        await others.asend_json(work(content), exclude=socket)
        return work(content)

    @socket.route("missed")
    async def on_missed(socket):
        return sum(hub._broker.missed for hub in Hub.all())


class Fan(View):
    socket = SocketRouter(Echo.socket.Handler)

    @socket.connect
    async def on_connect(socket):
        await socket.join(GROUP)
        for number in range(int(option("groups", "0"))):
            await socket.join(f"{socket.id}-{number}")


urlpatterns = [path("ws/", Echo.as_view()), path("fan/", Fan.as_view())]

make_broker()  # one that cannot work shows now, not with the first client
if option("session"):
    from sockets.asgi import get_asgi_application

    application = get_asgi_application()
else:
    application = mount(ws=Echo.socket.Handler.as_asgi(), fan=Fan.socket.Handler.as_asgi())
