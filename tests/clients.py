"""Talking to a handler in a test, without a server."""

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
