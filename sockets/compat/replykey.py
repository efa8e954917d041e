"""channels-websocket-utils: its decorators and tokens, and a consumer that they stand on."""

import inspect
import logging
from asyncio import get_running_loop
from collections.abc import Callable, Iterator, Sequence
from functools import update_wrapper
from types import MethodType
from typing import Any, ClassVar

from asgiref.sync import async_to_sync, sync_to_async
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from django.core.exceptions import PermissionDenied

from .. import tokens
from ..arguments import start_of
from ..encoding import decode_json
from ..exceptions import DeclarationError, LoginRequired, UnknownKey
from ..faults import error_of
from ..functions import Function, is_generator, name_of, unwrap
from ..handlers import RoutedSocketHandler
from ..messages import Message, answer_of, current_message
from ..permissions import check_permissions, permission_list
from ..protocols.replykey import ReplyKey
from ..routes import Route
from ..scope import Scope, get_user
from ..sync import blocking
from ..tokens import aget_websocket_token as aget_websocket_token
from ..tokens import get_websocket_token as get_websocket_token

logger = logging.getLogger("sockets")

WIRE = ReplyKey()
LIFE_CYCLE = frozenset({"connect", "disconnect", "receive_json", "default_route"})
"""Methods of a consumer that are called for it, and never by a client."""


@blocking
def validate_websocket_token(scope: Scope) -> bool:
    """Whether the user of the session brings a valid token of their own; it is used by that."""
    return get_user(scope).is_authenticated and tokens.validate_websocket_token(scope)


async def avalidate_websocket_token(scope: Scope) -> bool:
    return await sync_to_async(validate_websocket_token)(scope)


def auto_route(method: Function) -> "ClientMethod":
    """Answer a message that has a `reply_key` with what the method returns."""
    made = ClientMethod.of(method)
    return ClientMethod(made.function, True, made.permissions)


def require_perms(permissions: Sequence[str]) -> Callable[[Function], "ClientMethod"]:
    """Call the method only for users with these permissions; for others nothing happens."""
    names = permission_list(permissions, "require_perms")

    def decorate(method: Function) -> ClientMethod:
        made = ClientMethod.of(method)
        return ClientMethod(made.function, made.answers, (*names, *made.permissions))

    return decorate


class ClientMethod:
    """A method that clients call by its name, on a consumer of ours or of Channels.

    It may be written with or without the event, in either colour. Where an event loop runs it
    is awaited, elsewhere it is called.
    """

    def __init__(
        self, function: Function, answers: bool = False, permissions: tuple[str, ...] = ()
    ) -> None:
        if is_generator(function):
            raise DeclarationError(
                f"{name_of(function)}: expected a method that returns its answer, got a generator; "
                "write it as a route of a RoutedSocketHandler"
            )
        update_wrapper(self, function)
        self.function = function
        self.answers = answers
        self.permissions = permissions
        self.takes_event = _takes_event(function)
        self._start = start_of(function)
        self.routed = self._routed()

    @classmethod
    def of(cls, method: Function) -> "ClientMethod":
        return method if isinstance(method, cls) else cls(unwrap(method))

    def __get__(self, consumer: Any, owner: type | None = None) -> Any:
        return self if consumer is None else MethodType(self, consumer)

    def __call__(self, consumer: Any, *arguments: Any, **named: Any) -> Any:
        run = self._run if _is_in_loop() else async_to_sync(self._run)
        return run(consumer, *arguments, **named)

    async def _run(self, consumer: Any, *arguments: Any, **named: Any) -> Any:
        """Call it, and if it answers send the answer, be it an error."""
        if not self.answers:
            return await self._call(consumer, *arguments, **named)
        message = _message_of(arguments)
        try:
            value = await self._call(consumer, *arguments, **named)
            frame = WIRE.reply(message, *answer_of(value))
        except StopConsumer:
            raise
        except Exception as fault:
            frame = WIRE.error(error_of(fault, name_of(self.function)), message)
        if frame is not None:
            await _send(consumer, message, frame)

    async def _call(self, consumer: Any, *arguments: Any, **named: Any) -> Any:
        if self.permissions and not await sync_to_async(self._admits)(consumer):
            return None
        return await self._start(consumer, *(arguments if self.takes_event else ()), **named)

    def _admits(self, consumer: Any) -> bool:
        try:
            check_permissions(get_user(consumer.scope), self.permissions)
        except (PermissionDenied, LoginRequired):
            return False
        return True

    def _routed(self) -> Function:
        """The method as a route's function, which gets the event whatever it calls it."""

        async def with_event(consumer: Any, content: Any) -> Any:
            return await self._call(consumer, content)

        async def without_event(consumer: Any) -> Any:
            return await self._call(consumer)

        routed = with_event if self.takes_event else without_event
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(routed, name, getattr(self, name, getattr(routed, name)))
        return routed


def _is_in_loop() -> bool:
    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True


def _takes_event(method: Function) -> bool:
    kinds = [parameter.kind for parameter in inspect.signature(method).parameters.values()]
    named = [kind for kind in kinds if kind <= inspect.Parameter.POSITIONAL_OR_KEYWORD]
    return len(named) > 1 or inspect.Parameter.VAR_POSITIONAL in kinds


def _message_of(arguments: tuple[Any, ...]) -> Message:
    event = arguments[0] if arguments else None
    ref = event.get("reply_key") if isinstance(event, dict) else None
    return Message(None, event, ref if isinstance(ref, str | int) else None)


async def _send(consumer: Any, message: Message, frame: str | bytes) -> None:
    """Send the answer to a message in the way of whatever consumer it is."""
    current = current_message.get()
    if isinstance(consumer, RoutedSocketHandler) and current and current.ref == message.ref:
        await consumer._answers.end(current, frame)
    elif hasattr(consumer, "send_json"):
        await start_of(consumer.send_json)(decode_json(frame))
    elif isinstance(consumer, WebsocketConsumer | AsyncWebsocketConsumer):
        await start_of(consumer.send)(frame)
    else:
        await start_of(consumer.send)({"type": "websocket.send", "text": frame})


async def refuse_undecided(consumer: Any) -> None:
    """Refuse a client whom `connect` has neither accepted nor closed, as nobody else would."""
    if not (consumer._accepting or consumer._closing or consumer._closed is not None):
        logger.warning(
            "%s.connect has neither accepted the client nor closed, so it is refused; call "
            "self.accept() or self.close()",
            type(consumer).__qualname__,
        )
        consumer.close()


class Consumer(RoutedSocketHandler):
    """A handler in the form of a Channels consumer: `connect` accepts, or nobody comes in.

    Clients call the decorated methods by their names. With a `receive_json` of its own a class
    gets every message there, but those whose type names what is no method for clients.
    """

    protocols = (WIRE,)
    refuse_at_handshake = True
    connect_hooks = (refuse_undecided,)
    max_waiting = 512  # its clients send all they have at once, and know no 429
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
        if "disconnect" in vars(cls):
            cls.disconnect = _with_code(cls.disconnect)  # type: ignore[method-assign]
        super().__init_subclass__(**kwargs)

    def connect(self) -> Any:
        """Accept the client."""
        return self.accept()

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
    if isinstance(found, ClientMethod):
        return name not in LIFE_CYCLE
    own = inspect.isfunction(found) and not hasattr(Consumer, name)
    return own and not name.startswith("_")


def _with_code(disconnect: Function) -> Function:
    """The hook of a class, which Channels gives the code by its place and not by name."""

    def with_code(consumer: Any, code: int) -> Any:
        return disconnect(consumer, code)

    with_code.__module__, with_code.__qualname__ = disconnect.__module__, disconnect.__qualname__
    return with_code
