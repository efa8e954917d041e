"""Letting in, by the ticket in its first frame, a client that must log in."""

import asyncio
from typing import TYPE_CHECKING, Any

from .backlog import Event
from .exceptions import FrameTooLarge, InvalidFrame, LanesBusy
from .messages import Message, check_size
from .tokens import avalidate_websocket_token

if TYPE_CHECKING:
    from .socket import ClientSocket

FIRST_FRAME = 10.0
"""Seconds that a client who must log in has to send its first frame."""


def needs_ticket(socket: "ClientSocket") -> bool:
    """Whether the client is turned away unless its first frame is a ticket."""
    return (
        socket.login_required
        and "ticket" in socket.scope  # it came through TicketMiddleware
        and not socket.user.is_authenticated
        and not socket.refuse_at_handshake
    )


async def take_ticket(socket: "ClientSocket", receive: Any) -> Event | None:
    """Accept the client and log it in by the token in its first frame; what follows waits unread.

    One that sends anything else is told to log in, and closed. Returns None, or how the
    connection ended.
    """
    await receive()  # what asks for the connection
    socket._open_outbox()
    event = await _first_frame(receive)
    if event is not None and event["type"] == "websocket.disconnect":
        return event
    message = event and _read(socket, event)
    try:
        if message and await _redeem(socket, message):
            socket._answers.send(message, None, 204)
            return None
        socket._log_out()
    except LanesBusy as fault:
        socket._close(fault.close_code, fault.details)
    return {"type": "websocket.disconnect", "code": socket._closed}


async def _first_frame(receive: Any) -> Event | None:
    try:
        async with asyncio.timeout(FIRST_FRAME):
            return await receive()  # type: ignore[no-any-return]
    except TimeoutError:
        return None


async def _redeem(socket: "ClientSocket", message: Message) -> bool:
    valid = await avalidate_websocket_token(socket.scope, token=message.content["token"])
    socket.scope["ticket"] = valid
    return valid


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
