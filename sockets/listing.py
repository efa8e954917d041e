"""What a handler answers, for people and tools to read: as cells of a table and as JSON."""

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from asgiref.sync import iscoroutinefunction

from .arguments import Groups
from .attributes import attributes_of
from .functions import Function, innermost, is_generator, name_of
from .guards import Guard
from .handlers import RoutedSocketHandler
from .multiplexing import key_in_stream, without_stream
from .routes import Key, Route, Routes

ALWAYS_SHOWN = ("login_required", "refuse_at_handshake")


@dataclass(frozen=True)
class Line:
    """One key of a route or of a group rule, or without a key the default route."""

    route: Route
    key: Key | None = None
    hidden_by: Route | None = None

    @property
    def stream(self) -> str | None:
        return self.route.stream

    @property
    def label(self) -> str:
        if self.own_key is None:
            return "default route"
        shown = written(self.own_key, self._prefix)
        return shown if self.stream is None else f"{shown} in the stream {self.stream}"

    @property
    def own_key(self) -> Key | None:
        """The key without the name of its stream."""
        return without_stream(self.key) if isinstance(self.key, str) else self.key

    @property
    def _prefix(self) -> str:
        return without_stream(self.route.prefix)

    @property
    def hider(self) -> str | None:
        return name_of(self.hidden_by.function) if self.hidden_by else None

    @property
    def schema(self) -> str | None:
        return self.route.schema.name if self.route.schema else None

    def cells(self) -> list[str]:
        route = self.route
        schema = self.schema
        options = {
            f"schema={schema}": schema is not None,
            **{shown_stage(*stage): True for stage in route.stages.given.items()},
            "concurrent": route.concurrent,
            "at once": route.at_once,
            f"timeout={route.timeout}": route.has_timeout,
            f"hidden by {self.hider}": self.hidden_by is not None,
        }
        shown = ", ".join(option for option, given in options.items() if given)
        return [self.label, name_of(route.function), colour_of(route.function), shown]

    def as_json(self) -> dict[str, Any]:
        route, pattern = self.route, self.key if isinstance(self.key, re.Pattern) else None
        return {
            "stream": self.stream,
            "key": self.own_key if pattern is None else pattern.pattern,
            "regex": pattern is not None,
            "flags": 0 if pattern is None else pattern.flags,
            "prefix": "" if pattern is None else self._prefix,
            "function": name_of(route.function),
            "colour": colour_of(route.function),
            "schema": self.schema,
            "concurrent": route.concurrent,
            "at_once": route.at_once,
            "timeout": route.timeout,
            "stages": plain(route.stages.given),
            "hidden_by": self.hider,
        }


@dataclass(frozen=True)
class RuleLine(Line):
    """The regex of a group rule."""

    @property
    def label(self) -> str:
        return f"group {super().label}"

    def as_json(self) -> dict[str, Any]:
        told = super().as_json()
        return {
            name: told[name]
            for name in ("key", "flags", "function", "colour", "schema", "hidden_by")
        }


@dataclass(frozen=True)
class Place:
    """A handler and where it is mounted; without a path that is not known."""

    handler: type[RoutedSocketHandler]
    view_class: type | None
    path: str | None = None

    @property
    def title(self) -> str:
        return self.path or name_of(self.handler)

    @property
    def routes(self) -> Routes:
        return self.handler._declared.routes

    @property
    def default(self) -> Line | None:
        return Line(self.routes.default) if self.routes.default else None

    @property
    def attributes(self) -> dict[str, Any]:
        """Those that decide who may come in, then those that differ from the defaults."""
        differing = [
            name
            for name in sorted(attributes_of(RoutedSocketHandler).difference(ALWAYS_SHOWN))
            if getattr(self.handler, name) != getattr(RoutedSocketHandler, name)
        ]
        return {name: plain(getattr(self.handler, name)) for name in (*ALWAYS_SHOWN, *differing)}

    @property
    def _built_in(self) -> int:
        return len(self.handler._declared.built_in)

    def own_lines(self) -> list[Line]:
        return list(_lines(self.routes, slice(self._built_in, None)))

    def built_in_lines(self) -> list[Line]:
        return list(_lines(self.routes, slice(self._built_in)))

    def rule_lines(self) -> list[Line]:
        """Which groups clients may join, and whom they ask."""
        return list(_lines(self.handler._declared.group_rules, slice(None), RuleLine))

    def identity(self) -> dict[str, str | None]:
        return {
            "path": self.path,
            "view": name_of(self.view_class) if self.view_class else None,
            "handler": name_of(self.handler),
        }

    def as_json(self) -> dict[str, Any]:
        return {
            **self.identity(),
            "attributes": self.attributes,
            "routes": [line.as_json() for line in self.own_lines()],
            "default_route": self.default and self.default.as_json(),
            "group_rules": [line.as_json() for line in self.rule_lines()],
            "built_in": [line.as_json() for line in self.built_in_lines()],
        }


def _lines(routes: Routes, part: slice, kind: type[Line] = Line) -> Iterator[Line]:
    """A part of the routes, in the order in which they win."""
    for route in reversed(routes.routes[part]):
        for key in route.keys:
            yield kind(route, key, routes.hider(route, key))


@dataclass(frozen=True)
class Answer:
    """Who answers a key at one place; without a line nobody does."""

    place: Place
    key: str
    line: Line | None
    groups: Groups | None = None

    @classmethod
    def at(cls, place: Place, key: str, stream: str | None = None) -> "Answer":
        whole = key_in_stream(stream, key)
        if found := place.routes.find(whole):
            route, groups = found
            return cls(place, key, Line(route, route.key_of(whole)), groups)
        return cls(place, key, place.default if stream is None else None)

    @property
    def nearest(self) -> list[Line]:
        return [] if self.line else nearest_lines(self.key, self.place.routes)

    def cells(self) -> list[str]:
        if self.line is None:
            near = ", ".join(line.label for line in self.nearest)
            return [self.place.title, "nobody (404)", near and f"nearest: {near}"]
        groups = ", ".join(f"{name}={text!r}" for name, text in (self.groups or {}).items())
        return [self.place.title, *self.line.cells(), groups]

    def as_json(self) -> dict[str, Any]:
        return {
            **self.place.identity(),
            "key": self.key,
            "route": self.line and self.line.as_json(),
            "groups": dict(self.groups or {}),
            "nearest": [line.as_json() for line in self.nearest],
        }


def nearest_lines(key: str, routes: Routes) -> list[Line]:
    """The keys most like this one; of a regex the text that it begins with is compared."""
    known = {
        beginning(own, route.prefix).lower(): Line(route, own)
        for route in routes.routes
        for own in route.keys
    }
    return [known[near] for near in get_close_matches(key.lower(), known)]


def beginning(key: Key, prefix: str) -> str:
    if isinstance(key, str):
        return without_stream(key)
    return without_stream(prefix) + re.split(r"[^\w /:-]", key.pattern, maxsplit=1)[0]


def written(key: Key, prefix: str = "") -> str:
    """A key as it is written in Python, on one line."""
    if isinstance(key, str):
        return json.dumps(key, ensure_ascii=False)
    quote = "'" if '"' in key.pattern else '"'
    text = f"r{quote}{key.pattern}{quote}".replace("\n", r"\n")
    if flags := re.RegexFlag(key.flags) & ~re.UNICODE:
        text = f"{text}, {flags!r}"
    return f"{written(prefix)} + {text}" if prefix else text


def colour_of(function: Function) -> str:
    """How a function is defined, and so how it is called."""
    runs = innermost(function)
    if is_generator(function):
        return "async generator" if inspect.isasyncgenfunction(runs) else "generator"
    return "async def" if iscoroutinefunction(runs) else "def"


def shown_stage(name: str, value: Any) -> str:
    """A stage of a route, with the names of those who decide where they are listed."""
    return f"{name}={', '.join(map(str, value))}" if isinstance(value, tuple) else name


def plain(value: Any) -> Any:
    """A value made of what JSON has, other objects being there by name."""
    return json.loads(json.dumps(value, default=_plain_object))


def _plain_object(value: object) -> list[Any] | str:
    if isinstance(value, Guard):
        return str(value)
    return sorted(value) if isinstance(value, set | frozenset) else name_of(value)
