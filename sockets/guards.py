"""Conditions on who may: composed of functions, and the ready-made ones."""

import inspect
from collections.abc import Callable, Generator, Iterator
from functools import wraps
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import PermissionDenied

from .exceptions import CallError, DeclarationError, LoginRequired
from .faults import as_socket_error
from .functions import Function, innermost, is_generator, name_of, unwrap
from .permissions import (
    Deactivated,
    check_permissions,
    current_user,
    group_names,
    permission_list,
    refusal_of,
)
from .scope import get_user

F = TypeVar("F", bound=Callable[..., Any])

Deciding = Generator[Any, Any, Exception | None]
"""Yields the functions to call, takes what they return, and ends with a refusal or None."""


class Guard:
    """A function that may refuse; `&`, `|` and `~` compose it with others.

    The function passes with True or None. It refuses with False, or by raising
    `PermissionDenied`, `LoginRequired` or another error with status 401 or 403.
    """

    def __init__(self, function: Function, name: str | None = None) -> None:
        if isinstance(function, Guard) or not callable(function):
            raise DeclarationError(f"expected a function as guard, got {function!r}")
        if is_generator(function):
            raise DeclarationError(f"{name_of(function)}: a guard cannot be a generator")
        self.function = unwrap(function)
        self.name = name or name_of(function)

    @staticmethod
    def of(given: "Guard | Function") -> "Guard":
        """The guard itself, or one of a plain function."""
        return given if isinstance(given, Guard) else Guard(given)

    def decide(self) -> Deciding:
        try:
            value = yield self.function
        except Exception as fault:
            if _is_refusal(fault):
                return fault.with_traceback(None)  # which would hold what holds the fault
            raise
        return None if is_pass(value, self.name) else PermissionDenied()

    def functions(self) -> Iterator[Any]:
        """The functions that it is composed of."""
        yield self.function

    def bound(self, bind: Callable[[Function], Function]) -> "Guard":
        """The same guard with other functions in the places of its own."""
        return Guard(bind(self.function), self.name)

    def __and__(self, other: Any) -> "Guard":
        return Both(self, Guard.of(other)) if is_guard(other) else NotImplemented

    def __rand__(self, other: Any) -> "Guard":
        return Both(Guard.of(other), self) if is_guard(other) else NotImplemented

    def __or__(self, other: Any) -> "Guard":
        return Either(self, Guard.of(other)) if is_guard(other) else NotImplemented

    def __ror__(self, other: Any) -> "Guard":
        return Either(Guard.of(other), self) if is_guard(other) else NotImplemented

    def __invert__(self) -> "Guard":
        return Not(self)

    def __str__(self) -> str:
        return self.name


class Both(Guard):
    """Refuses where one of two guards does; the second is asked only if the first passes."""

    sign = "&"

    def __init__(self, first: Guard, second: Guard) -> None:
        self.first, self.second = first, second
        self.name = f"({first} {self.sign} {second})"

    def decide(self) -> Deciding:
        refusal = yield from self.first.decide()
        if refusal is None:
            refusal = yield from self.second.decide()
        return refusal

    def functions(self) -> Iterator[Any]:
        yield from self.first.functions()
        yield from self.second.functions()

    def bound(self, bind: Callable[[Function], Function]) -> Guard:
        return type(self)(self.first.bound(bind), self.second.bound(bind))


class Either(Both):
    """Refuses where two guards do, with the words of the first that says why."""

    sign = "|"

    def decide(self) -> Deciding:
        refusal = yield from self.first.decide()
        if refusal is None:
            return None
        other = yield from self.second.decide()
        return None if other is None else refusal if str(refusal) else other


class Not(Guard):
    """Refuses where another guard passes, and who is deactivated."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.name = f"~{guard}"

    def decide(self) -> Deciding:
        refusal = yield from self.guard.decide()
        if isinstance(refusal, Deactivated):
            return refusal
        return PermissionDenied() if refusal is None else None

    def functions(self) -> Iterator[Any]:
        return self.guard.functions()

    def bound(self, bind: Callable[[Function], Function]) -> Guard:
        return Not(self.guard.bound(bind))


def is_pass(value: Any, name: str) -> bool:
    """What a check's return value means; one that is no answer is a fault, not a pass."""
    if value is None or value is True:
        return True
    if value is False:
        return False
    raise TypeError(f"{name}: expected True or None to pass, or False to refuse, got {value!r}")


def _is_refusal(fault: Exception) -> bool:
    """Whether a guard meant to refuse: any other fault is no verdict that could be turned round."""
    error = as_socket_error(fault)
    return error is not None and error.status in (401, 403) and not isinstance(fault, CallError)


def is_guard(given: Any) -> bool:
    return isinstance(given, Guard) or callable(given)


def guard_list(given: Any, where: str) -> tuple[Guard, ...]:
    """The guards of a route's option, or a `DeclarationError`."""
    if not isinstance(given, list | tuple) or not all(map(is_guard, given)):
        raise DeclarationError(f"{where}: expected a list of functions and guards, got {given!r}")
    return tuple(map(Guard.of, given))


@Guard
async def authenticated(socket: Any) -> None:
    """Somebody who is logged in."""
    if not socket.user.is_authenticated:
        raise LoginRequired


@Guard
def staff(socket: Any) -> None:
    """Somebody who may log in to the admin."""
    user = current_user(socket.user)
    if not (user.is_active and user.is_staff):
        raise refusal_of(user)


def has_perm(*permissions: str) -> Guard:
    """Somebody who has all of these permissions."""
    names = _permission_names(permissions, "has_perm")

    def has_perm(socket: Any) -> None:
        check_permissions(socket.user, names)

    return Guard(has_perm, f"has_perm({', '.join(map(repr, names))})")


def has_object_perm(*permissions: str) -> Guard:
    """Somebody who has these permissions on what `hydrate` has loaded.

    Django's own `ModelBackend` gives none on single objects, but to superusers.
    """
    names = _permission_names(permissions, "has_object_perm")

    def has_object_perm(socket: Any, obj: Any) -> None:
        check_permissions(socket.user, names, obj)

    return Guard(has_object_perm, f"has_object_perm({', '.join(map(repr, names))})")


def in_group(*names: str) -> Guard:
    """An active member of one of these groups of `django.contrib.auth`."""

    if not names or not all(isinstance(name, str) for name in names):
        raise DeclarationError(f"in_group: expected names of groups, at least one, got {names!r}")

    def in_group(socket: Any) -> None:
        user = current_user(socket.user)
        if not user.is_active or group_names(user).isdisjoint(names):
            raise refusal_of(user)

    return Guard(in_group, f"in_group({', '.join(map(repr, names))})")


def require_perms(*permissions: str) -> Callable[[F], F]:
    """Call the function only for users with these permissions, else raise 401 or 403.

    Its first argument has a `user`, or a `scope` with one. On a route it may stand above or
    beneath `@socket.route`.
    """
    names = _permission_names(permissions, "require_perms")

    def decorate(function: F) -> F:
        if isinstance(function, staticmethod):
            return staticmethod(decorate(function.__func__))  # type: ignore[return-value]
        if is_generator(function):
            raise DeclarationError(
                f"{name_of(function)}: a generator cannot wait for a check; write "
                f"@socket.route(..., permissions={list(names)!r})"
            )
        guarded = _guarded(function, names)
        # A route that was made of the function itself finds them there.
        plain: Any = inspect.unwrap(function)
        plain._sockets_permissions = (*required_permissions(plain), *names)
        return guarded  # type: ignore[return-value]

    return decorate


def required_permissions(function: Function) -> tuple[str, ...]:
    """What `@require_perms` above `@socket.route` asks for."""
    names: tuple[str, ...] = getattr(function, "_sockets_permissions", ())
    return names


def _permission_names(given: tuple[Any, ...], where: str) -> tuple[str, ...]:
    if not given:  # everybody has all of none
        raise DeclarationError(f"{where}: expected at least one name such as 'app.change_model'")
    return permission_list(given, where)


def _guarded(function: Function, names: tuple[str, ...]) -> Function:
    def check(first: Any) -> None:
        user = getattr(first, "user", None)
        check_permissions(get_user(first.scope) if user is None else user, names)

    if iscoroutinefunction(innermost(function)):

        @wraps(function)
        async def guarded(first: Any, /, *args: Any, **kwargs: Any) -> Any:
            await sync_to_async(check)(first)
            return await function(first, *args, **kwargs)

    else:

        @wraps(function)
        def guarded(first: Any, /, *args: Any, **kwargs: Any) -> Any:
            check(first)
            return function(first, *args, **kwargs)

    return guarded
