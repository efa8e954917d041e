"""How the arguments of a user's function are filled, by name, and how it is called."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, sync_to_async

from .exceptions import DeclarationError
from .functions import Function, innermost, is_generator, name_of, parameters_of
from .messages import Message
from .schemas import Validate, fields_validator

if TYPE_CHECKING:
    from .handlers import RoutedSocketHandler

Groups = Mapping[str, str]
Getter = Callable[[Any, Any], Any]
Words = Mapping[str, Getter]
Call = Callable[["RoutedSocketHandler", Any], Awaitable[Any]]

# What a parameter's name stands for: in a route's function, and in a hook.
ROUTE_WORDS: dict[str, Callable[["RoutedSocketHandler", Message], Any]] = {
    "content": lambda socket, message: message.content,
    "payload": lambda socket, message: message.content,
    "headers": lambda socket, message: (
        socket.headers if message.headers is None else message.headers
    ),
    "message": lambda socket, message: message,
    "ref": lambda socket, message: message.ref,
    "user": lambda socket, message: socket.user,
    "session": lambda socket, message: socket.session,
    "scope": lambda socket, message: socket.scope,
    "state": lambda socket, message: socket.state,
    "store": lambda socket, message: message.store,
}
HOOK_WORDS: dict[str, Callable[["RoutedSocketHandler", Any], Any]] = {
    **{name: ROUTE_WORDS[name] for name in ("user", "session", "scope", "state")},
    "headers": lambda socket, event: socket.headers,
    "message": lambda socket, event: event,
}
DISCONNECT_WORDS = {**HOOK_WORDS, "code": lambda socket, event: event["code"]}


def bind(
    function: Function,
    words: Words,
    groups: frozenset[str] = frozenset(),
) -> Call:
    """An awaitable call of `function` with its arguments taken by name.

    `words` are the reserved names and how each is read. Where `content` is one of them the
    function is a route's: its first parameter may bear any name, and keyword-only ones are
    fields of the message. What is neither is a URL argument of the connection's path.
    """
    where = name_of(function)
    positional, fields = _checked_parameters(function, words, groups, where)
    getters = _getters(positional, words, groups, where)
    if is_generator(function) and "content" not in words:
        raise DeclarationError(f"{where}: a hook answers nobody, so it cannot be a generator")
    start = start_of(function)
    if fields:
        if "content" not in words:
            raise DeclarationError(
                f"{where}: a hook has no message, so no fields; found {', '.join(fields)} after *"
            )
        validate = fields_validator(fields, where)

        def call(socket: Any, message: Any) -> Awaitable[Any]:
            arguments = [get(socket, message) for get in getters]
            return start(socket, *arguments, **validate(message.content))

    elif not positional:

        def call(socket: Any, message: Any) -> Awaitable[Any]:
            return start(socket)

    elif "content" in words and [p.name for p in positional] in (["content"], ["payload"]):

        def call(socket: Any, message: Any) -> Awaitable[Any]:
            return start(socket, message.content)

    else:

        def call(socket: Any, message: Any) -> Awaitable[Any]:
            return start(socket, *[get(socket, message) for get in getters])

    return call


def readers(
    function: Function, words: Words, groups: frozenset[str]
) -> tuple[list[Getter], Validate | None]:
    """How each argument after the handler is read, and what checks the fields after `*`."""
    where = name_of(function)
    positional, fields = _checked_parameters(function, words, groups, where)
    validate = fields_validator(fields, where) if fields else None
    return _getters(positional, words, groups, where), validate


def url_arguments(
    function: Function, words: Words, groups: frozenset[str] = frozenset()
) -> list[str]:
    """The parameters that only a URL argument of the path can fill."""
    positional, _ = parameters_of(function, name_of(function))
    return [
        parameter.name
        for parameter in positional["content" in words :]
        if parameter.name not in words.keys() | groups and parameter.default is parameter.empty
    ]


def start_of(function: Function) -> Callable[..., Awaitable[Any]]:
    """A function as one to await: `def` runs on a lane, generators are only made."""
    if is_generator(function):

        async def make(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return make
    if iscoroutinefunction(innermost(function)):
        return function
    threaded = sync_to_async(function)

    async def run(*args: Any, **kwargs: Any) -> Any:
        value = await threaded(*args, **kwargs)
        return await value if inspect.isawaitable(value) else value

    return run


def _checked_parameters(
    function: Function, words: Words, groups: frozenset[str], where: str
) -> tuple[list[inspect.Parameter], dict[str, inspect.Parameter]]:
    positional, fields = parameters_of(function, where)
    _check_names(positional, fields, words, groups, where)
    return positional, fields


def _getters(
    positional: list[inspect.Parameter], words: Words, groups: frozenset[str], where: str
) -> list[Getter]:
    return [
        _getter(parameter, words, groups, where, first=index == 0)
        for index, parameter in enumerate(positional)
    ]


def _check_names(
    positional: list[inspect.Parameter],
    fields: Mapping[str, Any],
    words: Mapping[str, Any],
    groups: frozenset[str],
    where: str,
) -> None:
    for name in groups & words.keys():
        raise DeclarationError(
            f"{where}: the regex group {name!r} bears a reserved name, which the client's text "
            "must never fill; rename the group"
        )
    for name in fields.keys() & (words.keys() | groups):
        raise DeclarationError(
            f"{where}: the field {name!r} after * bears "
            f"{'a reserved name' if name in words else 'the name of a regex group'}; "
            "take it as a parameter before the *"
        )
    elsewhere = {*ROUTE_WORDS, *DISCONNECT_WORDS} - words.keys()
    if "content" in words:
        elsewhere.clear()  # a route knows all words but `code`, which is an ordinary name there
    for parameter in positional:
        if parameter.name in elsewhere and parameter.default is parameter.empty:
            raise DeclarationError(
                f"{where}: {parameter.name!r} is not known here; choose from "
                f"{', '.join(sorted(words))} and the path's URL arguments"
            )


def _getter(
    parameter: inspect.Parameter,
    words: Words,
    groups: frozenset[str],
    where: str,
    *,
    first: bool,
) -> Getter:
    """How one argument is read from the socket and the message."""
    name, default = parameter.name, parameter.default
    if name in words:
        return words[name]
    if name in groups:
        # A group of one of several keys, or an optional one, may be absent.
        fallback = None if default is parameter.empty else default

        def group(socket: Any, message: Any) -> Any:
            text = message.groups.get(name) if message.groups else None
            return fallback if text is None else text

        return group
    if first and "content" in words:
        return lambda socket, message: socket.kwargs.get(name, message.content)
    if default is not parameter.empty:
        return lambda socket, message: socket.kwargs.get(name, default)

    def url_argument(socket: Any, message: Any) -> Any:
        try:
            return socket.kwargs[name]
        except KeyError:
            raise DeclarationError(
                f"{where}: expected a URL argument {name!r}, but the path {socket.path!r} has "
                f"{', '.join(socket.kwargs) or 'none'}; add it to the path or give it a default"
            ) from None

    return url_argument
