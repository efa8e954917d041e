"""A bare ASGI loop: the standard library's json, a dict of routes."""

import json

from . import ROUTES, work


async def handle(payload):
    return work(payload)


routes = dict.fromkeys(ROUTES, handle)


async def application(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] != "websocket.disconnect":
        request = json.loads(event["text"])
        payload = await routes[request["route"]](request["payload"])
        text = json.dumps({"id": request["id"], "payload": payload})
        await send({"type": "websocket.send", "text": text})
