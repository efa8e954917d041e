"""python-socketio's asynchronous server: events with acknowledgements, and a room."""

import time

import socketio

from . import GROUP, NAP, ROUTES, work

server = socketio.AsyncServer(async_mode="asgi")


async def on_route(sid, payload):
    return work(payload)


for name in ROUTES:
    server.on(name, on_route)


@server.on("sync")
def on_sync(sid, payload):
    return work(payload)


@server.on("slow")
def on_slow(sid, payload):
    time.sleep(NAP)
    return work(payload)


@server.event
async def connect(sid, environ):
    if "fan=1" in environ["QUERY_STRING"]:
        await server.enter_room(sid, GROUP)


@server.on("cast")
async def on_cast(sid, payload):
    await server.emit("cast", payload, room=GROUP)


@server.on("burst")
async def on_burst(sid, payload):
    for _ in range(payload["n"]):
        await on_cast(sid, payload)


application = socketio.ASGIApp(server)
