"""The consumers of django-observable-socket: their names and forms of routes and functions."""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, fields
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypedDict, TypeVar

from ..exceptions import DeclarationError, suggest
from ..functions import Function, is_generator, name_of
from ..protocols.observable import Observable
from ..routes import Route
from ..stages import FUNCTIONS
from ..statuses import StatusCodes as Codes
from .connecting import AcceptingHandler
from .observable_functions import HandlerArg, adapt_method, adapt_stage

__all__ = (
    "AsyncSocketRouterConsumer",
    "CallError",
    "GenericRouteInfo",
    "HandlerArg",
    "RouteInfo",
    "SocketRouterConsumer",
    "StatusCodes",
    "route_to_method_name",
)

PayloadT = TypeVar("PayloadT")
ResultT = TypeVar("ResultT")

if TYPE_CHECKING:
    StatusCodes = Codes
else:
    StatusCodes = IntEnum(
        "StatusCodes",
        {**Codes.__members__, "PENDING": 402, "PAYLOAD_TOO_LARGE": 413},
        module=__name__,
    )


class CallError(StrEnum):
    """Names for the common errors; replies that the server makes say more."""

    InvalidData = "Invalid Data"
    AccessDenied = "Access Denied"
    RouteNotFound = "Route Not Found"
    MethodNotImplemented = "Method Not Implemented"
    BadRequestFormat = "Request Format Error"
    InternalServerError = "Internal Server Error"


class RouteInfoDict(TypedDict, total=False):
    """A route as a dict; any option of our routes may stand beside these."""

    route: str
    check_data: Function | str | None
    check_access: Function | str | None
    hydrate: Function | str | None
    dehydrate: Function | str | None


@dataclass(frozen=True, kw_only=True)
class GenericRouteInfo(Generic[PayloadT, ResultT]):
    """A route as an object: what `hydrate` loads, and what the method hands to `dehydrate`."""

    route: str
    check_data: Function | str | None = None
    check_access: Function | str | None = None
    hydrate: Callable[..., PayloadT | Awaitable[PayloadT]] | str | None = None
    dehydrate: Callable[[ResultT], Any] | str | None = None


RouteInfo = RouteInfoDict | GenericRouteInfo[Any, Any]


def route_to_method_name(route: str) -> str:
    """The method for a route: `on_say_hello` for `sayHello`."""
    return "on_" + re.sub("([a-z])([A-Z])", r"\1_\2", route).lower()


Declared = list[Any] | tuple[Any, ...]


class RouteList(tuple[Any, ...]):
    """The routes of a consumer class, to which a subclass may add lists.

    Called, it returns them as they were declared, in what they were declared in.
    """

    declared: Declared = ()

    def __call__(self) -> Declared:
        return copy(self.declared) or []

    def __add__(self, others: Iterable[Any]) -> Any:
        return (*self, *others)

    def __radd__(self, others: Iterable[Any]) -> Any:
        return (*others, *self)

    def setter(self, function: Function) -> "Setter":
        """Mark a method that sets `self._routes`; it is called once, with the class."""
        return Setter(function)


@dataclass(frozen=True)
class Setter:
    function: Function


class SocketRouterConsumer(AcceptingHandler):
    """A handler for clients of ObservableSocket, whose methods follow from its routes' names.

    Methods and functions of either colour may have their parameters in any of the forms of
    django-observable-socket, and return dicts of `status`, `payload` and `headers`.
    """

    protocols = (Observable(),)
    routes: ClassVar[Any] = RouteList()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        declared = _declared_by(cls)
        cls.routes = RouteList(_routes_of(cls, declared))
        cls.routes.declared = declared
        super().__init_subclass__(**kwargs)


AsyncSocketRouterConsumer = SocketRouterConsumer


class MissingMethod:
    """Stands for the method of a route that has none."""

    def __init__(self, consumer: type, method: str) -> None:
        self.method = method
        self.__module__ = consumer.__module__
        self.__qualname__ = f"{consumer.__qualname__}.{method}"

    async def __call__(self, socket: Any) -> None:
        raise NotImplementedError(f"expected a method {name_of(self)}, got none; write it")


def _declared_by(cls: type[SocketRouterConsumer]) -> Declared:
    """The routes of a class as it declares them, or the one that it inherits them from."""
    owners = (owner for owner in cls.__mro__ if {"routes", "_routes"} & vars(owner).keys())
    own = vars(next(owners))
    given = own.get("routes", own.get("_routes"))
    if isinstance(given, RouteList):
        return given.declared
    if isinstance(given, classmethod):
        given = cls.routes()
    elif isinstance(given, property) and given.fget is not None:
        given = given.fget(cls)
    elif isinstance(given, Setter):
        given.function(cls, ())
        given = vars(cls).get("_routes")
    if not isinstance(given, Iterable) or isinstance(given, str | Mapping):
        raise DeclarationError(f"{name_of(cls)}.routes: expected a list of routes, got {given!r}")
    return tuple(given) if isinstance(given, tuple) else list(given)


def _routes_of(cls: type[SocketRouterConsumer], declared: Iterable[Any]) -> list[Any]:
    """Routes for the handler: of several with one name the first counts."""
    routes: dict[Any, Any] = {}
    for given in declared:
        if isinstance(given, Route | tuple):
            routes[id(given)] = given  # in a form of our own
        else:
            info = _as_dict(cls, given)
            routes.setdefault(info["route"], info)
    return [_route(cls, info) if isinstance(info, dict) else info for info in routes.values()]


def _as_dict(cls: type[SocketRouterConsumer], given: Any) -> dict[str, Any]:
    if isinstance(given, GenericRouteInfo):
        return {field.name: getattr(given, field.name) for field in fields(given)}
    if isinstance(given, dict) and isinstance(given.get("route"), str):
        return given
    raise DeclarationError(
        f'{name_of(cls)}.routes: expected {{"route": name, ...}} or a GenericRouteInfo, got '
        f"{given!r}"
    )


def _route(cls: type[SocketRouterConsumer], info: dict[str, Any]) -> Route:
    options = {name: value for name, value in info.items() if name != "route"}
    for name in FUNCTIONS:
        if (given := options.get(name)) is not None:
            function = _function(cls, given)
            options[name] = adapt_stage(name, function, has_self=_is_method(cls, function))
    method = route_to_method_name(info["route"])
    if not hasattr(cls, method):
        return Route.of(info["route"], MissingMethod(cls, method), **options)
    function = _function(cls, method)
    options.setdefault("concurrent", is_generator(function))
    adapted = adapt_method(function, has_self=_is_method(cls, function))
    return Route.of(info["route"], adapted, **options)


def _function(cls: type[SocketRouterConsumer], given: Any) -> Function:
    """A function that was given, or the method of this name."""
    if isinstance(given, str) and not hasattr(cls, given):
        methods = [name for name in dir(cls) if not name.startswith("_")]
        raise DeclarationError(
            f"{name_of(cls)}.routes names the method {given!r}, which does not exist; "
            f"{suggest(given, methods)}"
        )
    function: Any = getattr(cls, given) if isinstance(given, str) else given
    if not callable(function):
        raise DeclarationError(
            f"{name_of(cls)}.routes: expected a function or the name of a method, got {given!r}"
        )
    return function  # type: ignore[no-any-return]


def _is_method(cls: type, function: Any) -> bool:
    """Whether a function stands in the body of a class, where its first parameter is `self`."""
    if not inspect.isfunction(function):
        return False
    return any(function is value for owner in cls.__mro__ for value in vars(owner).values())
