"""System checks of routes and their functions: keys, regexes, names and arguments."""

import inspect
import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Literal

from django.apps import apps
from django.contrib.auth import get_permission_codename
from django.core.checks import CheckMessage, Error, Warning

from .arguments import DISCONNECT_WORDS, HOOK_WORDS, url_arguments
from .declaration import Declaration
from .functions import Function, name_of
from .guards import required_permissions
from .handlers import RoutedSocketHandler
from .mounts import Mounted, find_router
from .patterns import is_exponential
from .routes import Route
from .stages import STAGE_WORDS


def check_hidden_routes(mounted: Mounted) -> Iterator[CheckMessage]:
    """Routes and group rules none of whose keys can be reached, as later ones take them all."""
    found: dict[tuple[Function, Function], CheckMessage] = {}
    for handler in mounted:
        for route, hiders in (*_hidden(handler, "routes"), *_hidden(handler, "group_rules")):
            names = ", ".join(dict.fromkeys(name_of(hider.function) for hider in hiders))
            found[route.function, hiders[0].function] = Warning(
                f"{name_of(route.function)} is never called with "
                f"{', '.join(map(_written, route.keys))}: {names}, defined later, takes it.",
                hint="The last one that matches wins. Define the one with the wider key first, or "
                "delete the hidden one.",
                obj=handler,
                id="sockets.W002",
            )
    yield from found.values()


def _hidden(
    handler: type[RoutedSocketHandler], attribute: Literal["routes", "group_rules"]
) -> Iterator[tuple[Route, list[Route]]]:
    declared = handler._declared
    routes = declared.own_routes if attribute == "routes" else declared.group_rules.routes
    levels = [_level(handler, attribute, given) for given in getattr(handler, attribute)]
    for position, route in enumerate(routes):
        # What a subclass hides of its base it overrides, as it may.
        later = [
            other
            for other, level in zip(routes[position:], levels[position:], strict=True)
            if level == levels[position] and other.function is not route.function
        ]
        if hiders := _hiders(route, later):
            yield route, hiders


def _hiders(route: Route, later: list[Route]) -> list[Route]:
    """For each key the last of the later routes that takes it; none if a key is left."""
    hiders = [
        next((other for other in reversed(later) if other.takes(key, route.prefix)), None)
        for key in route.keys
    ]
    return [] if None in hiders else [hider for hider in hiders if hider is not None]


def _level(handler: type[RoutedSocketHandler], attribute: str, given: object) -> int:
    """How many of a handler's classes have a route: the same for those that one class added."""
    return sum(given in tuple(getattr(owner, attribute, ())) for owner in handler.__mro__)


def check_regexes(mounted: Mounted) -> Iterator[CheckMessage]:
    """Regexes with which a client can stop the process by one message."""
    regexes = {
        (route.function, key): handler
        for handler in mounted
        for route in (*handler._declared.own_routes, *handler._declared.group_rules.routes)
        for key in route.keys
        if isinstance(key, re.Pattern)
    }
    for (function, regex), handler in regexes.items():
        if is_exponential(regex):
            yield Warning(
                f"The regex {regex.pattern!r} of {name_of(function)} has a repeat that can match "
                "the same text in many ways; a short key could stop the process for hours.",
                hint="Let each repetition begin or end with text that nothing else in it matches: "
                r"`(\w+,)*` instead of `(\w+,?)*`, `a+` instead of `(a+)+`.",
                obj=handler,
                id="sockets.W003",
            )


def check_names(mounted: Mounted) -> Iterator[CheckMessage]:
    """Routed functions that take the place of what their view needs under the same name."""
    for handler, (mount, *_) in mounted.items():
        routed = {id(function) for function, _ in _functions(handler._declared)}
        for name in sorted(_names_of_page(mount.view_class)):
            value = inspect.getattr_static(mount.view_class, name, None)
            function = value.__func__ if isinstance(value, staticmethod) else value
            if id(function) in routed:
                yield Error(
                    f"{name_of(function)} is a function of the socket, but the page of "
                    f"{name_of(mount.view_class)} calls its {name!r}.",
                    hint=f"Rename it, for example to `on_{name}`; give the key to the decorator.",
                    obj=mount.view_class,
                    id="sockets.E002",
                )


def _names_of_page(view_class: type) -> set[str]:
    """The HTTP methods, and what the view has of classes that have no socket."""
    inherited = (vars(owner) for owner in view_class.__mro__ if find_router(owner) is None)
    return set(getattr(view_class, "http_method_names", ())).union(*inherited)


def check_url_arguments(mounted: Mounted) -> Iterator[CheckMessage]:
    """Parameters that ask for a URL argument which no path of the view has."""
    for handler, mounts in mounted.items():
        known = frozenset[str]().union(*(mount.arguments for mount in mounts))
        paths = ", ".join(mount.path for mount in mounts)
        for function, names in _functions(handler._declared):
            for name in names:
                if name not in known:
                    yield Error(
                        f"{name_of(function)} takes {name!r} from the URL, which has no such "
                        f"argument: {paths}",
                        hint="Correct the name, add the argument to the path, or give the "
                        "parameter a default. Where it is the content, put it first after the "
                        "handler.",
                        obj=mounts[0].view_class,
                        id="sockets.E003",
                    )


def check_permissions(mounted: Mounted) -> Iterator[CheckMessage]:
    """Permissions that no model has, but one of almost the same name."""
    known = set(_known_permissions())
    asked = {asked: handler for handler in mounted for asked in _asked_permissions(handler)}
    for (where, name), handler in asked.items():
        near = get_close_matches(name, known, n=1)
        if name not in known and near:
            yield Warning(
                f"{where} asks for the permission {name!r}, which no model has, so that only "
                "superusers pass.",
                hint=f"Did you mean {near[0]!r}? If a backend of your own knows it, add "
                "'sockets.W011' to SILENCED_SYSTEM_CHECKS.",
                obj=handler,
                id="sockets.W011",
            )


def _asked_permissions(handler: type[RoutedSocketHandler]) -> Iterator[tuple[str, str]]:
    declared = handler._declared
    for name in handler.permissions:
        yield name_of(handler), name
    for route in (*declared.own_routes, *declared.group_rules.routes):
        for name in (
            *route.stages.permissions,
            *required_permissions(inspect.unwrap(route.function)),
        ):
            yield name_of(route.function), name


def _known_permissions() -> Iterator[str]:
    for model in apps.get_models():
        options = model._meta
        yield from (
            f"{options.app_label}.{name}"
            for name in (
                *(get_permission_codename(does, options) for does in options.default_permissions),
                *(name for name, _ in options.permissions),
            )
        )


def _functions(declared: Declaration) -> Iterator[tuple[Function, list[str]]]:
    """The functions of a handler, each with the URL arguments that it must have."""
    for route in declared.all_routes:
        # What is called by a name of its own, and no content fits, must be of the URL.
        if declared.is_flat and route.own_name and route.misfit:
            yield route.content_taker, [route.own_name]
        yield from route.url_arguments
    for guard in declared.access:
        for function in guard.functions():
            # They are asked before there is content, which so has no name of its own there.
            words = {name: read for name, read in STAGE_WORDS.items() if name != "content"}
            yield function, url_arguments(function, words, frozenset({"content"}))
    for hook in declared.connect:
        yield hook, url_arguments(hook, HOOK_WORDS)
    for hook in declared.disconnect:
        yield hook, url_arguments(hook, DISCONNECT_WORDS)


def _written(key: str | re.Pattern[str]) -> str:
    return repr(key if isinstance(key, str) else key.pattern)


CHECKS = (
    check_hidden_routes,
    check_regexes,
    check_names,
    check_url_arguments,
    check_permissions,
)
