"""What is told to many connections at once, and the text in which processes pass it on."""

import logging
import os
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from django.core.exceptions import SynchronousOnlyOperation
from django.db.models import QuerySet

from .backlog import Parcel, broadcast_of
from .encoding import encode_json
from .messages import Frame
from .protocols.base import Protocol

if TYPE_CHECKING:
    from django.db.models import Model

    from .member import Member

logger = logging.getLogger("sockets")

GRACE = 1.0
"""Seconds between the end of a session and that of its sockets, where it may have moved: a login
deletes it too, to give its data another key, and tells so right after."""

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
        """Do it; what fails with one of them is logged and stops none of the others."""
        do = self.doing()
        for member in members:
            try:
                do(member)
            except Exception:
                logger.exception("A broadcast cannot be brought to %s", member.id)

    def doing(self) -> "Callable[[Member], None]":
        """What does it to one connection after another."""
        raise NotImplementedError


class FrameDeed(Deed, frozen=True, array_like=True):
    """Sends a frame, encoded once for each protocol in use."""

    def doing(self) -> "Callable[[Member], None]":
        parcels: dict[Protocol, Parcel | None] = {}

        def deliver(member: "Member") -> None:
            protocol = member.protocol
            if protocol not in parcels:
                parcels[protocol] = None  # where it fails, it fails once
                parcels[protocol] = broadcast_of(self.encode(protocol))
            parcel = parcels[protocol]
            if parcel is not None:
                member.deliver(parcel)

        return deliver

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
        return protocol.event_of_json(bytes(self.content))


class Action(FrameDeed, frozen=True, array_like=True, tag="action"):
    """A named event with fields."""

    name: str
    fields: msgspec.Raw

    @classmethod
    def of(cls, name: str, fields: dict[str, Any]) -> "Action":
        """Encodes the fields now, so that their faults show at the call."""
        check_fields(fields)
        return cls(plain_text(name, "a type"), msgspec.Raw(encode_json(fields)))

    def encode(self, protocol: Protocol) -> Frame | None:
        return protocol.action_of_json(self.name, bytes(self.fields))


class Text(FrameDeed, frozen=True, array_like=True, tag="text"):
    """Text as it is, in no protocol."""

    text: str

    @classmethod
    def of(cls, text: str) -> "Text":
        return cls(plain_text(text, "text"))

    def encode(self, protocol: Protocol) -> Frame | None:
        return self.text


class Close(Deed, frozen=True, array_like=True, tag="close"):
    code: int
    reason: str

    @classmethod
    def of(cls, code: int, reason: str) -> "Close":
        if not isinstance(code, int) or not 1000 <= code <= 4999:
            raise ValueError(f"expected a close code from 1000 to 4999, got {code!r}")
        return cls(int(code), plain_text(str(reason), "a reason"))

    def doing(self) -> "Callable[[Member], None]":
        return lambda member: member.close(self.code, self.reason)


class LogOut(Deed, frozen=True, array_like=True, tag="log out"):
    """Tells the client to log in again, and closes.

    Where `remembered`, those on their way in are kept out too.
    """

    remembered: bool = True

    def doing(self) -> "Callable[[Member], None]":
        return lambda member: member.log_out()


class NewSession(Deed, frozen=True, array_like=True, tag="new session"):
    """Tells that a login moved the session to another key, and to whom it belongs now.

    What another user had opened in it is logged out.
    """

    key: str
    user: str

    def doing(self) -> "Callable[[Member], None]":
        return lambda member: member.move_to_session(self.key, self.user)


class Probe(Deed, frozen=True, array_like=True, tag="probe"):
    """Asks the client for a sign of life, and closes if none comes within `wait` seconds."""

    wait: float

    def doing(self) -> "Callable[[Member], None]":
        return lambda member: member.probe(self.wait)


AnyDeed = Event | Action | Text | Close | LogOut | NewSession | Probe


class Broadcast(msgspec.Struct, frozen=True, array_like=True):
    """A deed and whom it concerns. `delay` is how many seconds receivers wait with it."""

    target: Target
    deed: AnyDeed
    exclude: tuple[uuid.UUID, ...] = ()
    delay: float = 0.0


class Header(msgspec.Struct, frozen=True, array_like=True):
    """What a process reads of every broadcast; of the deed, only where it concerns somebody there.

    One that is `lasting` also concerns who comes later.
    """

    target: Target
    lasting: bool
    exclude: tuple[uuid.UUID, ...]
    delay: float


origin = uuid.uuid4().hex
"""This process, which has brought what it sends to its own connections already."""


def _renew_origin() -> None:
    global origin
    origin = uuid.uuid4().hex


os.register_at_fork(after_in_child=_renew_origin)

_encode = msgspec.json.Encoder().encode
_decode_header = msgspec.json.Decoder(Header).decode
_decode_deed: Callable[[str], AnyDeed] = msgspec.json.Decoder(AnyDeed).decode


def pack(broadcast: Broadcast) -> str:
    """The line of text for other processes: the origin, the header, a tab and the deed."""
    target, deed, exclude, delay = msgspec.structs.astuple(broadcast)
    header = Header(target, bool(delay) or type(deed) is LogOut, exclude, delay)
    return f"{origin}{_encode(header).decode()}\t{_encode(deed).decode()}"


def unpack(text: str, concerns: Callable[[Target], bool]) -> Broadcast | None:
    """The broadcast in a text from `pack`.

    None for one of this process's own, and for one whose target does not concern anybody here.
    Raises `ValueError` where there is none in it.
    """
    if text.startswith(origin):
        return None
    end = text.index("\t")
    header = _decode_header(text[len(origin) : end])
    if not header.lasting and not concerns(header.target):
        return None
    deed = _decode_deed(text[end + 1 :])
    return Broadcast(header.target, deed, header.exclude, header.delay)


def plain_text(value: str, what: str) -> str:
    """The text as it is passed on; raises where it is none, or none that can be encoded."""
    if not isinstance(value, str):
        raise TypeError(f"expected {what}, got {value!r}")
    text = str.__str__(value)  # of SafeString and other subclasses, too
    text.encode()  # a lone surrogate is the caller's fault, not the connections'
    return text


def group_name(name: str) -> str:
    """The name of a group, checked to be one."""
    return plain_text(name, "the name of a group")


def check_fields(fields: dict[str, Any]) -> None:
    """Raise `ValueError` for a field that would replace one that frames have."""
    if taken := fields.keys() & {"ref", "type"}:
        raise ValueError(f"expected fields without {min(taken)!r}, which frames have; rename it")


def ids_of(exclude: Exclude) -> tuple[uuid.UUID, ...]:
    """The ids of connections that are given as themselves, as rows or as ids."""
    if exclude is None:
        return ()
    if isinstance(exclude, QuerySet):
        exclude = _fetch(exclude)
    if isinstance(exclude, Iterable) and not isinstance(exclude, str):
        return tuple(id for one in exclude for id in ids_of(one))
    found = getattr(exclude, "id", exclude)
    other_model = hasattr(exclude, "_meta") and exclude._meta.label != "sockets.Socket"
    if other_model or not isinstance(found, uuid.UUID):
        raise TypeError(
            f"expected a socket, a row, an id of one or a list of them to exclude, got {exclude!r}"
        )
    return (found,)


async def aids_of(exclude: Exclude) -> tuple[uuid.UUID, ...]:
    """What `ids_of` gives; a selection of rows is awaited."""
    if isinstance(exclude, QuerySet):
        exclude = [row async for row in exclude]
    elif isinstance(exclude, Iterable) and not isinstance(exclude, str):
        return tuple([id for one in exclude for id in await aids_of(one)])
    return ids_of(exclude)


def _fetch(rows: "QuerySet[Model]") -> "list[Model]":
    try:
        return list(rows)
    except SynchronousOnlyOperation as fault:
        raise SynchronousOnlyOperation(
            "expected connections to exclude, got a selection of rows, which cannot be fetched "
            "here without awaiting it; write exclude=[row async for row in rows]"
        ) from fault
