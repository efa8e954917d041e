"""Named groups of connections, and sending to them from anywhere.

Whoever called `socket.join(name)` is in the group, in whatever process. Any string is a name.
These groups have nothing to do with those of the channel layer.

Inside `transaction.atomic()` a synchronous send goes out on commit, with `immediate=True` at
once. `exclude` takes a handler, a row, its id, a selection of rows, or a list of these. All return
None.
"""

import uuid
from functools import partial
from typing import Any

from .broadcasts import Action, AnyDeed, Broadcast, Close, Event, Exclude, Target, group_name
from .exceptions import CloseCode
from .senders import Processes, asend_on_commit, send_on_commit
from .sync import blocking


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
    send_on_commit(partial(_broadcast, name, deed), exclude, immediate)


async def _asend(name: str, deed: AnyDeed, exclude: Exclude, immediate: bool) -> None:
    await asend_on_commit(partial(_broadcast, name, deed), exclude, immediate)


def _broadcast(
    name: str, deed: AnyDeed, excluded: tuple[uuid.UUID, ...]
) -> tuple[Broadcast, Processes]:
    return Broadcast(Target("group", group_name(name)), deed, excluded), None
