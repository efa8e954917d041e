"""What a route's function says of its content, and how that is cleaned before the call."""

import inspect
from collections.abc import Awaitable
from typing import Any

from msgspec import Struct

from .arguments import ROUTE_WORDS, Call, start_of
from .exceptions import DeclarationError
from .functions import Function, evaluated, name_of, parameters_of
from .schemas import Schema, schema_of

NAMES = ("content", "payload")


def own_name(function: Function, groups: frozenset[str] = frozenset()) -> str | None:
    """What a route's function calls its content, where it has a name of its own for it."""
    name = next((parameter.name for parameter in _takers(function, groups)), None)
    return None if name in NAMES else name


def content_schema(function: Function, groups: frozenset[str] = frozenset()) -> Schema | None:
    """What a route's function asks of its content by an annotation, if anything."""
    where = name_of(function)
    annotated = [
        taker for taker in _takers(function, groups) if taker.annotation is not taker.empty
    ]
    if len(annotated) > 1:
        raise DeclarationError(
            f"{where}: {' and '.join(map(str, annotated))} are both the content; annotate one"
        )
    for taker in annotated:
        return schema_of(evaluated(taker.annotation, function, where), where, taker.name)
    return None


def check_fields(function: Function, schema: Schema) -> None:
    """Raise `DeclarationError` for a function that takes single fields beside a schema."""
    _, fields = parameters_of(function, name_of(function))
    if fields:
        raise DeclarationError(
            f"{name_of(function)}: expected a schema or fields after *, got both; move "
            f"{', '.join(fields)} into {schema.name}"
        )


class Cleaning(Struct, frozen=True):
    """A schema, and what its function calls the content: a URL argument may take its place."""

    schema: Schema
    own_name: str | None

    @property
    def blocking(self) -> bool:
        return self.schema.blocking

    def __call__(self, socket: Any, message: Any) -> Any:
        """The cleaned content, or what is awaited for it."""
        if self.own_name in socket.kwargs:
            return message.content
        return self.schema.clean(message.content)


def cleaned(call: Call, cleaning: Cleaning) -> Call:
    """The call of a function, of a message whose content is cleaned first."""
    if cleaning.blocking or cleaning.schema.awaited:
        start = start_of(cleaning.schema.clean)

        async def call_with_awaited(socket: Any, message: Any) -> Any:
            if cleaning.own_name not in socket.kwargs:
                message.content = await start(message.content)
            return await call(socket, message)

        return call_with_awaited
    clean, own_name = cleaning.schema.clean, cleaning.own_name

    def call_with_cleaned(socket: Any, message: Any) -> Awaitable[Any]:
        if own_name is None or own_name not in socket.kwargs:
            message.content = clean(message.content)
        return call(socket, message)

    return call_with_cleaned


def _takers(function: Function, groups: frozenset[str]) -> list[inspect.Parameter]:
    """The parameters that get the content: those of its words, and one with a name of its own."""
    positional, _ = parameters_of(function, name_of(function))
    return [
        parameter
        for index, parameter in enumerate(positional)
        if parameter.name in NAMES
        or (index == 0 and parameter.name not in ROUTE_WORDS.keys() | groups)
    ]
