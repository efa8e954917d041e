"""What a handler class declares, checked and compiled when the class is made."""

from typing import Any

from channels.consumer import get_handler_name

from .arguments import DISCONNECT_WORDS, HOOK_WORDS, Call, Function, bind, unwrap
from .built_in import BUILT_IN
from .exceptions import DeclarationError, suggest
from .routes import Key, Route, Routes

RouteLike = Route | tuple[Key, str | Function]

# What Channels' consumers call and a routed handler never does, and what takes its place.
NEVER_CALLED = {
    "websocket_connect": "write `connect(self)`; accept follows by itself",
    "websocket_receive": "write a route, or `default_route(self, content)`",
    "websocket_disconnect": "write `disconnect(self, code)`",
    "receive": "write a route, or `default_route(self, content)`",
    "receive_json": "write a route, or `default_route(self, content)`",
    "decode_json": "give a protocol in `protocols`",
    "encode_json": "give a protocol in `protocols`",
    "dispatch": "write a method named after the layer's event",
}


class Declaration:
    """The routes, hooks and layer events of one handler class."""

    def __init__(self, handler: Any, base: type) -> None:
        self._handler = handler
        self._base = base
        for name, instead in NEVER_CALLED.items():
            if name in vars(handler):
                raise DeclarationError(
                    f"{handler.__qualname__}.{name} would never be called; {instead}"
                )
        default = self._own("default_route")
        self.routes = Routes(
            [*BUILT_IN, *(self._route(given) for given in handler.routes)],
            default=default and Route.of((), default),
            timeout=handler.timeout,
        )
        self.connect_hooks = self._hooks("connect", HOOK_WORDS)
        self.disconnect_hooks = self._hooks("disconnect", DISCONNECT_WORDS)
        self.groups = tuple(handler.groups or ())
        self.uses_layer = handler.uses_channel_layer or bool(self.groups)
        self._event_routes: dict[str, Route] = {}

    def event_route(self, event: dict[str, Any]) -> Route | None:
        """The method that a channel layer's event is meant for, or None.

        Only what the handler's own classes define is: a type such as `close` reaches nothing.
        """
        try:
            name = get_handler_name(event)
        except ValueError:
            return None
        if name not in self._event_routes:
            if hasattr(self._base, name) or not hasattr(self._handler, name):
                return None
            self._event_routes[name] = self.routes.timed(Route.of((), self._named(name)))
        return self._event_routes[name]

    def _route(self, given: RouteLike) -> Route:
        if isinstance(given, Route):
            return given
        try:
            key, function = given
        except (TypeError, ValueError):
            raise DeclarationError(
                f"{self._handler.__qualname__}.routes: expected (key, method name or function) "
                f"or a Route, got {given!r}"
            ) from None
        return Route.of((key,), self._named(function) if isinstance(function, str) else function)

    def _named(self, name: str) -> Function:
        try:
            return unwrap(getattr(self._handler, name))
        except AttributeError:
            methods = [name for name in dir(self._handler) if not name.startswith("_")]
            raise DeclarationError(
                f"{self._handler.__qualname__}.routes names the method {name!r}, which does not "
                f"exist; {suggest(name, methods)}"
            ) from None

    def _own(self, name: str) -> Function | None:
        """The method of this name, unless it is the base's, which does nothing."""
        function = getattr(self._handler, name)
        return None if function is getattr(self._base, name) else unwrap(function)

    def _hooks(self, name: str, words: Any) -> list[Call]:
        """The class's own hook, then those that a router has collected."""
        method = self._own(name)
        collected = map(unwrap, getattr(self._handler, f"{name}_hooks"))
        return [bind(hook, words) for hook in (method, *collected) if hook is not None]
