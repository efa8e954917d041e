"""Content as JSON: what handlers and senders give becomes text, or is refused by name."""

import re
from typing import Any

import msgspec

from .values import refine, simplify

decode_json = msgspec.json.Decoder().decode

_encode = msgspec.json.Encoder(enc_hook=simplify).encode
_pack = msgspec.msgpack.Encoder(enc_hook=simplify).encode

_FRACTION = re.compile(rb'\.\d{6}["Z+-]').search
_DURATION = re.compile(rb"P(?:T\d|\d+D)").search
_NOT_FINITE = re.compile(rb"\xcb(?:\x7f[\xf0-\xff]|\xff[\xf0-\xff])").search

_ESCAPE = re.compile(r"\\(?:u(?:d[89ab]..\\ud[c-f]..|(d[89a-f]..))|.)", re.IGNORECASE | re.DOTALL)
"""An escape in JSON, or two that are one character; what is matched is half of a character."""


def read_json(text: str) -> Any:
    """What a JSON text says; halves of characters, as JavaScript may cut them, become U+FFFD.

    Raises `ValueError` for what is no JSON.
    """
    try:
        return decode_json(text)
    except ValueError:
        whole = _ESCAPE.sub(lambda escape: r"\ufffd" if escape[1] else escape[0], text)
        if whole == text:
            raise
        return decode_json(whole)


def json_text(content: Any) -> str:
    """The content as JSON text.

    Raises `TypeError` or `ValueError` that names what JSON has no form for, and where it is.
    """
    try:
        frame = _encode(content)
        text = frame.decode()
        # msgspec writes fractions of seconds and durations in forms of its own and NaN as null,
        # and cannot be told not to. What it wrote shows where that may be: at a dot, a P, a null.
        if not (
            (46 in frame and _FRACTION(frame))
            or (80 in frame and _DURATION(frame))
            or ("null" in text and _has_infinite(content))
        ):
            return text
    except Exception:
        pass  # an iterator, which is read there, or a fault, which is found there with its place
    return _encode(refine(content)).decode()


def encode_json(content: Any) -> bytes:
    """What `json_text` returns, in UTF-8."""
    return json_text(content).encode()


def _has_infinite(content: Any) -> bool:
    """Whether a number in it is not finite; MessagePack, other than JSON, tells them from None."""
    packed = _pack(content)
    return 0xCB in packed and _NOT_FINITE(packed) is not None
