"""Which function a message goes to."""

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from types import MappingProxyType
from typing import Any, TypedDict

from msgspec import Struct
from msgspec.structs import replace

from .arguments import ROUTE_WORDS, Call, Groups, url_arguments
from .content import Cleaning, content_schema, own_name
from .exceptions import SHOWN, DeclarationError, UnknownKey, UnknownStream, suggest
from .functions import Function, is_generator, name_of, unwrap
from .guards import Guard, has_perm, required_permissions
from .multiplexing import key_in_stream, stream_of
from .pipeline import compose
from .schemas import Schema, schema_of_option
from .stages import NO_STAGES, Stages

Key = str | re.Pattern[str]

CACHED_KEYS = 1024
"""Found keys that a table remembers."""
CACHED_KEY_LENGTH = 128
"""Characters of the longest key that it remembers."""


class RouteOptions(TypedDict, total=False):
    """What may be set per route."""

    schema: object
    login_required: bool
    permissions: Sequence[str]
    guards: Sequence[Guard | Function]
    check_access: Function | None
    check_data: Function | None
    hydrate: Function | None
    dehydrate: Function | None
    concurrent: bool
    timeout: float | None


class Route(Struct, frozen=True, kw_only=True):
    """A function and the keys that lead to it.

    `concurrent` runs it beside the connection's other messages instead of in their order;
    generators are concurrent unless told otherwise. `timeout` is in seconds; None is without
    limit. `cleaning` is what becomes of content first, if anything. `prefix` is what a key must
    begin with before a regex is matched with the rest.
    `at_once` calls `function(socket, message)` itself, ahead of all that waits: it must neither
    wait nor raise. `stages` are the options that may refuse a message before the function, and
    those that change what it takes and returns.
    """

    keys: tuple[Key, ...]
    function: Function
    call: Call
    concurrent: bool
    cleaning: Cleaning | None = None
    prefix: str = ""
    timeout: float | None = None
    has_timeout: bool = False
    at_once: bool = False
    stages: Stages = NO_STAGES

    @property
    def groups(self) -> frozenset[str]:
        """The named groups of its regexes."""
        return _common_groups(self.keys, name_of(self.function))

    @property
    def url_arguments(self) -> list[tuple[Function, list[str]]]:
        """Its functions, each with the parameters that only a URL argument can fill."""
        own = self.function, url_arguments(self.function, ROUTE_WORDS, self.groups)
        return [own, *self.stages.url_arguments(self.groups)]

    @property
    def schema(self) -> Schema | None:
        """What content must be; None where it is taken as it came."""
        return None if self.cleaning is None else self.cleaning.schema

    @property
    def content_taker(self) -> Function:
        """The function that content is cleaned for: the first that it comes to."""
        return self.stages.hydrate or self.function

    @property
    def own_name(self) -> str | None:
        """What that function calls the content, where a URL argument may take its place."""
        return None if self.cleaning is None else self.cleaning.own_name

    @property
    def misfit(self) -> str | None:
        """Why no flat message of some key can fit the schema, or None."""
        if self.schema is None:
            return None
        texts: list[str | None] = [key for key in self.keys if isinstance(key, str)]
        return next(filter(None, map(self.schema.misfit, texts or [None])), None)

    def behind(self, access: Iterable[Guard]) -> "Route":
        """The route with the guards of its handler before its own."""
        access = tuple(access)
        if required := required_permissions(self.function):
            access += (has_perm(*required),)
        if not access:
            return self
        call = compose(self.function, self.stages, self.groups, self.cleaning, access)
        return replace(self, call=call)

    @classmethod
    def of(cls, keys: Key | Iterable[Key], function: Function, **options: Any) -> "Route":
        """A route with its options checked and its arguments bound, or a `DeclarationError`."""
        function = unwrap(function)
        where = name_of(function)
        for option in options.keys() - RouteOptions.__annotations__.keys():
            known = RouteOptions.__annotations__
            raise DeclarationError(f"{where}: no option {option!r}; {suggest(option, known)}")
        keys = (keys,) if isinstance(keys, str | re.Pattern) else tuple(keys)
        groups = _common_groups(keys, where)
        if "timeout" in options:
            options["has_timeout"] = True
            if not is_timeout(options["timeout"]):
                raise DeclarationError(
                    f"{where}: expected timeout in seconds, more than 0, or None for no limit, "
                    f"got {options['timeout']!r}"
                )
        if not isinstance(options.get("concurrent", True), bool):
            raise DeclarationError(
                f"{where}: expected concurrent to be True or False, got {options['concurrent']!r}"
            )
        options.setdefault("concurrent", is_generator(function))
        stages = Stages.of(options, where)
        for name in Stages.__struct_fields__:
            options.pop(name, None)
        taker = stages.hydrate or function
        if "schema" in options:
            schema = schema_of_option(options.pop("schema"), where)
        else:
            schema = content_schema(taker, groups)
        cleaning = None if schema is None else Cleaning(schema, own_name(taker, groups))
        call = compose(function, stages, groups, cleaning)
        return cls(
            keys=keys, function=function, call=call, cleaning=cleaning, stages=stages, **options
        )

    def prefixed(self, prefix: str) -> "Route":
        """The route with a literal prefix before each of its keys."""
        if prefix and self.stream is not None:
            raise DeclarationError(
                f"{name_of(self.function)}: expected no prefix before the stream {self.stream!r}, "
                f"got {prefix!r}; streams are not in one another"
            )
        keys = tuple(prefix + key if isinstance(key, str) else key for key in self.keys)
        return replace(self, keys=keys, prefix=prefix + self.prefix)

    def in_stream(self, stream: str) -> "Route":
        """The route for messages of a stream, which come to no other."""
        return self.prefixed(key_in_stream(stream, ""))

    @property
    def stream(self) -> str | None:
        """The stream whose messages it takes; None where those are in none."""
        return stream_of(self.prefix)

    def match(self, pattern: re.Pattern[str], key: str) -> re.Match[str] | None:
        """What one of the route's regexes finds in a key."""
        if not key.startswith(self.prefix):
            return None
        return pattern.match(key[len(self.prefix) :])

    def hides(self, earlier: "Route") -> Key | None:
        """The first key of an earlier route that this one would answer instead, or None."""
        return next((key for key in earlier.keys if self.takes(key, earlier.prefix)), None)

    def takes(self, key: Key, prefix: str = "") -> bool:
        """Whether it answers a string, or has the very regex, that another route has as key."""
        if isinstance(key, re.Pattern):
            return key in self.keys and prefix == self.prefix
        if stream_of(key) != self.stream:
            return False
        return any(
            own == key if isinstance(own, str) else self.match(own, key) for own in self.keys
        )

    def key_of(self, key: str) -> Key:
        """Which of its own keys leads a key that it answers to it."""
        patterns = (own for own in reversed(self.keys) if isinstance(own, re.Pattern))
        return next((own for own in patterns if self.match(own, key)), key)


class Routes:
    """The routes of a handler, in the order in which they were defined: the last match wins.

    Where it `has_streams`, keys that name one lead to the routes of this stream alone.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        default: Route | None,
        timeout: float | None,
        has_streams: bool = False,
    ) -> None:
        self._timeout = timeout
        self.routes = tuple(map(self.timed, routes))
        self.default = default and self.timed(default)
        self._has_streams = has_streams
        self._streams = {route.stream for route in self.routes}
        self.found: dict[str | None, Route] = {}
        """What the latest keys led to that lead to a job and nothing else."""
        self.matches: dict[str | None, tuple[Route, Groups | None]] = {}
        """What the others of the latest keys led to, with the named groups of their regexes."""
        self._exact: dict[str, tuple[int, Route]] = {}
        self._patterns: list[tuple[int, re.Pattern[str], Route]] = []
        for position, route in enumerate(self.routes):
            for key in route.keys:
                if isinstance(key, str):
                    self._exact[key] = position, route
                else:
                    self._patterns.insert(0, (position, key, route))

    def timed(self, route: Route) -> Route:
        """The route with this table's time-out where it has none of its own."""
        return route if route.has_timeout else replace(route, timeout=self._timeout)

    def find(self, key: str) -> tuple[Route, Groups | None] | None:
        """The route for a key, with the named groups of its regex; None where none matches.

        Callers ask `found` and `matches` first.
        """
        match = self._search(key)
        if match is not None and len(key) <= CACHED_KEY_LENGTH:
            self._remember(key, *match)
        return match

    def _remember(self, key: str, route: Route, groups: Groups | None) -> None:
        if len(self.found) + len(self.matches) >= CACHED_KEYS:
            self.found.clear()
            self.matches.clear()
        if groups is None and not route.at_once:
            self.found[key] = route
        else:
            self.matches[key] = route, groups

    def default_for(self, key: str | None) -> Route | None:
        """The route for a message that no other takes; that of a stream is among the routes."""
        return None if key is not None and self._stream_of(key) is not None else self.default

    def refusal(self, key: str, field: str) -> UnknownKey:
        """What to tell a client whose key, which its frames have as `field`, leads nowhere."""
        stream = self._stream_of(key)
        if stream is not None and stream not in self._streams:
            return UnknownStream(f"Unknown stream: {stream[:SHOWN]!r}.")
        return UnknownKey(f"Unknown {field}: {key[:SHOWN]!r}.")

    def hider(self, route: Route, key: Key) -> Route | None:
        """The later route that takes a key of this one completely, or None."""
        later = takewhile(lambda other: other is not route, reversed(self.routes))
        return next((other for other in later if other.takes(key, route.prefix)), None)

    def _stream_of(self, key: str) -> str | None:
        return stream_of(key) if self._has_streams else None

    def _search(self, key: str) -> tuple[Route, Groups | None] | None:
        exact_position, exact = self._exact.get(key, (-1, None))
        stream = self._stream_of(key)
        for position, pattern, route in self._patterns:
            if position < exact_position:
                break
            if self._has_streams and route.stream != stream:
                continue
            if match := route.match(pattern, key):
                return route, MappingProxyType(match.groupdict())
        return None if exact is None else (exact, None)


def _common_groups(keys: tuple[Key, ...], where: str) -> frozenset[str]:
    """The named groups of all keys, each checked to be a key."""
    groups: set[str] = set()
    for key in keys:
        if isinstance(key, re.Pattern) and isinstance(key.pattern, str):
            groups.update(key.groupindex)
        elif not isinstance(key, str):
            raise DeclarationError(
                f"{where}: expected a string or a compiled regex over text as key, got {key!r}"
            )
    return frozenset(groups)


def is_timeout(timeout: Any) -> bool:
    """Whether the value is seconds, more than 0, or None for no limit."""
    if timeout is None:
        return True
    return isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout > 0
