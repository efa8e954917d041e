"""The wire of ObservableSocket: requests with a uuid, which replies repeat."""

from typing import Any, NoReturn

import msgspec

from ..encoding import decode_json, json_text, read_json
from ..exceptions import InvalidFrame, SocketError
from ..messages import Frame, Message, Ping
from .base import MANY_WAITING, Protocol, kind_of, object_in

PART = 206
"""The status of a push that is a part of an answer."""


class Response(msgspec.Struct, gc=False):
    """The frame of a reply."""

    headers: dict[str, Any] | None
    payload: Any
    uuid: Any
    status: int


class Push(msgspec.Struct, gc=False):
    """The frame of what answers nothing, or not yet."""

    route: str | None
    payload: Any
    headers: dict[str, Any] | None = None
    status: int = 200


class Observable(Protocol):
    """`{"headers", "uuid", "route", "payload", "status"}` and its answers.

    Its clients take the first frame with the uuid of a request for the answer, and any other
    object for a push; they show nobody a frame whose route is PONG.
    """

    subprotocol = "sockets.observable"
    key_field = "route"
    ref_field = "uuid"
    has_built_in = False
    refs_differ = False
    max_waiting = MANY_WAITING
    refuses_at_handshake = True

    def key(self, name: str) -> str:
        first, *others = name.removeprefix("on_").split("_")
        return first + "".join(word[:1].upper() + word[1:] for word in others)

    def decode(self, frame: Frame) -> Message | Ping:
        try:
            content = object_in(frame, read_json)
        except InvalidFrame as fault:
            fault.ref = ""
            raise
        key, uuid, headers = content.get("route"), content.get("uuid"), content.get("headers")
        headers = {} if headers is None else headers
        is_ref = type(uuid) is str or type(uuid) is int
        if not is_ref or type(key) is not str or type(headers) is not dict:
            _refuse(content)
        if key == "PING":
            pong = {"route": "PONG", "uuid": uuid, "headers": None, "payload": None}
            return Ping(json_text(pong))
        return Message(key, content.get("payload"), uuid, headers)

    def reply(self, message: Message, data: Any, status: int, headers: Any) -> Frame:
        return json_text(Response(headers, data, message.ref, status))

    def part(self, message: Message, data: Any) -> Frame:
        return _push(json_text(Push(message.key, data, {"uuid": message.ref}, PART)))

    def end(self, message: Message) -> Frame:
        return self.reply(message, None, 200, None)

    def error(self, error: SocketError, message: Message | None) -> Frame:
        uuid: Any = None if message is None else message.ref
        if uuid is None:
            uuid = getattr(error, "ref", "")
        return json_text(Response(None, {"error": error.details}, uuid, error.status))

    def event(self, content: Any, /) -> Frame:
        return _push(json_text(content))

    def action(self, type: str, fields: dict[str, Any]) -> Frame:
        return _push(json_text(Push(type, fields)))

    def event_of_json(self, content: bytes) -> Frame:
        return _push(content.decode())

    def lagged(self, missed: int) -> Frame:
        return self.action("LAGGED", {"n": missed})


def _refuse(content: dict[str, Any]) -> NoReturn:
    """Say what is wrong with an envelope, with its uuid as it came where that can be one."""
    uuid, key = content.get("uuid", ""), content.get("route")
    if "uuid" not in content:
        details = "expected a uuid, got none."
    elif type(uuid) is not str and type(uuid) is not int:
        details = f"expected uuid to be a string or an integer, got {kind_of(uuid)}."
    elif type(key) is not str:
        details = f"expected route to be a string, got {kind_of(key)}."
    else:
        details = f"expected headers to be an object or null, got {kind_of(content['headers'])}."
    raise InvalidFrame(details, ref="" if isinstance(uuid, dict | list) else uuid)


def _push(text: str) -> str:
    """An object as it is; what clients would not show is the payload of one that they do."""
    is_shown = text[0] == "{"
    if is_shown and '"PONG"' in text:
        is_shown = decode_json(text).get("route") != "PONG"
    return text if is_shown else f'{{"payload":{text}}}'
