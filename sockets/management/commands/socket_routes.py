"""`manage.py socket_routes`: which function answers which key, on every path with a socket."""

import json
import pkgutil
import re
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from itertools import zip_longest
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.urls import Resolver404, resolve
from django.utils import translation

from ...functions import name_of
from ...handlers import RoutedSocketHandler
from ...listing import Answer, Place
from ...mounts import find_mounts, find_router

WIDEST = 60
"""Characters of the longest cell that widens its column."""

URL_ARGUMENT = re.compile(r"\(\?P<[^)]*\)|<[^>]*>")


class Command(BaseCommand):
    help = "Lists the routes of every socket, or tells which of them answers a key."
    requires_system_checks = ()  # it helps to find what the checks complain of

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", nargs="?", metavar="KEY", help="tell who answers this key")
        parser.add_argument("--stream", metavar="NAME", help="where the key is one of this stream")
        parser.add_argument("--path", help="only the socket at this path, such as /table/7/")
        parser.add_argument(
            "--handler",
            action="append",
            default=[],
            metavar="DOTTED.PATH",
            help="only this handler class, mounted on a view or not; may be repeated",
        )
        parser.add_argument("--format", choices=["text", "json"], default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        key, format = options["key"], options["format"]
        places = find_places(options["path"], options["handler"])
        if key is None:
            self._write(places, format, self._list)
        else:
            answers = [Answer.at(place, key, options["stream"]) for place in places]
            self._write(answers, format, self._tell)

    def _write(
        self, found: list[Any], format: str, write_text: Callable[[list[Any]], None]
    ) -> None:
        if format == "json":
            self.stdout.write(json.dumps([each.as_json() for each in found], indent=2))
        elif found:
            write_text(found)
        else:
            self.stdout.write("No view of this project has a socket.")

    def _list(self, places: list[Place]) -> None:
        for number, place in enumerate(places):
            if number:
                self.stdout.write()
            self.stdout.write(self.style.MIGRATE_HEADING(place.title))
            self._list_attributes(place)
            self.stdout.write()
            self._list_routes(place)

    def _list_attributes(self, place: Place) -> None:
        attributes = ", ".join(f"{name}={value!r}" for name, value in place.attributes.items())
        about = {**place.identity(), "attributes": attributes}
        del about["path"]
        for row in aligned([[label, text] for label, text in about.items() if text]):
            self.stdout.write(f"  {row}")

    def _list_routes(self, place: Place) -> None:
        own = [*place.own_lines(), place.default]
        lines = [*own, *place.rule_lines(), *place.built_in_lines()]
        rows = [line.cells() if line else ["default route", "none (404)"] for line in lines]
        for line, row in zip(lines, aligned(rows), strict=True):
            hidden = line is not None and line.hidden_by is not None
            self.stdout.write(self.style.WARNING(f"  {row}") if hidden else f"  {row}")

    def _tell(self, answers: list[Answer]) -> None:
        rows = aligned([answer.cells() for answer in answers])
        for answer, row in zip(answers, rows, strict=True):
            self.stdout.write(row if answer.line else self.style.WARNING(row))


def find_places(path: str | None, handlers: list[str]) -> list[Place]:
    """The places that were asked for: all mounted ones where none was."""
    if path is None and not handlers:
        return list(mounted_places())
    at_path = [] if path is None else [place_at(path)]
    return [*at_path, *map(named_place, handlers)]


def mounted_places() -> Iterator[Place]:
    for mount in find_mounts():
        yield Place(mount.router.Handler, mount.view_class, mount.path)


def place_at(path: str) -> Place:
    """The place that a path resolves to, in the language of its prefix."""
    with translation.override(translation.get_language_from_path(path)):
        try:
            match = resolve(path)
        except Resolver404:
            raise no_socket_at(path) from None
    view_class = getattr(match.func, "view_class", None)
    router = find_router(view_class)
    if router is None:
        raise no_socket_at(path)
    pattern = (match.route or "").removeprefix("^").removesuffix("$")
    return Place(router.Handler, view_class, f"/{pattern}")


def named_place(name: str) -> Place:
    """The place of a handler class that is given as where it is: `cafe.handlers.BarHandler`."""
    try:
        handler = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as fault:
        raise no_handler(name, str(fault)) from fault
    if not (isinstance(handler, type) and issubclass(handler, RoutedSocketHandler)):
        raise no_handler(name, "it is no subclass of RoutedSocketHandler")
    return Place(handler, handler.view_class)


def no_socket_at(path: str) -> CommandError:
    known = {URL_ARGUMENT.sub("", mount.path): mount.path for mount in find_mounts()}
    return CommandError(f"There is no socket at {path!r}; {nearest_of(path, known)}")


def no_handler(name: str, reason: str) -> CommandError:
    handlers = {*subclasses(RoutedSocketHandler), *(place.handler for place in mounted_places())}
    known = {name_of(handler): name_of(handler) for handler in handlers}
    return CommandError(f"There is no handler {name!r} ({reason}); {nearest_of(name, known)}")


def nearest_of(name: str, known: dict[str, str]) -> str:
    """The end of a message about a name that does not exist."""
    near = get_close_matches(name, known, n=1, cutoff=0.0)
    return f"the nearest is {known[near[0]]!r}." if near else "this project has none."


def subclasses(handler: type[RoutedSocketHandler]) -> Iterator[type[RoutedSocketHandler]]:
    for subclass in handler.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


def aligned(rows: list[list[str]]) -> list[str]:
    """The rows as lines of text, their cells in columns."""
    columns = zip_longest(*rows, fillvalue="")
    widths = [
        max((len(cell) for cell in column if len(cell) <= WIDEST), default=0) for column in columns
    ]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]
