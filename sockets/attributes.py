"""What may be set on a handler class, or on a router for its handler: names, defaults, checks."""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

from .exceptions import DeclarationError
from .functions import Function
from .guards import Guard, is_guard
from .permissions import are_permissions
from .protocols.base import Protocol
from .protocols.msgpack import MessagePack
from .protocols.native import Native
from .routes import Key, Route, is_timeout

RouteLike = Route | tuple[Key, str | Function] | tuple[Key, str | Function, dict[str, Any]]


class Attributes:
    """The class attributes of a handler."""

    routes: ClassVar[Iterable[RouteLike]] = ()
    """`(key, method name or function)`, with a dict of options behind it where there are any, and
    `Route` objects; the last match wins."""
    group_rules: ClassVar[Iterable[RouteLike]] = ()
    """`(regex, method name or function)` pairs: the groups that clients may join. The function
    may refuse, and what it returns is the answer."""
    connect_hooks: ClassVar[tuple[Any, ...]] = ()
    disconnect_hooks: ClassVar[tuple[Any, ...]] = ()
    view_class: ClassVar[type | None] = None

    protocols: ClassVar[tuple[Protocol, ...]] = (Native(), MessagePack())
    """The wire formats on offer; a client that asks for no subprotocol gets the first."""
    login_required: ClassVar[bool] = False
    """Turn anonymous clients away: their first frame is answered with RECONNECT, then 4401."""
    permissions: ClassVar[Sequence[str]] = ()
    """Permissions that a client must have to connect, and still have at every message."""
    guards: ClassVar[Sequence[Guard | Function | str]] = ()
    """Functions, or names of methods, that may refuse a client, and later every message."""
    refuse_at_handshake: ClassVar[bool] = False
    """Refuse clients with an HTTP 403 instead of accepting and closing with a code."""
    tracked: ClassVar[bool] = True
    """Have a row of the model `Socket` for each connection."""
    uses_channel_layer: ClassVar[bool] = False
    """Have `channel_layer` and `channel_name`, and the layer's events brought to methods."""
    groups: ClassVar[Iterable[str] | None] = None
    """Groups of the channel layer to be in; implies `uses_channel_layer`."""

    timeout: ClassVar[float | None] = 60.0
    """Seconds that a message may take, where its route says nothing else."""
    max_frame_bytes: ClassVar[int] = 65536
    """Bytes of the largest frame."""
    max_waiting: ClassVar[int] = Protocol.max_waiting
    """Messages that may wait behind the one being handled."""
    max_concurrent: ClassVar[int] = 16
    """Messages of concurrent routes that may run at once."""
    max_strikes: ClassVar[int] = 20
    """Faulty frames and refused floods at which the connection is closed."""
    max_groups: ClassVar[int] = 100
    """Groups that a client may be in when it asks to join one more."""
    outbox_bytes: ClassVar[int] = 1024 * 1024
    """Bytes that may wait for a slow client before its handlers wait too."""
    outbox_frames: ClassVar[int] = 4096
    """Frames that may wait for it."""
    slow_client: ClassVar[Literal["close", "drop"]] = "close"
    """What becomes of a client that is behind with broadcasts: it is closed at twice these limits,
    or the oldest are dropped and it is told how many it missed."""


DEFAULTS = {name: value for name, value in vars(Attributes).items() if not name.startswith("_")}
LIMITS = tuple(name for name, default in DEFAULTS.items() if type(default) is int)
SWITCHES = tuple(name for name, default in DEFAULTS.items() if type(default) is bool)
ATTRIBUTES = (
    *(*LIMITS, *SWITCHES, "timeout", "slow_client"),
    *("protocols", "groups", "routes", "group_rules", "permissions", "guards"),
)
DECORATED = {
    "routes",
    "group_rules",
    "connect_hooks",
    "disconnect_hooks",
    "default_route",
    "view_class",
}
"""What only the decorators of a router fill."""


def check_attribute(name: str, value: Any, where: str) -> None:
    """Raise `DeclarationError` where an attribute of a handler has a value that cannot work."""
    if name in LIMITS:
        fits, expected = type(value) is int and value >= 1, "a whole number of at least 1"
    elif name in SWITCHES:
        fits, expected = type(value) is bool, "True or False"
    elif name == "timeout":
        fits, expected = is_timeout(value), "seconds, more than 0, or None for no limit"
    elif name == "slow_client":
        fits, expected = value in ("close", "drop"), "'close' or 'drop'"
    elif name == "protocols":
        fits = isinstance(value, tuple | list) and bool(value)
        fits = fits and all(isinstance(protocol, Protocol) for protocol in value)
        expected = "a tuple of protocols, at least one"
    elif name == "groups":
        fits = value is None or (isinstance(value, Iterable) and not isinstance(value, str))
        fits = fits and all(isinstance(group, str) for group in value or ())
        expected = "None or a list of names"
    elif name == "permissions":
        fits, expected = are_permissions(value), "a list of names such as 'app.change_model'"
    elif name == "guards":
        fits = isinstance(value, list | tuple)
        fits = fits and all(isinstance(given, str) or is_guard(given) for given in value)
        expected = "a list of functions, guards and method names"
    elif name in ("routes", "group_rules"):
        fits = isinstance(value, Iterable) and not isinstance(value, str)
        first = "key" if name == "routes" else "regex"
        expected = f"a list of ({first}, method name or function)"
    else:
        return
    if not fits:
        raise DeclarationError(f"{where}.{name}: expected {expected}, got {value!r}")


def room_for(protocols: Iterable[Protocol], max_waiting: int) -> int:
    """How many messages may wait: what was set, else what the clients of any protocol need."""
    if max_waiting != Attributes.max_waiting:
        return max_waiting
    return max(protocol.max_waiting for protocol in protocols)


def attributes_of(handler: type) -> set[str]:
    """The public class attributes of a handler that are data."""
    return {
        name
        for name in dir(handler)
        if not name.startswith("_") and name not in DECORATED and _is_data(handler, name)
    }


def _is_data(handler: type, name: str) -> bool:
    # Functions, properties and class methods are descriptors; a form class is data.
    return not hasattr(type(inspect.getattr_static(handler, name)), "__get__")


def comparable(value: Any) -> Any:
    """An attribute as what it says: each router may have made protocols of its own."""
    if not isinstance(value, tuple):
        return value
    return tuple((type(one), vars(one)) if isinstance(one, Protocol) else one for one in value)
