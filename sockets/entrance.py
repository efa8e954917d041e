"""Letting a client in, or turning it away: logins and tickets, guards, connect hooks."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from .backlog import Event
from .exceptions import FrameTooLarge, InvalidFrame, LanesBusy, LoginRequired, TimedOut
from .faults import error_of
from .layers import LayerEvents
from .messages import Message, check_size
from .tokens import avalidate_websocket_token

if TYPE_CHECKING:
    from .handlers import RoutedSocketHandler

logger = logging.getLogger("sockets")

HANDSHAKE = 15.0
"""Seconds that the connect hooks have together."""
FIRST_FRAME = 10.0
"""Seconds that a client who must log in has to send its first frame."""


async def let_in(socket: "RoutedSocketHandler") -> bool:
    """Accept the client after all that may refuse it. Returns whether its messages are handled."""
    limit = asyncio.timeout(None if socket._declared.opens_at_once else HANDSHAKE)
    try:
        async with limit:
            _check_login(socket)
            if not socket._member.enter():
                socket._log_out()
                return False
            if socket._declared.admit is not None:
                await socket._declared.admit(socket, Message(None, None))
                if socket._closed is not None:
                    return False
            await _join_layer(socket)
            socket._hooked = True
            for hook in socket._declared.connect_hooks:
                await hook(socket, {"type": "websocket.connect"})
                if socket._closed is not None:
                    return False
            await socket._save_session()
            await socket._accept()
            return socket._closed is None
    except BaseException as fault:
        if socket._is_ending(fault):
            raise
        late = limit.expired()
        _turn_away(socket, TimedOut("The handshake took too long.") if late else fault)
        return False


def _check_login(socket: "RoutedSocketHandler") -> None:
    if socket.login_required and not socket.user.is_authenticated:
        if "user" not in socket.scope:
            logger.error(
                "%s.login_required: expected the scope to have a user; mount it with "
                "sockets.asgi.get_asgi_application() or inside AuthMiddlewareStack.",
                type(socket).__qualname__,
            )
        raise LoginRequired


async def _join_layer(socket: "RoutedSocketHandler") -> None:
    if socket._declared.uses_layer:
        socket._layer = layer = LayerEvents(socket.channel_layer_alias)
        await layer.begin(socket._declared, socket._post_event)
        socket.channel_layer, socket.channel_name = layer.layer, layer.channel_name


def _turn_away(socket: "RoutedSocketHandler", fault: BaseException) -> None:
    error = error_of(fault, f"A connect hook of {socket._where()}")
    if socket._closed is not None:
        return  # the hook had closed, or the client is gone
    socket._outbox.drop_waiting()
    socket._member.leave()
    if isinstance(error, LoginRequired) and not (socket._refuses_at_handshake or socket._accepted):
        socket._open_outbox()
        socket._unheard = True  # whatever comes first logs out
        patience = 0.0 if socket._mailbox.waiting else FIRST_FRAME
        socket._patience = socket._loop.call_later(patience, socket._log_out)
    else:
        socket._close(error.close_code, error.details)


def needs_ticket(socket: "RoutedSocketHandler") -> bool:
    """Whether the client is turned away unless its first frame is a ticket."""
    return (
        socket.login_required
        and "ticket" in socket.scope  # it came through TicketMiddleware
        and not socket.user.is_authenticated
        and not socket._refuses_at_handshake
    )


async def take_ticket(socket: "RoutedSocketHandler", receive: Any) -> Event | None:
    """Accept the client and log it in by the token in its first frame; what follows waits unread.

    One that sends anything else is told to log in, and closed. Returns None, or how the
    connection ended.
    """
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


async def _redeem(socket: "RoutedSocketHandler", message: Message) -> bool:
    valid = await avalidate_websocket_token(socket.scope, token=message.content["token"])
    socket.scope["ticket"] = valid
    return valid


def _read(socket: "RoutedSocketHandler", event: Event) -> Message | None:
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
