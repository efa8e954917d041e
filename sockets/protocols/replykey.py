"""The wire of channels-websocket-utils: what a page's WebSocketManager sends and understands."""

import logging
from typing import Any

from ..encoding import decode_json, json_text, read_json
from ..exceptions import InvalidFrame, SocketError
from ..messages import Frame, Message, Ref
from .base import MANY_WAITING, Protocol, kind_of, object_in

logger = logging.getLogger("sockets")


class ReplyKey(Protocol):
    """`{"type": KEY, "reply_key"?: text, ...fields}`, answered by `{"key": reply_key, ...fields}`.

    The page throws at every frame whose key it does not expect, so a message without a
    `reply_key` is never answered, not even by an error.
    """

    subprotocol = "sockets.replykey"
    is_flat = True
    ref_field = "reply_key"
    has_built_in = False
    refs_differ = False
    max_waiting = MANY_WAITING

    def key(self, name: str) -> str:
        return name

    def decode(self, frame: Frame) -> Message:
        content = object_in(frame, read_json)
        key, ref = content.get("type"), content.get("reply_key")
        if type(ref) is not str and type(ref) is not int and ref is not None:
            raise InvalidFrame(
                f"expected reply_key to be a string or an integer, got {kind_of(ref)}."
            )
        if type(key) is not str and "type" in content:
            raise InvalidFrame(f"expected type to be a string, got {kind_of(key)}.", ref=ref)
        return Message(key, content, ref)

    def reply(self, message: Message, data: Any, status: int, headers: Any) -> Frame | None:
        if message.ref is None or (data is None and status < 300):
            return None
        if status == 200:
            return _keyed(message.ref, _fields_of(data))
        failed = {"success": False} if status >= 400 else {}
        return _keyed(message.ref, {"status": status, **failed, **_fields_of(data)})

    def part(self, message: Message, data: Any) -> Frame | None:
        return self.reply(message, data, 206, None)

    def end(self, message: Message) -> Frame | None:
        return None if message.ref is None else _keyed(message.ref, {})

    def error(self, error: SocketError, message: Message | None) -> Frame | None:
        if message is None or message.ref is None:
            return None
        return _keyed(
            message.ref, {"status": error.status, "details": error.details, "success": False}
        )

    def event(self, content: Any, /) -> Frame | None:
        fields = _fields_of(content)
        if isinstance(fields.get("key"), str | int):
            return json_text(fields)
        logger.warning(
            "Expected an object with a key, got one with %s, which WebSocketManager would throw "
            "at and is not sent; use send_action(key, ...)",
            ", ".join(map(str, fields)) or "nothing",
        )
        return None

    def action(self, type: str, fields: dict[str, Any]) -> Frame:
        return _keyed(type, fields)

    def reconnect(self, details: str) -> None:
        return None


def _keyed(key: Ref, fields: dict[str, Any]) -> str:
    return json_text({**fields, "key": key})


def _fields_of(data: Any) -> dict[str, Any]:
    """The fields that stand beside the key: those of an object, else one named `data`."""
    if data is None:
        return {}
    if type(data) is not dict:
        data = decode_json(json_text(data))
    return data if type(data) is dict else {"data": data}
