"""How clients speak to each peer; nothing here needs the peers' libraries."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from .peers import TEXT

REQUESTS = 256
"""How many messages are made beforehand, and sent again and again."""

Request = Callable[[str, int, dict[str, Any]], str]


def envelope(route: str, number: int, payload: dict[str, Any]) -> str:
    return json.dumps({"route": route, "id": number, "payload": payload})


@dataclass(frozen=True)
class Wire:
    request: Request = envelope
    path: str = "/ws/"
    fan_path: str = "/fan/"
    greeting: str | None = None
    """What a client sends when the first frame has come."""
    ready: str | None = None
    """How the frame begins that tells a client that it may send messages."""
    ping: str | None = None
    pong: str | None = None

    def requests(self, *routes: str) -> list[bytes]:
        """Messages to these routes in turn, numbered from 1."""
        numbers = range(1, max(REQUESTS, len(routes)) + 1)
        payloads = ((n, {"text": TEXT, "n": n}) for n in numbers)
        return [
            self.request(route, n, payload).encode()
            for route, (n, payload) in zip(cycle(routes), payloads, strict=False)
        ]


def ours(route: str, number: int, payload: dict[str, Any]) -> str:
    return json.dumps({"type": route, "ref": number, **payload})


def dcrf(route: str, number: int, payload: dict[str, Any]) -> str:
    return json.dumps({"action": route, "request_id": number, **payload})


def chanx(route: str, number: int, payload: dict[str, Any]) -> str:
    return json.dumps({"action": route, "ref": str(number), "payload": payload})


def observable(route: str, number: int, payload: dict[str, Any]) -> str:
    return json.dumps({"route": route, "uuid": number, "payload": payload})


def replykey(route: str, number: int, payload: dict[str, Any]) -> str:
    return json.dumps({"type": route, "reply_key": number, **payload})


def socketio(route: str, number: int, payload: dict[str, Any]) -> str:
    acknowledged = "" if route in ("cast", "burst") else number
    return f"42{acknowledged}{json.dumps([route, payload])}"


SOCKETIO_PATH = "/socket.io/?EIO=4&transport=websocket"
WIRES = {
    "raw_json": Wire(),
    "raw_msgspec": Wire(),
    "channels_async": Wire(),
    "channels_sync": Wire(),
    "dcrf": Wire(dcrf),
    "chanx": Wire(chanx),
    "observable_async": Wire(observable),
    "observable_sync": Wire(observable),
    "socketio": Wire(
        socketio,
        SOCKETIO_PATH,
        f"{SOCKETIO_PATH}&fan=1",
        greeting="40",
        ready="40",
        ping="2",
        pong="3",
    ),
    "ours": Wire(ours),
}
PROTOCOLS = {"dcrf": dcrf, "observable": observable, "replykey": replykey}
"""How clients speak to ours with another protocol."""

TITLES = {
    "raw_json": "raw ASGI, json",
    "raw_msgspec": "raw ASGI, msgspec",
    "channels_async": "Channels, async",
    "channels_sync": "Channels, sync",
    "dcrf": "DCRF",
    "chanx": "chanx",
    "observable_async": "observable-socket, async",
    "observable_sync": "observable-socket, sync",
    "socketio": "python-socketio",
    "ours": "**sockets**",
}


def wire_of(spec: str) -> Wire:
    """How clients speak to a peer: `ours:protocol=dcrf` as those of that protocol do."""
    peer, *options = spec.split(":")
    spoken = [option.partition("=")[2] for option in options if option.startswith("protocol=")]
    return Wire(PROTOCOLS.get(spoken[0], ours)) if spoken else WIRES[peer]


def title_of(spec: str) -> str:
    """A peer as people read it: `ours:layer=core` is "**sockets**, layer=core"."""
    peer, *options = spec.split(":")
    return ", ".join([TITLES[peer], *options])
