"""The options of a route that come before or after its function: who may, what is loaded."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from .arguments import ROUTE_WORDS, Getter, url_arguments
from .exceptions import DeclarationError
from .functions import Function, is_generator, name_of, unwrap
from .guards import Guard, guard_list, has_perm
from .permissions import permission_list

# What guards, checks and `dehydrate` may ask for besides what the route's function may.
STAGE_WORDS: dict[str, Getter] = {**ROUTE_WORDS, "obj": lambda socket, message: message.obj}


class Stages(Struct, frozen=True, kw_only=True):
    """What a route has of them; `NO_STAGES` is none."""

    login_required: bool = False
    permissions: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = ()
    check_access: Function | None = None
    check_data: Function | None = None
    hydrate: Function | None = None
    dehydrate: Function | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any], where: str) -> "Stages":
        """Those among the options of a route, each checked to be what it must."""
        checked = {}
        for name in cls.__struct_fields__:
            if name in options:
                check: Callable[[Any, str], Any] = _CHECKS.get(name, _check_function)
                checked[name] = check(options[name], f"{where}, {name}")
        return cls(**checked)

    @property
    def given(self) -> dict[str, Any]:
        """The stages that there are, by the names of their options."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if value}

    @property
    def conditions(self) -> tuple[Guard, ...]:
        """All who must let a message pass, in their order."""
        permissions = (has_perm(*self.permissions),) if self.permissions else ()
        access = () if self.check_access is None else (Guard(self.check_access),)
        return (*permissions, *self.guards, *access)

    def url_arguments(self, groups: frozenset[str]) -> list[tuple[Function, list[str]]]:
        """The user's functions, each with the parameters that only the URL can fill."""
        given = [function for guard in self.conditions for function in guard.functions()]
        given += [self.check_data, self.hydrate, self.dehydrate]
        return [
            (function, url_arguments(function, STAGE_WORDS, groups))
            for function in given
            if function
        ]


def _check_login(given: Any, where: str) -> bool:
    if not isinstance(given, bool):
        raise DeclarationError(f"{where}: expected True or False, got {given!r}")
    return given


def _check_function(given: Any, where: str) -> Function | None:
    if given is None:
        return None
    if isinstance(given, Guard):
        raise DeclarationError(f"{where}: expected a function, got a guard; list it in guards")
    function = unwrap(given)
    if is_generator(function):
        raise DeclarationError(f"{where}: {name_of(function)} is a generator, which has no result")
    return function


NO_STAGES = Stages()
FUNCTIONS = ("check_access", "check_data", "hydrate", "dehydrate")
"""The stages that are one function each."""

_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "login_required": _check_login,
    "permissions": permission_list,
    "guards": guard_list,
}
