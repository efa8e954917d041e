"""The native wire in MessagePack: the same objects as in JSON, in binary frames."""

from typing import Any

import msgspec

from ..encoding import decode_json, json_text
from ..exceptions import InvalidFrame
from ..messages import Answer, Frame, Message
from .native import Native

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


def packed(content: Any) -> bytes:
    """The content as JSON would have it, in MessagePack."""
    try:
        return _pack(decode_json(json_text(content)))
    except OverflowError:
        raise ValueError(
            "expected integers of at most 64 bits, as MessagePack has them; send text instead"
        ) from None


class MessagePack(Native):
    """The objects of `Native`, each in a binary frame.

    What JSON has no form for is text here too, or refused, in both directions: functions and
    clients of either format have to do with the same values.
    """

    subprotocol = "sockets.msgpack"
    frame = staticmethod(packed)
    event = frame

    def decode(self, frame: Frame) -> Message | Answer:
        if type(frame) is not bytes:
            raise InvalidFrame(f"expected a binary MessagePack frame, got {len(frame)} characters.")
        try:
            text = json_text(_unpack(frame))
        except Exception as fault:  # the faults of Unicode, of depth and of hashing, and msgspec's
            raise InvalidFrame(f"expected a MessagePack map: {fault}.") from None
        return super().decode(text)
