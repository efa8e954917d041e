"""The routes that every client may count on; a user's own with the same key wins."""

import time
from dataclasses import replace
from typing import Any

from .messages import Message
from .routes import Route


def on_hello(socket: Any) -> None:
    socket.send_action(
        "GOT_HELLO",
        user_id=socket.user.pk if socket.user.is_authenticated else None,
        path=socket.path,
        TIMESTAMP=timestamp(),
    )


def on_time_sync(socket: Any) -> None:
    socket.send_action("TIME_SYNC", TIMESTAMP=timestamp())


def on_ping(socket: Any, message: Message) -> None:
    """Stay silent: a PING is the client's answer to ours, and an echo would go on for ever."""


def on_cancel(socket: Any, message: Message) -> None:
    socket._cancel(message.ref)


def timestamp() -> str:
    """Milliseconds since the epoch, as the text that native clients set their clock by."""
    return str(time.time() * 1000)


BUILT_IN = (
    Route.of(("HELLO",), on_hello),
    Route.of(("TIME_SYNC",), on_time_sync),
    replace(Route.of(("PING",), on_ping), at_once=True),
    replace(Route.of(("CANCEL",), on_cancel), at_once=True),
)
