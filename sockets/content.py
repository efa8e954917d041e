"""What a route's function says of its content, and how that is cleaned before the call."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from .arguments import ROUTE_WORDS, Call, Function, evaluated, name_of, parameters_of, start_of
from .exceptions import DeclarationError
from .schemas import Schema, schema_of

NAMES = ("content", "payload")


def content_name(function: Function, groups: frozenset[str] = frozenset()) -> str | None:
    """What a route's function calls its content: a name of its own, where it has one."""
    return next((parameter.name for parameter in _takers(function, groups)), None)


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


def cleaned(
    call: Call, schema: Schema, function: Function, groups: frozenset[str] = frozenset()
) -> Call:
    """The call of a function, of a message whose content is cleaned first.

    A URL argument with the content's own name takes its place; then nothing is cleaned.
    """
    _, fields = parameters_of(function, name_of(function))
    if fields:
        raise DeclarationError(
            f"{name_of(function)}: expected a schema or fields after *, got both; move "
            f"{', '.join(fields)} into {schema.name}"
        )
    name, clean = content_name(function, groups), schema.clean
    own = name is not None and name not in NAMES
    if schema.blocking or schema.awaited:
        return _cleaned_meanwhile(call, start_of(clean), name if own else None)

    def call_with_cleaned(socket: Any, message: Any) -> Awaitable[Any]:
        if not own or name not in socket.kwargs:
            message.content = clean(message.content)
        return call(socket, message)

    return call_with_cleaned


def _cleaned_meanwhile(call: Call, clean: Callable[..., Awaitable[Any]], name: str | None) -> Call:
    async def call_with_cleaned(socket: Any, message: Any) -> Any:
        if name not in socket.kwargs:
            message.content = await clean(message.content)
        return await call(socket, message)

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
