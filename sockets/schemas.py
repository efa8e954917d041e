"""One validator from a type annotation: for the single fields of a message."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from .exceptions import DeclarationError, InvalidContent

Validate = Callable[[Any], dict[str, Any]]


def fields_validator(fields: Mapping[str, inspect.Parameter], where: str) -> Validate:
    """A function that picks `fields` out of a message's content and checks each by its annotation.

    It raises `InvalidContent` naming every field that is missing or of a wrong type. Values
    are checked strictly: `"5"` is no int, `True` is no int; dates, UUIDs and decimals are
    read from their JSON strings. A field without an annotation takes any value.
    """
    types = {name: _checkable(parameter, where) for name, parameter in fields.items()}
    required = [name for name, field in fields.items() if field.default is field.empty]

    def validate(content: Any) -> dict[str, Any]:
        if not isinstance(content, dict):
            raise InvalidContent(f"expected an object with {', '.join(types)}.")
        values: dict[str, Any] = {}
        errors: list[dict[str, str]] = [
            {"field": name, "text": "This field is required."}
            for name in required
            if name not in content
        ]
        for name, kind in types.items():
            if name in content:
                try:
                    values[name] = msgspec.convert(content[name], kind)
                except (ValueError, TypeError, OverflowError, RecursionError) as fault:
                    # msgspec's ValidationError is a ValueError; sets of lists are TypeErrors.
                    errors.append({"field": name, "text": str(fault)})
        if errors:
            names = ", ".join(error["field"] for error in errors)
            raise InvalidContent(f"The message is not valid: {names}.", errors=errors)
        return values

    return validate


def _checkable(parameter: inspect.Parameter, where: str) -> Any:
    kind = Any if parameter.annotation is parameter.empty else parameter.annotation
    try:
        info = msgspec.inspect.type_info(kind)
    except Exception as fault:
        raise DeclarationError(f"{where}: {parameter.name!r} cannot be checked: {fault}") from fault
    if _has_custom_type(info, set()):
        raise DeclarationError(
            f"{where}: expected {parameter.name!r} to be annotated with a type that can be checked "
            f"(int, str, list[int], a dataclass, a msgspec.Struct, a TypedDict, ...), got {kind!r}"
        )
    return kind


def _has_custom_type(info: Any, seen: set[int]) -> bool:
    """Whether a type, or one within it, is unknown to msgspec: values would never fit it."""
    if isinstance(info, msgspec.inspect.CustomType):
        return True
    if id(info) in seen:
        return False
    seen.add(id(info))
    if isinstance(info, tuple):
        return any(_has_custom_type(inner, seen) for inner in info)
    if isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field):
        return any(_has_custom_type(getattr(info, name), seen) for name in info.__struct_fields__)
    return False
