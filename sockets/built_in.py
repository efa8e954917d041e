"""The routes that every client may count on; a user's own with the same key wins."""

import time
from typing import Any

from msgspec.structs import replace

from .exceptions import SocketError, TooManyMessages
from .messages import Message, answer_of
from .routes import Route


def on_hello(socket: Any) -> None:
    greet(socket)


def greet(socket: Any, **fields: Any) -> None:
    """Send GOT_HELLO, with more fields where there are any, to a client that answers PING."""
    if socket._declared.hears_ping:
        socket._member.rely_on_answers()
    socket.send_action(
        "GOT_HELLO",
        user_id=getattr(socket.user, "pk", None) if socket.user.is_authenticated else None,
        path=socket.path,
        TIMESTAMP=timestamp(),
        **fields,
    )


def on_time_sync(socket: Any, message: Message) -> None:
    """Tell the time at once: clients take what it waits for the network's delay."""
    socket.send_action("TIME_SYNC", TIMESTAMP=timestamp())
    socket._answers.end(message, socket._protocol.reply(message, None, 204, None))
    socket._outbox.check()


def on_ping(socket: Any, message: Message) -> None:
    """Stay silent: a PING is the client's answer to ours, and an echo would go on for ever."""
    socket._member.answer()


def on_cancel(socket: Any, message: Message) -> None:
    socket._cancel(message.ref)


async def on_join(socket: Any, message: Message, *, group: str) -> Any:
    """Put the client in a group that a rule allows; what the rule returns is the answer."""
    if group not in socket.joined and len(socket.joined) >= socket.max_groups:
        raise TooManyMessages(f"expected at most {socket.max_groups} groups; leave one first.")
    answer = await _rule_of(socket, message, group).call(socket, message)
    if answer is False:
        raise SocketError("You may not join this group.", status=403)
    answer = None if answer is True else answer
    if answer_of(answer)[1] < 400:
        socket.join(group)
    return answer


async def on_leave(socket: Any, message: Message, *, group: str) -> None:
    """Take the client out of a group that it may have joined."""
    _rule_of(socket, message, group)
    socket.leave(group)


def _rule_of(socket: Any, message: Message, group: str) -> Route:
    rules = socket._declared.group_rules
    found = rules.find(group)
    if found is None:
        raise SocketError("You may not join this group.", status=403)
    rule: Route
    rule, message.groups = found
    return rule


def timestamp() -> str:
    """Milliseconds since the epoch, as the text that native clients set their clock by."""
    return str(time.time_ns() // 1_000_000)


BUILT_IN = (
    Route.of(("HELLO",), on_hello),
    replace(Route.of(("TIME_SYNC",), on_time_sync), at_once=True),
    Route.of(("JOIN",), on_join),
    Route.of(("LEAVE",), on_leave),
    replace(Route.of(("PING",), on_ping), at_once=True),
    replace(Route.of(("CANCEL",), on_cancel), at_once=True),
)
