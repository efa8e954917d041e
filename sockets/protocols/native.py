"""The native wire: JSON text, one flat object a message."""

from collections.abc import Callable
from typing import Any, NoReturn

import msgspec
from msgspec import UNSET, UnsetType

from ..encoding import decode_json, json_text
from ..exceptions import InvalidFrame, SocketError
from ..messages import CALL_PREFIX, Answer, Frame, Message, Ref
from .base import Protocol, kind_of, object_in


class Answered(msgspec.Struct, gc=False):
    """The frame of a reply."""

    type: str | None
    ref: Ref | UnsetType
    status: int
    data: Any = UNSET


class Native(Protocol):
    """`{"type": KEY, "ref"?: str or int, ...fields}` and its answers."""

    subprotocol = "sockets.json"
    is_flat = True
    ref_field = "ref"

    def key(self, name: str) -> str:
        return super().key(name).upper()

    # Static, for a method would cost each frame a call more.
    frame: Callable[[Any], Frame] = staticmethod(json_text)
    event: Callable[[Any], Frame] = frame

    def decode(self, frame: Frame) -> Message | Answer:
        # What `object_in` does, which would cost each frame a call more.
        try:
            content = decode_json(frame) if type(frame) is str else None
        except (ValueError, RecursionError):
            content = None
        if type(content) is not dict:
            content = object_in(frame)
        key, ref = content.get("type"), content.get("ref")
        if type(key) is str and (ref is None or type(ref) is int):
            return Message(key, content, ref)
        if type(ref) is not str and type(ref) is not int and ref is not None:
            raise InvalidFrame(f"expected ref to be a string or an integer, got {kind_of(ref)}.")
        if type(key) is not str and (key is not None or "type" in content):
            _refuse_type(key, ref)
        if type(ref) is str and ref.startswith(CALL_PREFIX):
            return Answer(ref, content.get("status", 200), content.get("data"))
        return Message(key, content, ref)

    def reply(self, message: Message, data: Any, status: int, headers: Any) -> Frame | None:
        if status == 204:
            data = UNSET
            if message.ref is None:
                return None
        ref = UNSET if message.ref is None else message.ref
        return self.frame(Answered(message.key, ref, status, data))

    def part(self, message: Message, data: Any) -> Frame | None:
        return self.reply(message, data, 206, None)

    def end(self, message: Message) -> Frame | None:
        if message.ref is None:
            return None
        return self.frame(Answered(message.key, message.ref, 200))

    def error(self, error: SocketError, message: Message | None) -> Frame:
        content = {
            "type": "ERROR",
            "status": error.status,
            "details": error.details,
            "errors": error.errors,
            "success": False,
        }
        if message is not None and message.ref is not None:
            content["ref"] = message.ref
        return self.frame(content)

    def action(self, type: str, fields: dict[str, Any]) -> Frame:
        return self.frame({"type": type, **fields})

    def event_of_json(self, content: bytes) -> Frame | None:
        if self._writes_otherwise("event"):
            return super().event_of_json(content)
        return content.decode()

    def action_of_json(self, type: str, fields: bytes) -> Frame | None:
        if self._writes_otherwise("action"):
            return super().action_of_json(type, fields)
        head = f'{{"type":{json_text(type)}'
        return f"{head}}}" if fields == b"{}" else f"{head},{fields[1:].decode()}"

    def _writes_otherwise(self, method: str) -> bool:
        """Whether this format's frames of that kind are not simply the content as JSON."""
        changed = getattr(self.__class__, method) is not getattr(Native, method)
        return changed or self.__class__.frame is not Native.frame

    def call(self, type: str, ref: Ref, data: Any) -> Frame:
        return self.frame({"type": type, "ref": ref, "data": data})

    def lagged(self, missed: int) -> Frame:
        return self.frame({"type": "LAGGED", "n": missed})

    def ping(self) -> Frame:
        return self.frame({"type": "PING"})


def _refuse_type(key: Any, ref: Ref | None) -> NoReturn:
    raise InvalidFrame(f"expected type to be a string, got {kind_of(key)}.", ref=ref)
