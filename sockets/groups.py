"""Named groups of connections, and sending to them from anywhere.

Whoever called `socket.join(name)` is in the group, in whatever process. Any string is a name.
These groups have nothing to do with those of the channel layer.

Inside `transaction.atomic()` a synchronous send goes out on commit, with `immediate=True` at
once. `exclude` takes a handler, a row, its id, or a list of them. All return None.
"""

from typing import Any

from asgiref.sync import sync_to_async
from django.utils.asyncio import async_unsafe

from .broadcasts import Action, Broadcast, Close, Event, Exclude, Target, ids_of
from .exceptions import CloseCode
from .senders import asend, send, when_committed
from .sync import is_beneath_thread


def send_json(name: str, content: Any, *, exclude: Exclude = None, immediate: bool = False) -> None:
    """Send an event to the group's members."""
    _send(name, Event.of(content), exclude, immediate)


def send_action(
    name: str, type: str, /, *, exclude: Exclude = None, immediate: bool = False, **fields: Any
) -> None:
    """Send the event `{"type": type, ...fields}` to the group's members."""
    _send(name, Action.of(type, fields), exclude, immediate)


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


@async_unsafe("You cannot call this from an async context; await its twin, such as asend_json.")
def _send(name: str, deed: Event | Action | Close, exclude: Exclude, immediate: bool) -> None:
    broadcast = _broadcast(name, deed, exclude)
    when_committed(lambda: send(broadcast), immediate)


async def _asend(
    name: str, deed: Event | Action | Close, exclude: Exclude, immediate: bool
) -> None:
    if is_beneath_thread():  # which may be inside a transaction
        await sync_to_async(_send)(name, deed, exclude, immediate)
    else:
        await asend(_broadcast(name, deed, exclude))


def _broadcast(name: str, deed: Event | Action | Close, exclude: Exclude) -> Broadcast:
    if not isinstance(name, str):
        raise TypeError(f"expected the name of a group, got {name!r}")
    return Broadcast(Target("group", name), deed, ids_of(exclude))
