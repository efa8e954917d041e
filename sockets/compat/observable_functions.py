"""The functions of django-observable-socket's routes, called as ours are."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from ..arguments import ROUTE_WORDS, Getter
from ..exceptions import DeclarationError
from ..functions import Function, innermost, name_of
from ..messages import Message, Reply
from ..stages import STAGE_WORDS

ScopeT = TypeVar("ScopeT")
PayloadT = TypeVar("PayloadT")

RESULT = ("status", "payload", "headers")
"""The keys of what a method returns."""


@dataclass
class HandlerArg(Generic[ScopeT, PayloadT]):
    """What a function with one parameter gets of a message, whatever that is called."""

    scope: ScopeT
    headers: dict[str, Any]
    payload: PayloadT
    store: dict[str, Any]


def handler_arg(socket: Any, message: Message) -> HandlerArg[Any, Any]:
    return HandlerArg(socket.scope, message.headers, message.content, message.store)


WORDS: dict[str, Getter] = {
    **{name: ROUTE_WORDS[name] for name in ("headers", "payload", "scope", "store")},
    "arg": handler_arg,
}
LOADED: dict[str, Getter] = dict.fromkeys(("obj", "fetched_data"), STAGE_WORDS["obj"])
"""What checks may take besides; they are asked once that is loaded."""


def adapt_method(function: Function, *, has_self: bool) -> Function:
    """The method of a route, as a function of ours."""
    return _adapted(function, WORDS, handler_arg, has_self, reply_of)


def adapt_stage(option: str, function: Function, *, has_self: bool) -> Function:
    """The function of a route's option, as one of ours; whatever is false refuses in a check."""
    words = WORDS if option == "hydrate" else WORDS | LOADED
    single = ROUTE_WORDS["content"] if option == "dehydrate" else handler_arg
    result = bool if option.startswith("check") else None
    return _adapted(function, words, single, has_self, result)


def reply_of(value: Any) -> Any:
    """What a method returned, as our routes do; a dict with none of the keys is the payload."""
    if not isinstance(value, dict) or (value and value.keys().isdisjoint(RESULT)):
        return value
    status = value.get("status")
    return Reply(value.get("payload"), 200 if status is None else status, value.get("headers"))


def _adapted(
    function: Function,
    words: Mapping[str, Getter],
    single: Getter,
    has_self: bool,
    result: Callable[[Any], Any] | None,
) -> Function:
    arguments = _arguments(function, words, single, has_self)

    def call(socket: Any, message: Any) -> Any:
        value = arguments.call(function, socket, message)
        if result is None:
            return value
        return _settled(value, result) if inspect.isawaitable(value) else result(value)

    def call_with_loaded(socket: Any, message: Any, obj: Any) -> Any:
        return call(socket, message)

    adapted = call_with_loaded if arguments.takes_loaded else call
    named = function.func if isinstance(function, partial) else function
    adapted.__module__ = getattr(named, "__module__", adapted.__module__)
    adapted.__qualname__ = getattr(named, "__qualname__", type(named).__qualname__)
    if iscoroutinefunction(innermost(function)):
        markcoroutinefunction(adapted)
    return adapted


async def _settled(value: Any, result: Callable[[Any], Any]) -> Any:
    return result(await value)


@dataclass
class Arguments:
    """How the arguments of a call are read: in their places, then by name."""

    positional: list[Getter] = field(default_factory=list)
    named: dict[str, Getter] = field(default_factory=dict)
    has_gap: bool = False
    """Whether a parameter keeps its default, so that those after it are given by name."""

    @property
    def takes_loaded(self) -> bool:
        return STAGE_WORDS["obj"] in (*self.positional, *self.named.values())

    def call(self, function: Function, socket: Any, message: Message) -> Any:
        positional = [read(socket, message) for read in self.positional]
        return function(*positional, **{n: read(socket, message) for n, read in self.named.items()})


def _arguments(
    function: Function, words: Mapping[str, Getter], single: Getter, has_self: bool
) -> Arguments:
    """What each parameter gets; one of no known name and without a default must be clear."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # one of Python's own, such as `str`
        return Arguments([single])
    arguments = Arguments()
    if has_self and parameters and parameters[0].name not in words:
        arguments.positional.append(_self)
        if parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
            del parameters[0]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    parameters = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    places = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    if takes_any and not places:
        arguments.positional.append(single)
    required = [p.name for p in places if p.default is p.empty]
    known = {**_meanings(required, words, single), **words}
    for parameter in parameters:
        _fill(arguments, parameter, known, function)
    return arguments


def _self(socket: Any, message: Message) -> Any:
    return socket


def _meanings(
    required: list[str], words: Mapping[str, Getter], single: Getter
) -> dict[str, Getter]:
    """What parameters are whose names say nothing, where their number does."""
    if len(required) == 1:
        return {required[0]: single}
    if len(required) != 2:
        return {}
    first, second = required
    return {
        first: words["payload" if second == "headers" else "headers"],
        second: words["headers" if first == "payload" else "payload"],
    }


def _fill(
    arguments: Arguments,
    parameter: inspect.Parameter,
    known: Mapping[str, Getter],
    function: Function,
) -> None:
    name = parameter.name
    if name not in known:
        if parameter.default is parameter.empty:
            raise DeclarationError(
                f"{name_of(function)}: {name!r} is not known here; choose from "
                f"{', '.join(sorted(known))}, or take one or two parameters"
            )
        arguments.has_gap = True
    elif parameter.kind is parameter.KEYWORD_ONLY or arguments.has_gap:
        arguments.named[name] = known[name]
    else:
        arguments.positional.append(known[name])
