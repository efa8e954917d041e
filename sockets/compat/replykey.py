"""channels-websocket-utils: its decorators and tokens, and a consumer that they stand on."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from channels.generic.websocket import JsonWebsocketConsumer

from .. import tokens
from ..arguments import start_of
from ..exceptions import UnknownKey
from ..functions import Function
from ..permissions import permission_list
from ..routes import Route
from ..scope import Scope, get_user
from ..sync import blocking
from ..tokens import aget_websocket_token as aget_websocket_token
from ..tokens import get_websocket_token as get_websocket_token
from .connecting import AcceptingHandler
from .replykey_methods import WIRE, ClientMethod

LIFE_CYCLE = frozenset({"connect", "disconnect", "receive_json", "default_route"})
"""Methods of a consumer that are called for it, and never by a client."""


@blocking
def validate_websocket_token(scope: Scope) -> bool:
    """Whether the user of the session brings a valid token of their own; it is used by that."""
    return get_user(scope).is_authenticated and tokens.validate_websocket_token(scope)


async def avalidate_websocket_token(scope: Scope) -> bool:
    return await sync_to_async(validate_websocket_token)(scope)


def auto_route(method: Function) -> ClientMethod:
    """Answer a message that has a `reply_key` with what the method returns."""
    made = ClientMethod.of(method)
    return ClientMethod(made.function, True, made.permissions)


def require_perms(permissions: Sequence[str]) -> Callable[[Function], ClientMethod]:
    """Call the method only for users with these permissions; for others nothing happens."""
    names = permission_list(permissions, "require_perms")

    def decorate(method: Function) -> ClientMethod:
        made = ClientMethod.of(method)
        return ClientMethod(made.function, made.answers, (*names, *made.permissions))

    return decorate


class Consumer(AcceptingHandler):
    """A handler in the form of a Channels consumer.

    Clients call the decorated methods by their names. With a `receive_json` of its own a class
    gets every message there, but those whose type names what is no method for clients.
    """

    protocols = (WIRE,)
    _channels_methods = frozenset({"receive_json"})
    _method_routes: ClassVar[tuple[Route, ...]] = ()

    def __new__(cls, *call: Any) -> Any:
        # Channels 2 was given the class itself in a URL pattern, and called it.
        return cls.as_asgi()(*call) if call else super().__new__(cls)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        given = [route for route in cls.routes if route not in cls._method_routes]
        if cls.receive_json is Consumer.receive_json:
            cls._method_routes = tuple(_method_routes(cls))
        else:
            cls._method_routes = ()
            cls.default_route = _default_route(cls.receive_json)  # type: ignore[method-assign]
        cls.routes = (*cls._method_routes, *given)
        super().__init_subclass__(**kwargs)

    def receive_json(self, content: Any, **kwargs: Any) -> Any:
        """Takes every message, where a subclass has it."""


def _method_routes(consumer: type[Consumer]) -> Iterator[Route]:
    names = dict.fromkeys(name for owner in reversed(consumer.__mro__) for name in vars(owner))
    for name in names:
        method = inspect.getattr_static(consumer, name)
        if isinstance(method, ClientMethod) and name not in LIFE_CYCLE:
            yield Route.of((name,), method.routed)


def _default_route(receive_json: Function) -> Function:
    """What takes the messages of a class that has a `receive_json` of its own."""
    start = start_of(receive_json)

    async def default_route(consumer: Any, content: Any) -> None:
        name = content.get("type")
        if name is not None and not _may_be_named(consumer, name):
            raise UnknownKey("Unknown type: no method of this name is for clients.")
        try:
            await start(consumer, content)
        except AttributeError as fault:
            if fault.obj is consumer and fault.name == name:
                raise UnknownKey("Unknown type: there is no method of this name.") from None
            raise

    return default_route


def _may_be_named(consumer: Consumer, name: str) -> bool:
    """Whether nothing happens that should not where `receive_json` looks up this name."""
    try:
        found = inspect.getattr_static(consumer, name)
    except AttributeError:
        return True  # it finds nothing, or means something else by it
    if name in LIFE_CYCLE or isinstance(found, ClientMethod):
        return name not in LIFE_CYCLE
    is_own = inspect.isfunction(found) and found is not inspect.getattr_static(Consumer, name, None)
    return is_own and not hasattr(JsonWebsocketConsumer, name) and not name.startswith("_")
