"""Content as JSON: the values that handlers and senders give, and what they become."""

from typing import Any

import msgspec
from django.utils.functional import Promise


def encodable(value: Any) -> Any:
    """A value of Python or Django that JSON has no form for, as one that it has.

    Lazy translations become text; subclasses of str, int and float, such as SafeString,
    their plain value. Anything else raises `TypeError` naming its type.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(
        f"expected JSON-ready content, got a {type(value).__module__}.{type(value).__qualname__}; "
        "send its values instead"
    )


encode_json = msgspec.json.Encoder(enc_hook=encodable).encode
decode_json = msgspec.json.Decoder().decode
