"""Talking to a handler in a test, without a server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from channels.testing import WebsocketCommunicator


class Client(WebsocketCommunicator):  # type: ignore[misc]
    """A communicator with the words of this suite."""

    async def ask(self, message: Any) -> Any:
        """Send a message and return the next frame."""
        await self.send_json_to(message)
        return await self.receive_json_from()

    async def next_close(self) -> int:
        """The code of the close that must be the next event."""
        event = await self.receive_output()
        assert event["type"] == "websocket.close", event
        return event["code"]


@asynccontextmanager
async def client_of(handler: Any, path: str = "/", **scope: Any) -> AsyncIterator[Client]:
    """A client connected to a handler class (or the Handler of a router), and gone at the end.

    Keyword arguments are added to the ASGI scope.
    """
    handler = getattr(handler, "Handler", handler)
    client = Client(handler.as_asgi(), path)
    client.scope.update(scope)
    connected, _ = await client.connect()
    assert connected
    try:
        yield client
    finally:
        await client.disconnect()


async def frames_of(client: Client) -> list[Any]:
    """What the client of a handler with a route NOW was sent until now."""
    await client.send_json_to({"type": "NOW", "ref": "now"})
    frames = []
    while True:
        frame = await client.receive_json_from()
        if isinstance(frame, dict) and frame.get("ref") == "now":
            return frames
        frames.append(frame)


class Server:
    """A server that drives one handler with all that it may do to it, and nothing else.

    Frames that wait already are received without a wait, as real servers do it. What
    `put_in` holds was sent by the client, and `sent` by the handler. An exception class among
    the events is raised.
    """

    def __init__(self, handler: Any, **scope: Any) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.events.put_nowait({"type": "websocket.connect"})
        self.put_in: list[Any] = []
        self.sent: list[dict[str, Any]] = []
        scope = {"type": "websocket", "path": "/", "headers": [], **scope}
        self.application = asyncio.create_task(handler(scope, self.receive, self.send))

    async def receive(self) -> Any:
        event = await self.events.get()
        if not isinstance(event, dict):
            raise event
        return event

    async def send(self, event: dict[str, Any]) -> None:
        self.sent.append(event)

    def put(self, *frames: Any) -> None:
        """Have the client send these frames, all at once."""
        for frame in frames:
            self.put_in.append(frame)
            self.events.put_nowait({"type": "websocket.receive", "text": json.dumps(frame)})

    def leave(self, code: int = 1001) -> None:
        """Have the client go."""
        self.events.put_nowait({"type": "websocket.disconnect", "code": code})

    @property
    def frames(self) -> list[Any]:
        """What the client was sent."""
        return [json.loads(event["text"]) for event in self.sent if "text" in event]

    @property
    def close_code(self) -> int | None:
        return next((event["code"] for event in self.sent if "code" in event), None)
