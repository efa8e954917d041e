"""Declaring a view's socket routes with decorators."""

import re
from collections.abc import Callable, Iterable
from copy import copy
from itertools import product
from typing import Any, TypeVar, Unpack, overload

from .arguments import DISCONNECT_WORDS, HOOK_WORDS, Words, bind
from .attributes import DECORATED, attributes_of, check_attribute, comparable, room_for
from .declaration import group_rule
from .exceptions import DeclarationError, suggest
from .functions import name_of, unwrap
from .handlers import RoutedSocketHandler
from .multiplexing import STREAM_END, hook_in_stream
from .routes import Key, Route, RouteOptions

F = TypeVar("F", bound=Callable[..., Any])

EVERY_KEY = re.compile("")


class SocketRouter:
    """The socket side of a view: decorators register functions, the `Handler` serves them.

    `handler` is the base class of that Handler. Other keyword arguments are class attributes
    set on it, as is any attribute set on the router: `socket.login_required = True`. Each
    view class has a router of its own; one that inherits a router has a copy of it.
    """

    def __init__(
        self, handler: type[RoutedSocketHandler] = RoutedSocketHandler, **attributes: Any
    ) -> None:
        if not (isinstance(handler, type) and issubclass(handler, RoutedSocketHandler)):
            raise DeclarationError(
                f"expected a subclass of RoutedSocketHandler as handler, got {handler!r}"
            )
        self._base = handler
        self._attributes: dict[str, Any] = {}
        self._routes: list[Route] = []
        self._group_rules: list[Route] = []
        self._connect_hooks: list[Callable[..., Any]] = []
        self._disconnect_hooks: list[Callable[..., Any]] = []
        self._default_route: Callable[..., Any] | None = None
        self._inherits_default = False
        self._included = False
        self._handler: type[RoutedSocketHandler] | None = None
        self._owner: type | None = None
        self._name = "socket"
        for name, value in attributes.items():
            setattr(self, name, value)

    @overload
    def route(self, function: F, /) -> F: ...
    @overload
    def route(self, *keys: Key, **options: Unpack[RouteOptions]) -> Callable[[F], F]: ...
    def route(self, *keys: Any, **options: Any) -> Any:
        """Route messages with these keys, strings or compiled regexes, to the function.

        Without keys the function's name is the key, by the protocol's rule. Of all routes
        that match, the one defined last wins.
        """
        if len(keys) == 1 and not options and (callable(keys[0]) or _is_method(keys[0])):
            return self.route()(keys[0])

        def register(function: F) -> F:
            self._refuse_if_made()
            plain = unwrap(function)
            self._refuse_other_class(plain)
            self._routes.append(Route.of(keys or (self._key_for(plain),), plain, **options))
            return function

        return register

    def group(self, pattern: str | re.Pattern[str]) -> Callable[[F], F]:
        """Let clients join the groups whose names match, unless the function refuses.

        It refuses by raising, or by returning False; what else it returns is the answer to
        the client. Of all rules that match, the one defined last decides.
        """
        if callable(pattern) or _is_method(pattern):
            raise DeclarationError(
                f"expected a regex for the names of groups, got {pattern!r}; write "
                '@socket.group(r"...")'
            )

        def register(function: F) -> F:
            self._refuse_if_made()
            plain = unwrap(function)
            self._refuse_other_class(plain)
            self._group_rules.append(group_rule(pattern, plain))
            return function

        return register

    def connect(self, function: F) -> F:
        """Call the function before a client is accepted; raising or closing refuses it."""
        return self._add_hook(self._connect_hooks, function, HOOK_WORDS)

    def disconnect(self, function: F) -> F:
        """Call the function once a client is gone, whatever the reason."""
        return self._add_hook(self._disconnect_hooks, function, DISCONNECT_WORDS)

    def default_route(self, function: F) -> F:
        """Call the function with messages that no route matches."""
        self._refuse_if_made()
        plain = unwrap(function)
        Route.of((), plain)
        if self._default_route is not None and not self._inherits_default:
            raise DeclarationError(
                f"{name_of(plain)}: the default route is {name_of(self._default_route)} already; "
                "keep one of them"
            )
        self._default_route, self._inherits_default = plain, False
        return function

    def include(self, router: "SocketRouter", prefix: str = "", stream: str | None = None) -> None:
        """Add another router's routes and hooks here, its keys beginning with `prefix`.

        With `stream` its routes take only messages in the stream of this name, which no others
        take; protocols with streams have such messages. An included route that would hide one
        defined before it is an error, and so are attributes of the other router that differ
        from those of this one.
        """
        self._refuse_if_made()
        if not isinstance(router, SocketRouter):
            raise DeclarationError(f"expected a SocketRouter to include, got {router!r}")
        self._check_attributes(router)
        theirs, ours = router._base._declared, self._base._declared
        if stream is None:
            routes = _without(ours.own_routes, router._all_routes)
            routes = [route.prefixed(prefix) for route in routes]
        else:
            routes = router._routes_in_stream(stream, prefix)
        rules = _without(
            ours.group_rules.routes, [*theirs.group_rules.routes, *router._group_rules]
        )
        self._check_hidden(routes, self._routes)
        self._check_hidden(rules, self._group_rules)
        router._included = True
        self._routes += routes
        self._group_rules += rules
        hooks = [*theirs.connect, *router._connect_hooks]
        hooks = [hook for hook in hooks if hook not in ours.connect]
        if stream is not None:
            hooks = [hook_in_stream(hook, stream) for hook in hooks]
        self._connect_hooks += hooks
        hooks = [*theirs.disconnect, *router._disconnect_hooks]
        self._disconnect_hooks += [hook for hook in hooks if hook not in ours.disconnect]
        default = router._default_route or theirs.default
        if stream is None and default is not None and default is not ours.default:
            self.default_route(default)

    @property
    def _all_routes(self) -> list[Route]:
        return [*self._base._declared.own_routes, *self._routes]

    def _routes_in_stream(self, stream: str, prefix: str) -> list[Route]:
        """The routes as those of a stream; of these the default route is one that takes all."""
        if not isinstance(stream, str) or not stream or STREAM_END in stream:
            raise DeclarationError(f"expected the name of a stream, got {stream!r}")
        routes = [route.prefixed(prefix) for route in self._all_routes]
        default = self._default_route or self._base._declared.default
        if default is not None:
            routes.insert(0, Route.of(EVERY_KEY, default))
        return [route.in_stream(stream) for route in routes]

    @property
    def Handler(self) -> type[RoutedSocketHandler]:
        """The Channels consumer that serves this router; `Handler.as_asgi()` mounts it."""
        if self._handler is None:
            self._handler = self._make_handler()
        return self._handler

    def __set_name__(self, owner: type, name: str) -> None:
        if self._owner is not None:
            setattr(owner, name, self._copy(owner, name))
        else:
            self._owner, self._name = owner, name

    def __get__(self, instance: object, owner: type) -> "SocketRouter":
        if self._owner is None or owner is self._owner:
            return self
        copied = self._copy(owner, self._name)
        setattr(owner, self._name, copied)
        return copied

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
            return
        known = attributes_of(self._base)
        if name in DECORATED:
            raise DeclarationError(
                f"{name!r} is not set on a router but declared by its decorators"
            )
        if name not in known:
            raise DeclarationError(
                f"{self._base.__qualname__} has no attribute {name!r}; {suggest(name, known)}"
            )
        self._refuse_if_made()
        check_attribute(name, value, type(self).__name__)
        self._attributes[name] = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        known = attributes_of(self._base)
        if name in known:
            return self._value(name)
        known |= {"route", "group", "connect", "disconnect", "default_route", "include", "Handler"}
        raise AttributeError(f"a SocketRouter has no attribute {name!r}; {suggest(name, known)}")

    def _value(self, name: str) -> Any:
        value: Any = self._attributes.get(name, getattr(self._base, name, None))
        if name == "max_waiting" and name not in self._attributes:
            return room_for(self._value("protocols"), value)
        return value

    def _key_for(self, function: Callable[..., Any]) -> str:
        protocol = self._value("protocols")[0]
        return str(protocol.key(name_of(function).rpartition(".")[2]))

    def _add_hook(self, hooks: list[Callable[..., Any]], function: F, words: Words) -> F:
        self._refuse_if_made()
        plain = unwrap(function)
        bind(plain, words)
        hooks.append(plain)
        return function

    def _check_attributes(self, router: "SocketRouter") -> None:
        for name in attributes_of(router._base):
            value, here = router._value(name), self._value(name)
            usual = getattr(RoutedSocketHandler, name, None)
            if comparable(value) not in (comparable(here), comparable(usual)):
                raise DeclarationError(
                    f"the included router has {name} = {value!r}, which would be {here!r} here; "
                    "set it on the including router too"
                )

    def _check_hidden(self, included: list[Route], here: list[Route]) -> None:
        for route, earlier in product(included, here):
            if (key := route.hides(earlier)) is not None:
                raise DeclarationError(
                    f"including {name_of(route.function)} would hide {name_of(earlier.function)}, "
                    f"which has the key {key!r}; give a prefix"
                )

    def _refuse_if_made(self) -> None:
        if self._included:
            raise DeclarationError(
                "this router was included in another, which would not see the change; declare all "
                "of it before it is included"
            )
        if self._handler is not None:
            raise DeclarationError(
                f"{self._handler.__qualname__} is made already and would not see the change; "
                "declare all of a router before its Handler is first used"
            )

    def _refuse_other_class(self, function: Callable[..., Any]) -> None:
        """A function in the body of another class than the router's would change that class."""
        owner, body = self._owner, getattr(function, "__qualname__", "").rpartition(".")[0]
        if owner is None or not body or body.endswith("<locals>"):
            return
        if (function.__module__, body) != (owner.__module__, owner.__qualname__):
            raise DeclarationError(
                f"{name_of(function)}: the router is that of {owner.__qualname__}, which would get "
                f"this route too; write socket = SocketRouter(handler={owner.__name__}."
                f"{self._name}.Handler) in your class and declare it there"
            )

    def _copy(self, owner: type, name: str) -> "SocketRouter":
        copied = copy(self)
        copied._attributes = dict(self._attributes)
        copied._routes = list(self._routes)
        copied._group_rules = list(self._group_rules)
        copied._connect_hooks = list(self._connect_hooks)
        copied._disconnect_hooks = list(self._disconnect_hooks)
        copied._handler, copied._included, copied._inherits_default = None, False, True
        copied._owner, copied._name = owner, name
        return copied

    def _make_handler(self) -> type[RoutedSocketHandler]:
        base, owner = self._base, self._owner
        namespace: dict[str, Any] = {
            **self._attributes,
            "routes": (*base.routes, *self._routes),
            "group_rules": (*base.group_rules, *self._group_rules),
            "connect_hooks": (*base.connect_hooks, *self._connect_hooks),
            "disconnect_hooks": (*base.disconnect_hooks, *self._disconnect_hooks),
        }
        if self._default_route is not None:
            namespace["default_route"] = staticmethod(self._default_route)
        name = "SocketHandler"
        if owner is not None:
            name = f"{owner.__name__}Handler"
            namespace["view_class"] = owner
            namespace["__module__"] = owner.__module__
            namespace["__qualname__"] = f"{owner.__qualname__}.{self._name}.Handler"
            namespace["__doc__"] = f"The sockets of {owner.__qualname__}."
        return type(name, (base,), namespace)


def _without(shared: Iterable[Route], routes: list[Route]) -> list[Route]:
    known = {(route.keys, route.function) for route in shared}
    return [route for route in routes if (route.keys, route.function) not in known]


def _is_method(given: object) -> bool:
    return isinstance(given, staticmethod | classmethod)
