"""What a user's function is: its name, its colour, its parameters and their types."""

import builtins
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from .exceptions import DeclarationError

Function = Callable[..., Any]


def unwrap(function: Any) -> Function:
    """The function that a decorator was given, free of `@staticmethod`."""
    if isinstance(function, staticmethod):
        function = function.__func__
    if isinstance(function, classmethod) or not callable(function):
        raise DeclarationError(
            f"expected a function or @staticmethod to route to, got {function!r}; the first "
            "parameter of a routed function is the handler"
        )
    return function  # type: ignore[no-any-return]


def innermost(function: Any) -> Any:
    """What runs in the end: the function of a partial, the method of a callable object."""
    while isinstance(function, partial):
        function = function.func
    return function if inspect.isroutine(function) else function.__call__


def name_of(function: Any) -> str:
    """Where a function is, for messages: module and qualified name."""
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', '')}.{name}"


def is_generator(function: Function) -> bool:
    runs = innermost(function)
    return inspect.isgeneratorfunction(runs) or inspect.isasyncgenfunction(runs)


def parameters_of(
    function: Function, where: str
) -> tuple[list[inspect.Parameter], dict[str, inspect.Parameter]]:
    """The parameters after the handler: positional ones, and keyword-only ones by name."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError as fault:
        raise DeclarationError(f"{where}: expected a function of Python's own: {fault}") from fault
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not positional:
        raise DeclarationError(
            f"{where}: expected the handler as first parameter, got "
            f"({', '.join(map(str, parameters))}); write `def {where.rpartition('.')[2]}(socket)`, "
            "and use functools.wraps in decorators"
        )
    given: set[str] = set()
    inner = inspect.unwrap(function)
    while isinstance(inner, partial):
        given.update(inner.keywords)
        inner = inspect.unwrap(inner.func)
    fields = {
        p.name: p.replace(annotation=evaluated(p.annotation, function, where))
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.name not in given
    }
    return positional[1:], fields


def takes(function: Function, name: str) -> bool:
    """Whether a parameter after the handler bears this name."""
    positional, fields = parameters_of(function, name_of(function))
    return name in fields or any(parameter.name == name for parameter in positional)


def evaluated(annotation: Any, function: Function, where: str) -> Any:
    """An annotation of the function's, which may be a string."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, vars(builtins) | _globals_of(function))
    except Exception as fault:
        raise DeclarationError(
            f"{where}: annotation {annotation!r} is not known where the route is declared "
            f"({fault}); define it above, at module level, or for content give schema= instead"
        ) from fault


def _globals_of(function: Function) -> dict[str, Any]:
    while not inspect.isfunction(function):
        function = inspect.unwrap(innermost(function))
        function = getattr(function, "__func__", function)
    return inspect.unwrap(function).__globals__  # type: ignore[no-any-return]
