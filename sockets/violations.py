"""What in a content does not fit its type: every field of it, where msgspec stops at the first."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from types import UnionType
from typing import Annotated, Any, NewType, NotRequired, Required, Union, get_args, get_origin
from typing import get_type_hints as hints_of

import msgspec
from msgspec.inspect import DataclassType, DictType, NamedTupleType, StructType, TypedDictType

from .exceptions import MOST_ERRORS, REQUIRED

FAULTS = (ValueError, TypeError, OverflowError, RecursionError)
"""What msgspec raises for values that do not fit: its own error is a ValueError, and sets of what
no set can hold are TypeErrors."""
UNKNOWN = "This field is not known."
TOO_DEEP = "This is nested too deeply."

OBJECTS = (StructType, DataclassType, TypedDictType)

DEEPEST = 16
"""Names of the longest path to a field that is looked at by itself."""
AT_ONCE = 64
"""Items that are looked at together first, as msgspec takes many in little more time than one."""

PLACE = re.compile(r" - at (?P<key>`key` in )?`\$(?P<way>[^`]*)`\Z")
STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
FIELD = re.compile(r"(?s)Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`")

Path = tuple[str, ...]


class Violation(msgspec.Struct, frozen=True):
    """One fault, and the names that lead to where it is."""

    path: Path
    text: str

    def as_error(self) -> dict[str, str]:
        field = {"field": ".".join(self.path)} if self.path else {}
        return {**field, "text": self.text}


def violations_of(value: Any, kind: Any) -> list[dict[str, str]]:
    """The faults of a value that does not fit a type of msgspec's, as errors for the client.

    Fields bear the names that the client sent, joined by dots: `player.name`, `cards.0`.
    """
    found = islice(_violations(value, kind, ()), MOST_ERRORS)
    return [violation.as_error() for violation in found]


def _violations(value: Any, kind: Any, path: Path) -> Iterator[Violation]:
    first, seen = _first_of(value, kind, path), set()
    if first is None:
        return
    if len(path) < DEEPEST:
        for violation in _within(value, _bare(value, kind), path):
            seen.add(violation.path)
            yield violation
    # What is wrong with the whole is told too, and what only msgspec finds.
    is_of_parts = "..." in first.path or first.text == TOO_DEEP
    if first.path not in seen and not (seen and is_of_parts):
        yield first


def _first_of(value: Any, kind: Any, path: Path) -> Violation | None:
    """The fault that msgspec stops at; None where the value fits."""
    try:
        msgspec.convert(value, kind, str_keys=True)
    except FAULTS as fault:
        return _told(fault, path)
    return None


def _told(fault: Exception, path: Path) -> Violation:
    """What msgspec tells as text and place in one."""
    text = TOO_DEEP if isinstance(fault, RecursionError) else str(fault)
    if place := PLACE.search(text):
        text = text[: place.start()]
        path = (*path, *(name or index for name, index in STEP.findall(place["way"])))
        if place["key"]:
            path = (*path, "...")  # which of the keys is not told
    if field := FIELD.fullmatch(text):
        text = REQUIRED if field["what"] == "missing required" else UNKNOWN
        path = (*path, field["name"])
    return Violation(path, text)


def _within(value: Any, kind: Any, path: Path) -> Iterator[Violation]:
    """The faults of the parts that a value has."""
    arguments = get_args(kind)
    if isinstance(value, dict) and _is_mapping(kind):
        yield from _of_mapping(value, arguments[0], arguments[1], path)
    elif isinstance(value, dict):
        yield from _of_fields(value, kind, path)
    elif isinstance(value, list | tuple) and (positions := _positions_of(kind)):
        for index, (inner, inner_kind) in enumerate(zip(value, positions, strict=False)):
            yield from _violations(inner, inner_kind, (*path, str(index)))
    elif isinstance(value, list | tuple) and arguments and _is_collection(kind):
        yield from _of_items(value, arguments[0], path)


def _of_items(value: Sequence[Any], kind: Any, path: Path) -> Iterator[Violation]:
    for start in range(0, len(value), AT_ONCE):
        items = list(value[start : start + AT_ONCE])
        if _first_of(items, list[kind], path):
            for index, inner in enumerate(items, start):
                yield from _violations(inner, kind, (*path, str(index)))


def _of_mapping(value: dict[Any, Any], keys: Any, values: Any, path: Path) -> Iterator[Violation]:
    entries = list(value.items())
    for start in range(0, len(entries), AT_ONCE):
        some = dict(entries[start : start + AT_ONCE])
        for key, inner in some.items() if _first_of(some, dict[keys, values], path) else ():
            if fault := _first_of({key: None}, dict[keys, None], path):
                yield Violation((*path, str(key)), fault.text)
            yield from _violations(inner, values, (*path, str(key)))


def _of_fields(value: dict[str, Any], kind: Any, path: Path) -> Iterator[Violation]:
    info: Any = msgspec.inspect.type_info(kind)
    if not _has_fields(info):
        return
    kinds = _kinds_of(kind)
    in_order = sorted(info.fields, key=lambda field: [*kinds].index(field.name))
    fields = {field.encode_name: field for field in in_order}
    for name, field in fields.items():
        if field.required and name not in value:
            yield Violation((*path, name), REQUIRED)
    for name, field in fields.items():
        if name in value:
            yield from _violations(value[name], kinds[field.name], (*path, name))
    if getattr(info, "forbid_unknown_fields", False):
        known = {*fields, info.tag_field}
        yield from (Violation((*path, name), UNKNOWN) for name in value if name not in known)


def _has_fields(info: Any) -> bool:
    """Whether it is of a type that an object with fields stands for."""
    return isinstance(info, OBJECTS) and not getattr(info, "array_like", False)


def _kinds_of(kind: Any) -> dict[str, Any]:
    """The types of an object's fields, those of its parameters filled in."""
    filled = _arguments_of(kind)
    hints = hints_of(get_origin(kind) or kind, include_extras=True)
    return {name: _filled(hint, filled) for name, hint in hints.items()}


def _arguments_of(kind: Any) -> dict[Any, Any]:
    """What stands for each parameter of a generic type."""
    parameters = getattr(get_origin(kind) or kind, "__parameters__", ())
    return dict(zip(parameters, get_args(kind), strict=False))


def _filled(hint: Any, filled: Mapping[Any, Any]) -> Any:
    while get_origin(hint) in (Required, NotRequired):
        [hint] = get_args(hint)
    if hint in filled:
        return filled[hint]
    if filled and (parameters := getattr(hint, "__parameters__", ())):
        return hint[tuple(filled.get(parameter, Any) for parameter in parameters)]
    return hint


def _bare(value: Any, kind: Any) -> Any:
    """A type without what stands around it; of a union the member that the value is meant for."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif isinstance(kind, NewType):
            kind = kind.__supertype__
        elif hasattr(kind, "__value__"):  # a name of a `type` statement
            kind = _filled(kind.__value__, _arguments_of(kind))
        elif get_origin(kind) in (Union, UnionType):
            fitting = [
                member for member in get_args(kind) if _is_meant(value, _bare(value, member))
            ]
            if len(fitting) != 1:
                return Any
            [kind] = fitting
        else:
            return kind


def _is_meant(value: Any, kind: Any) -> bool:
    """Whether a type of a union is the one that takes values like this one."""
    if kind is Any or kind is None or kind is type(None):
        return False
    info: Any = msgspec.inspect.type_info(kind)
    if isinstance(value, dict):
        tag = getattr(info, "tag", None)
        if tag is not None:
            return bool(value.get(info.tag_field) == tag)
        return _has_fields(info) or isinstance(info, DictType)
    return isinstance(value, list | tuple) and bool(_is_collection(kind) or _positions_of(kind))


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping) and len(get_args(kind)) == 2


def _is_collection(kind: Any) -> bool:
    """Whether it is of items of one type; what is between its brackets may be others, or values."""
    return hasattr(msgspec.inspect.type_info(kind), "item_type")


def _positions_of(kind: Any) -> list[Any]:
    """The types of the items of an array in which each has its own; none for other types."""
    if get_origin(kind) is tuple and ... not in get_args(kind):
        return list(get_args(kind))
    info: Any = msgspec.inspect.type_info(kind)
    if not (isinstance(info, NamedTupleType) or getattr(info, "array_like", False)):
        return []
    kinds = _kinds_of(kind)
    tag = [] if getattr(info, "tag", None) is None else [Any]
    return [*tag, *(kinds[field.name] for field in info.fields)]
