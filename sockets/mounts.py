"""Where the project's sockets are: the URLs of its views that have a router."""

from collections.abc import Iterator
from typing import Any

import msgspec
from django.urls import URLPattern, URLResolver, get_resolver

from .handlers import RoutedSocketHandler
from .router import SocketRouter


class Mount(msgspec.Struct, frozen=True):
    """One URL of a view with a socket.

    `path` is written as in `show_urls`: the patterns joined, `/table/<int:number>/`.
    `arguments` are the names that its patterns and defaults give to the view.
    """

    path: str
    view_class: type
    router: SocketRouter
    callback: Any
    arguments: frozenset[str] = frozenset()


Mounted = dict[type[RoutedSocketHandler], list[Mount]]
"""Handlers with all the places where they are."""


def find_router(view_class: type | None) -> SocketRouter | None:
    """The router of a view class, under whatever name it has one."""
    for owner in getattr(view_class, "__mro__", ()):
        for name, value in vars(owner).items():
            if isinstance(value, SocketRouter):
                return getattr(view_class, name)  # type: ignore[no-any-return]
    return None


def find_mounts(urlconf: str | None = None) -> Iterator[Mount]:
    """Every URL of the project (or of one URLconf) that has a socket, in the order of the URLs."""
    return _mounts_of(get_resolver(urlconf).url_patterns, "/", frozenset())


def _mounts_of(
    patterns: list[URLPattern | URLResolver], prefix: str, arguments: frozenset[str]
) -> Iterator[Mount]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern).removeprefix("^")
        names = arguments | _arguments_of(pattern)
        if isinstance(pattern, URLResolver):
            yield from _mounts_of(pattern.url_patterns, path, names)
        else:
            view_class = getattr(pattern.callback, "view_class", None)
            if (router := find_router(view_class)) is not None and view_class is not None:
                yield Mount(path.removesuffix("$"), view_class, router, pattern.callback, names)


def _arguments_of(pattern: URLPattern | URLResolver) -> frozenset[str]:
    defaults = pattern.default_kwargs if isinstance(pattern, URLResolver) else pattern.default_args
    converters: dict[str, Any] = getattr(pattern.pattern, "converters", {})
    groups: dict[str, Any] = getattr(getattr(pattern.pattern, "regex", None), "groupindex", {})
    return frozenset(defaults) | frozenset(converters) | frozenset(groups)
