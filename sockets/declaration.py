"""What a handler class declares, checked and compiled when the class is made."""

import re
from typing import Any

from channels.consumer import get_handler_name

from .arguments import DISCONNECT_WORDS, HOOK_WORDS, bind
from .attributes import ATTRIBUTES, RouteLike, check_attribute
from .built_in import BUILT_IN, on_ping
from .exceptions import DeclarationError, suggest
from .functions import Function, is_generator, name_of, unwrap
from .guards import Guard, has_perm, required_permissions
from .pipeline import admission
from .protocols.base import Protocol
from .routes import Route, Routes
from .stages import FUNCTIONS

PACKAGE = __name__.partition(".")[0]

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

# A method in their place would be taken for what the connection's row is made of.
OF_THE_ROW = frozenset({"id", "path", "row", "user_ip"})


def group_rule(pattern: str | re.Pattern[str], function: Function) -> Route:
    """The rule for the groups whose names match: who may join is the function's to say."""
    function = unwrap(function)
    if is_generator(function):
        raise DeclarationError(
            f"{name_of(function)}: a rule allows or refuses, so it cannot be a generator"
        )
    try:
        return Route.of((re.compile(pattern),), function)
    except (re.error, TypeError) as fault:
        raise DeclarationError(
            f"{name_of(function)}: expected a regex for the names of groups, got {pattern!r}: "
            f"{fault}"
        ) from fault


class Declaration:
    """The routes, hooks and layer events of one handler class."""

    def __init__(self, handler: Any, base: type) -> None:
        self._handler = handler
        self._base = base
        self._check_overrides()
        for name in ATTRIBUTES:
            check_attribute(name, getattr(handler, name), handler.__qualname__)
        if not isinstance(handler.routes, tuple):
            handler.routes = tuple(handler.routes)  # a generator would be used up
        self.access = self._find_access()
        """The guards that a handler asks before its hooks, and before each message."""
        self.admit = admission(self.access, f"{handler.__qualname__}.guards")
        self.default = self._own("default_route")
        self.own_routes = tuple(map(self._route, handler.routes))
        self._has_streams = any(protocol.has_streams for protocol in handler.protocols)
        known = {protocol.has_built_in for protocol in handler.protocols}
        self.built_in = BUILT_IN if True in known else ()
        self.routes = self._table(self.built_in)
        self._own_table = self._table(()) if len(known) > 1 else self.routes
        found = self.routes.find("PING")
        self.hears_ping = found is not None and found[0].function is on_ping
        """Whether a PING is the client's answer to ours, and not a route of the user's."""
        handler.group_rules = tuple(handler.group_rules)
        self.group_rules = Routes(
            (self._group_rule(given).behind(self.access) for given in handler.group_rules),
            default=None,
            timeout=None,
        )
        if handler.group_rules and not self.built_in:
            raise DeclarationError(
                f"{handler.__qualname__}.group_rules: expected a protocol whose clients know JOIN, "
                "such as Native(); those of the others join by routes that call socket.join()"
            )
        self.is_flat = all(protocol.is_flat for protocol in handler.protocols)
        self._check_schemas()
        self._check_streams()
        self.connect = self._hooks("connect")
        self.disconnect = self._hooks("disconnect")
        self.connect_hooks = [bind(hook, HOOK_WORDS) for hook in self.connect]
        self.disconnect_hooks = [bind(hook, DISCONNECT_WORDS) for hook in self.disconnect]
        self.groups = tuple(handler.groups or ())
        self.uses_layer = handler.uses_channel_layer or bool(self.groups)
        self.opens_at_once = not self.connect_hooks and not self.uses_layer
        """Whether a handshake waits for nothing that takes long."""
        self._event_routes: dict[str, Route] = {}

    def routes_for(self, protocol: Protocol) -> Routes:
        """The routes of a connection that speaks this protocol."""
        return self.routes if protocol.has_built_in else self._own_table

    def event_route(self, event: dict[str, Any]) -> Route | None:
        """The method that a channel layer's event is meant for, or None.

        Only what the handler's own classes define is: a type such as `close` reaches nothing.
        """
        try:
            name = get_handler_name(event)
        except (ValueError, AttributeError):  # not a string
            return None
        if name not in self._event_routes:
            if hasattr(self._base, name) or not callable(getattr(self._handler, name, None)):
                return None
            # An event is no client's, so nothing checks it, whatever it is annotated with.
            route = Route.of((), self._named(name), schema=None)
            self._event_routes[name] = self.routes.timed(route)
        return self._event_routes[name]

    def _check_overrides(self) -> None:
        for owner in self._handler.__mro__[: self._handler.__mro__.index(self._base)]:
            for name in NEVER_CALLED.keys() & vars(owner).keys() - self._handler._channels_methods:
                raise DeclarationError(
                    f"{owner.__qualname__}.{name} would never be called; {NEVER_CALLED[name]}"
                )
            if owner.__module__.partition(".")[0] == PACKAGE:
                continue  # it knows what it replaces
            for name, value in vars(owner).items():
                private = name.startswith("_") and not name.startswith("__")
                taken = private and name != "_declared" and hasattr(self._base, name)
                if taken or (name in OF_THE_ROW and callable(value)):
                    raise DeclarationError(
                        f"{owner.__qualname__}.{name} would replace a handler's own; rename it"
                    )

    @property
    def all_routes(self) -> list[Route]:
        """The handler's own routes, its rules for groups, and the default route."""
        default = () if self.routes.default is None else (self.routes.default,)
        return [*self.own_routes, *self.group_rules.routes, *default]

    def _check_schemas(self) -> None:
        for route in self.all_routes if self.is_flat else ():
            if route.schema is not None and route.own_name is None and route.misfit is not None:
                raise DeclarationError(
                    f"{name_of(route.function)}: no message fits {route.schema.name}, as content "
                    f"is an object with its type: {route.misfit}; annotate it with a class that "
                    "has these fields"
                )

    def _check_streams(self) -> None:
        for route in self.own_routes:
            if route.stream is not None and not self._has_streams:
                raise DeclarationError(
                    f"{self._handler.__qualname__}: no client could reach the stream "
                    f"{route.stream!r}; give a protocol that has streams, such as "
                    "protocols = (DCRF(),)"
                )

    def _table(self, built_in: tuple[Route, ...]) -> Routes:
        return Routes(
            [*built_in, *(route.behind(self.access) for route in self.own_routes)],
            default=self.default and Route.of((), self.default).behind(self.access),
            timeout=self._handler.timeout,
            has_streams=self._has_streams,
        )

    def _route(self, given: RouteLike) -> Route:
        if isinstance(given, Route):
            return given
        try:
            key, function, *rest = given
            [options] = rest or [{}]
            options = {name: self._with_methods(name, option) for name, option in options.items()}
        except (TypeError, ValueError, AttributeError):
            raise DeclarationError(
                f"{self._handler.__qualname__}.routes: expected (key, method name or function), "
                f"the two with a dict of options, or a Route, got {given!r}"
            ) from None
        return Route.of((key,), self._method(function), **options)

    def _find_access(self) -> tuple[Guard, ...]:
        permissions, guards = self._handler.permissions, self._handler.guards
        asked = [has_perm(*permissions)] if permissions else []
        return (*asked, *(Guard.of(self._method(given, "guards")) for given in guards))

    def _with_methods(self, option: str, value: Any) -> Any:
        """An option of a route, with methods in the places of their names."""
        if option == "guards" and isinstance(value, list | tuple):
            return [self._method(given) for given in value]
        return self._method(value) if option in FUNCTIONS else value

    def _method(self, given: Any, where: str = "routes") -> Any:
        return self._named(given, where) if isinstance(given, str) else given

    def _group_rule(self, given: Any) -> Route:
        if isinstance(given, Route):
            return given
        try:
            pattern, function = given
        except (TypeError, ValueError):
            raise DeclarationError(
                f"{self._handler.__qualname__}.group_rules: expected (regex, method name or "
                f"function), got {given!r}"
            ) from None
        if isinstance(function, str):
            function = self._named(function, "group_rules")
        return group_rule(pattern, function)

    def _named(self, name: str, where: str = "routes") -> Function:
        missing = object()
        where = f"{self._handler.__qualname__}.{where}"
        if getattr(self._handler, name, missing) is getattr(self._base, name, None):
            raise DeclarationError(
                f"{where} names {name!r}, which is a handler's own attribute; write a method of "
                "another name"
            )
        try:
            return unwrap(getattr(self._handler, name))
        except AttributeError:
            methods = [name for name in dir(self._handler) if not name.startswith("_")]
            raise DeclarationError(
                f"{where} names the method {name!r}, which does not exist; {suggest(name, methods)}"
            ) from None

    def _own(self, name: str) -> Function | None:
        """The method of this name, unless it is the base's, which does nothing."""
        function = getattr(self._handler, name)
        return None if function is getattr(self._base, name) else unwrap(function)

    def _hooks(self, name: str) -> list[Function]:
        """The class's own hook, then those that a router has collected."""
        method = self._own(name)
        collected = map(unwrap, getattr(self._handler, f"{name}_hooks"))
        hooks = [hook for hook in (method, *collected) if hook is not None]
        for hook in hooks:
            if required_permissions(hook):
                raise DeclarationError(
                    f"{name_of(hook)}: write @require_perms beneath @socket.{name}, so that the "
                    "hook is what it guards"
                )
        return hooks
