"""The message every protocol decodes to and encodes from."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, ClassVar, final

import msgspec

from .exceptions import FrameTooLarge

Frame = str | bytes
Ref = str | int

CALL_PREFIX = "s:"
"""How the refs of the server's own calls begin; a client's refs must not."""


class Message(msgspec.Struct, eq=False):
    """What a client's frame means: which route it asks for, with what content.

    `ref` is the client's own mark, repeated in every answer; None asks for no answer.
    `groups` are the named groups of the regex that its key matched, if one did.
    `answered` is set by the terminal answer, `cancelled` when the run was stopped before
    it ended. `deadline` is a time of the event loop's clock, 0 while there is none. `obj` is
    what the route's `hydrate` has made of the content.
    """

    key: str | None
    content: Any
    ref: Ref | None = None
    headers: Any = None
    groups: Mapping[str, str] | None = None
    answered: bool = False
    cancelled: bool = False
    deadline: float = 0.0
    obj: Any = None
    _store: dict[str, Any] | None = None

    @property
    def store(self) -> dict[str, Any]:
        """What the functions that handle this message want to tell one another."""
        if self._store is None:
            self._store = {}
        return self._store


@final
class Answer(msgspec.Struct, frozen=True):
    """The client's answer to a call of the server."""

    key: ClassVar[None] = None
    ref: Ref
    status: Any
    data: Any


@final
class Ping(msgspec.Struct, frozen=True):
    """A client's question for a sign of life, with the frame that answers it."""

    key: ClassVar[None] = None
    answer: Frame


class Reply(msgspec.Struct, frozen=True):
    """What a route may return to set the status, and headers where the protocol has them."""

    data: Any = None
    status: int = 200
    headers: dict[str, Any] | None = None


def check_size(frame: Frame, limit: int) -> None:
    """Raise `FrameTooLarge` for a frame of more than `limit` bytes (of UTF-8)."""
    size = len(frame)
    if isinstance(frame, str) and not frame.isascii():
        size = len(frame.encode("utf-8", "surrogatepass"))
    if size > limit:
        raise FrameTooLarge(f"expected a frame of at most {limit} bytes, got {size}.")


def answer_of(value: Any) -> tuple[Any, int, dict[str, Any] | None]:
    """The data, status and headers that a route's return value stands for."""
    if value is None:
        return None, 204, None
    if type(value) is Reply:
        return value.data, check_status(value.status), value.headers
    if type(value) is tuple and len(value) == 2 and isinstance(value[1], int):
        data, status = value
        if 200 <= status <= 599:
            return data, check_status(status), None
    return value, 200, None


def check_status(status: Any) -> int:
    """The status as an int; raises `ValueError` for one that no reply can have."""
    if not isinstance(status, int) or not 200 <= status <= 599 or status == 206:
        raise ValueError(
            f"expected a status from 200 to 599 other than 206, which parts have, got {status!r}"
        )
    return int(status)


current_message: ContextVar[Message | None] = ContextVar("current_message", default=None)
"""The message that this task or thread is handling."""
set_message = current_message.set
"""Bound once: to look it up for each message costs more than to set it."""
