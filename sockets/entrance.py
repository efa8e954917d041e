"""Letting in, by the ticket in its first frame, a client that must log in."""

import asyncio
from typing import TYPE_CHECKING, Any

from .backlog import Event
from .exceptions import FrameTooLarge, InvalidFrame
from .messages import Message, check_size
from .tokens import avalidate_websocket_token

if TYPE_CHECKING:
    from .socket import ClientSocket

FIRST_FRAME = 10.0
"""Seconds that a client who must log in has to send its first frame."""


async def take_ticket(socket: "ClientSocket", receive: Any) -> Event | None:
    """Accept the client and look for a token in its first frame; what follows is not read yet.

    Whether it is logged in then, the scope's user tells. Returns the event of a client that
    left instead.
    """
    await receive()  # what asks for the connection
    socket._open_outbox()
    try:
        async with asyncio.timeout(FIRST_FRAME):
            event: Event = await receive()
    except TimeoutError:
        return None
    if event["type"] == "websocket.disconnect":
        return event
    message = _read(socket, event)
    if message is not None:
        token = message.content["token"]
        socket.scope["ticket"] = await avalidate_websocket_token(socket.scope, token=token)
        if socket.scope["ticket"]:
            socket._answers.send(message, None, 204)
    return None


def _read(socket: "ClientSocket", event: Event) -> Message | None:
    """The message TICKET with a token; None where the frame is anything else."""
    frame = event.get("text") or event.get("bytes") or ""
    try:
        check_size(frame, socket.max_frame_bytes)
        message = socket._protocol.decode(frame)
    except (InvalidFrame, FrameTooLarge):
        return None
    if not isinstance(message, Message) or message.key != socket._protocol.key("on_ticket"):
        return None
    content = message.content
    # A token that is null would mean the one of the handshake.
    return message if isinstance(content, dict) and content.get("token") is not None else None
