"""The limit: a bare ASGI loop that knows the types of all it reads, and a set of members."""

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from . import ROUTES


class Payload(Struct):
    text: str
    n: int


class Request(Struct):
    route: str
    id: int
    payload: Payload


class Reply(Struct):
    id: int
    payload: Payload


decode, encode = Decoder(Request).decode, Encoder().encode
members = set()


async def handle(payload):
    return Payload(payload.text, payload.n + 1)


async def cast(payload):
    event = {"type": "websocket.send", "text": encode(payload).decode()}
    for send in tuple(members):
        await send(event)


async def burst(payload):
    for _ in range(payload.n):
        await cast(payload)


routes = {**dict.fromkeys(ROUTES, handle), "cast": cast, "burst": burst}


async def application(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/fan/":
        members.add(send)
    try:
        while (event := await receive())["type"] != "websocket.disconnect":
            request = decode(event["text"])
            payload = await routes[request.route](request.payload)
            if payload is not None:
                text = encode(Reply(request.id, payload)).decode()
                await send({"type": "websocket.send", "text": text})
    finally:
        members.discard(send)
