"""Named groups of connections, and sending to them from anywhere.

Whoever called `socket.join(name)` is in the group, in whatever process. Any string is a name.
These groups have nothing to do with those of the channel layer.

Inside `transaction.atomic()` a synchronous send goes out on commit, with `immediate=True` at
once. `exclude` takes a handler, a row, its id, or a list of them. All return None.
"""

from typing import Any

from asgiref.sync import sync_to_async

from .broadcasts import (
    Action,
    AnyDeed,
    Broadcast,
    Close,
    Event,
    Exclude,
    Target,
    group_name,
    ids_of,
)
from .exceptions import CloseCode
from .senders import asend, send, when_committed
from .sync import blocking, is_beneath_thread


@blocking
def send_json(name: str, content: Any, *, exclude: Exclude = None, immediate: bool = False) -> None:
    """Send an event to the group's members."""
    _send(name, Event.of(content), exclude, immediate)


@blocking
def send_action(
    name: str, type: str, /, *, exclude: Exclude = None, immediate: bool = False, **fields: Any
) -> None:
    """Send the event `{"type": type, ...fields}` to the group's members."""
    _send(name, Action.of(type, fields), exclude, immediate)


@blocking
def close(
    name: str,
    code: int = CloseCode.NORMAL,
    reason: str = "",
    *,
    exclude: Exclude = None,
    immediate: bool = False,
) -> None:
    """Close the connections of the group's members."""
    _send(name, Close.of(code, reason), exclude, immediate)


async def asend_json(
    name: str, content: Any, *, exclude: Exclude = None, immediate: bool = False
) -> None:
    await _asend(name, Event.of(content), exclude, immediate)


async def asend_action(
    name: str, type: str, /, *, exclude: Exclude = None, immediate: bool = False, **fields: Any
) -> None:
    await _asend(name, Action.of(type, fields), exclude, immediate)


async def aclose(
    name: str,
    code: int = CloseCode.NORMAL,
    reason: str = "",
    *,
    exclude: Exclude = None,
    immediate: bool = False,
) -> None:
    await _asend(name, Close.of(code, reason), exclude, immediate)


def _send(name: str, deed: AnyDeed, exclude: Exclude, immediate: bool) -> None:
    broadcast = _broadcast(name, deed, exclude)
    if immediate:
        send(broadcast)
    else:
        when_committed(lambda: send(broadcast))


async def _asend(name: str, deed: AnyDeed, exclude: Exclude, immediate: bool) -> None:
    if is_beneath_thread():  # which may be inside a transaction
        await sync_to_async(_send)(name, deed, exclude, immediate)
    else:
        await asend(_broadcast(name, deed, exclude))


def _broadcast(name: str, deed: AnyDeed, exclude: Exclude) -> Broadcast:
    return Broadcast(Target("group", group_name(name)), deed, ids_of(exclude))
