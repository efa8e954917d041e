"""What is told to many connections at once, and the text in which processes pass it on."""

import os
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from .encoding import decode_json, encode_json
from .messages import Frame
from .protocols.base import Protocol

if TYPE_CHECKING:
    from .member import Member

Kind = Literal["ids", "group", "path", "session", "user"]
Place = tuple[Kind, str]
"""Where a connection is, and is found by: in a group, on a path, in a session, of a user."""
Exclude = Any
"""A handler, a row, an id of either, or several of them."""


class Target(msgspec.Struct, frozen=True, array_like=True):
    """Which connections are meant: those in one place, or those with these ids."""

    kind: Kind
    name: str = ""
    ids: tuple[uuid.UUID, ...] = ()


class Deed(msgspec.Struct, frozen=True, array_like=True):
    """What is to be done to each connection that is meant."""

    def apply(self, members: "Iterable[Member]") -> None:
        raise NotImplementedError


class FrameDeed(Deed, frozen=True, array_like=True):
    """Sends a frame, encoded once for each protocol in use."""

    def apply(self, members: "Iterable[Member]") -> None:
        frames: dict[Protocol, Frame | None] = {}
        for member in members:
            protocol = member.protocol
            if protocol not in frames:
                frames[protocol] = self.encode(protocol)
            member.deliver(frames[protocol])

    def encode(self, protocol: Protocol) -> Frame | None:
        raise NotImplementedError


class Event(FrameDeed, frozen=True, array_like=True, tag="event"):
    """An event with any content."""

    content: msgspec.Raw

    @classmethod
    def of(cls, content: Any) -> "Event":
        """Encodes the content now, so that its faults show at the call."""
        return cls(msgspec.Raw(encode_json(content)))

    def encode(self, protocol: Protocol) -> Frame | None:
        return protocol.event(decode_json(self.content))


class Action(FrameDeed, frozen=True, array_like=True, tag="action"):
    """A named event with fields."""

    name: str
    fields: msgspec.Raw

    @classmethod
    def of(cls, name: str, fields: dict[str, Any]) -> "Action":
        """Encodes the fields now, so that their faults show at the call."""
        check_fields(fields)
        return cls(name, msgspec.Raw(encode_json(fields)))

    def encode(self, protocol: Protocol) -> Frame | None:
        return protocol.action(self.name, decode_json(self.fields))


class Text(FrameDeed, frozen=True, array_like=True, tag="text"):
    """Text as it is, in no protocol."""

    text: str

    @classmethod
    def of(cls, text: str) -> "Text":
        if not isinstance(text, str):
            raise TypeError(f"expected text, got a {type(text).__name__}")
        text.encode()  # a lone surrogate is the caller's fault, not the connections'
        return cls(text)

    def encode(self, protocol: Protocol) -> Frame | None:
        return self.text


class Close(Deed, frozen=True, array_like=True, tag="close"):
    code: int
    reason: str

    @classmethod
    def of(cls, code: int, reason: str) -> "Close":
        if not 1000 <= code <= 4999:
            raise ValueError(f"expected a close code from 1000 to 4999, got {code!r}")
        return cls(int(code), reason)

    def apply(self, members: "Iterable[Member]") -> None:
        for member in members:
            member.close(self.code, self.reason)


class LogOut(Deed, frozen=True, array_like=True, tag="log out"):
    """Tells the client to log in again, and closes."""

    def apply(self, members: "Iterable[Member]") -> None:
        for member in members:
            member.log_out()


class NewSession(Deed, frozen=True, array_like=True, tag="new session"):
    """Tells that a login moved the session to another key, and to whom it belongs now.

    What another user had opened in it is logged out.
    """

    key: str
    user: str

    def apply(self, members: "Iterable[Member]") -> None:
        for member in members:
            member.move_to_session(self.key, self.user)


class Probe(Deed, frozen=True, array_like=True, tag="probe"):
    """Asks the client for a sign of life, and closes if none comes within `wait` seconds."""

    wait: float

    def apply(self, members: "Iterable[Member]") -> None:
        for member in members:
            member.probe(self.wait)


class Broadcast(msgspec.Struct, frozen=True, array_like=True):
    """A deed and whom it concerns. `delay` is how many seconds receivers wait with it."""

    target: Target
    deed: Event | Action | Text | Close | LogOut | NewSession | Probe
    exclude: tuple[uuid.UUID, ...] = ()
    delay: float = 0.0


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """A broadcast on its way between processes; `origin` is the process that it came from."""

    origin: uuid.UUID
    broadcast: Broadcast


origin = uuid.uuid4()
"""This process, which has brought what it sends to its own connections already."""


def _renew_origin() -> None:
    global origin
    origin = uuid.uuid4()


os.register_at_fork(after_in_child=_renew_origin)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Envelope).decode


def pack(broadcast: Broadcast) -> str:
    """The text for other processes."""
    return _encode(Envelope(origin, broadcast)).decode()


def unpack(text: str) -> Broadcast | None:
    """The broadcast in a text from `pack`; None for one of this process's own.

    Raises `msgspec.DecodeError` where there is none in it.
    """
    envelope = _decode(text)
    return None if envelope.origin == origin else envelope.broadcast


def check_fields(fields: dict[str, Any]) -> None:
    """Raise `ValueError` for a field that would replace one that frames have."""
    if taken := fields.keys() & {"ref", "type"}:
        raise ValueError(f"expected fields without {min(taken)!r}, which frames have; rename it")


def ids_of(exclude: Exclude) -> tuple[uuid.UUID, ...]:
    """The ids of connections that are given as themselves, as rows or as ids."""
    if exclude is None:
        return ()
    if isinstance(exclude, Iterable) and not isinstance(exclude, str):
        return tuple(id for one in exclude for id in ids_of(one))
    found = getattr(exclude, "id", exclude)
    if not isinstance(found, uuid.UUID):
        raise TypeError(
            f"expected a socket, a row, an id of one or a list of them to exclude, got {exclude!r}"
        )
    return (found,)
