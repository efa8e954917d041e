"""What values of Python and Django become in content, and which of them it cannot have."""

import sys
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from math import isfinite
from typing import Any

import msgspec
from django.core.exceptions import SynchronousOnlyOperation
from django.core.files import File
from django.db.models import Model
from django.db.models.fields.files import FieldFile
from django.utils.duration import duration_iso_string
from django.utils.functional import LazyObject, Promise, empty

TIMES = (datetime, date, time, timedelta)

KEYS = "keys are text, or numbers, enums, dates and ids, which become text"

_AS_TEXT = (Promise, Decimal, IPv4Address, IPv6Address, IPv4Network, IPv6Network)


class Refused(Exception):
    """A value that content cannot have, what to do instead, and the way to it from outside in."""

    def __init__(self, what: str, hint: str, fault: type[Exception] = TypeError) -> None:
        super().__init__(what)
        self.way: list[Any] = []
        self._what = what
        self._hint = hint
        self._fault = fault

    def as_key(self) -> "Refused":
        """The same, of the key of a dict."""
        return Refused(f"a key that is {self._what}", KEYS, self._fault)

    def as_fault(self) -> Exception:
        """What the caller is told: a `TypeError`, or for a number a `ValueError`."""
        place = "".join(map(_step, self.way)).removeprefix(".")
        at = f" at {place}" if place else ""
        return self._fault(f"expected JSON-ready content, got {self._what}{at}; {self._hint}")


def simplify(value: Any) -> Any:
    """A value that msgspec does not know, as one that it does; raises `Refused` where none is."""
    if isinstance(value, LazyObject):
        return _loaded(value)
    if isinstance(value, str):
        return str.__str__(value)
    if value is None or isinstance(value, bool):  # only as keys, written as the json module does
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, TIMES):
        return text_of_time(value)
    if isinstance(value, _AS_TEXT):
        return str(value)
    if isinstance(value, FieldFile):
        return value.name or ""
    if isinstance(value, bytes):
        return bytes(value)
    return _simplify_object(value)


def _simplify_object(value: Any) -> Any:
    """A container or record of another library, in its own way; none of them is imported."""
    if isinstance(value, type | Model | File | Iterator):
        raise refusal_of(value)
    if callable(dump := getattr(value, "model_dump", None)):  # of pydantic
        return dump(mode="json")
    if callable(tolist := getattr(value, "tolist", None)):  # of numpy and its like
        return tolist()
    relations = sys.modules.get("rest_framework.relations")
    if relations is not None and isinstance(value, relations.PKOnlyObject):
        return value.pk
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return _listed(value)
    raise refusal_of(value)


def _loaded(value: Any) -> Any:
    """What a lazy object stands for: it only looks as if it were that."""
    if value._wrapped is empty:
        value._setup()
    return value._wrapped


def _listed(values: Iterable[Any]) -> list[Any]:
    try:
        return list(values)
    except SynchronousOnlyOperation:
        what = f"a {name_of(values)} that is not fetched yet"
        hint = "fetch it with `[row async for row in ...]`, or in a `def` function with list()"
        raise Refused(what, hint) from None


def refusal_of(value: Any) -> Refused:
    hint = "send its values instead"
    if isinstance(value, Model):
        hint = "send its pk, or its fields in a dict or by a serializer"
    elif isinstance(value, Awaitable):
        hint = "await it first"
    return Refused(f"a {name_of(value)}", hint)


def name_of(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def text_of_time(value: Any) -> str:
    """A date, time or duration as `DjangoJSONEncoder` writes it: in milliseconds, UTC as Z."""
    if isinstance(value, timedelta):
        return duration_iso_string(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    text = value.isoformat(timespec="milliseconds" if value.microsecond else "auto")
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text


def refine(content: Any) -> Any:
    """Content of any kind, with nothing in it left to msgspec's own judgement.

    Raises `TypeError` or `ValueError` that names what content cannot have, and where it is.
    """
    try:
        built = msgspec.to_builtins(content, builtin_types=(*TIMES, Refused), enc_hook=_mark)
        return _refine(built)
    except RecursionError:
        raise ValueError("expected content that is not nested so deeply, or in itself") from None
    except Refused as refused:
        raise refused.as_fault() from None


def _mark(value: Any) -> Any:
    """A refusal in the place of its value, so that the way to it is found."""
    if isinstance(value, Iterator):  # read once, and here: what is encoded after it reads no more
        return _listed(value)
    try:
        return simplify(value)
    except Refused as refused:
        return refused


def _refine(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {_refine_key(key): _refine_at(key, inner) for key, inner in value.items()}
    if kind is list or kind is tuple:
        return [_refine_at(place, inner) for place, inner in enumerate(value)]
    if kind is float and not isfinite(value):
        raise Refused(repr(value), "send None, or say it in text", ValueError)
    if kind is str and not value.isascii():
        _check_text(value)
    elif kind in TIMES:
        return text_of_time(value)
    elif kind is Refused:
        raise value
    return value


def _refine_at(step: Any, value: Any) -> Any:
    try:
        return _refine(value)
    except Refused as refused:
        refused.way.insert(0, step)
        raise


def _refine_key(key: Any) -> Any:
    if key is None or isinstance(key, (bool, *TIMES)):
        return simplify(key)
    try:
        if isinstance(key, str | int | float | Refused):
            return _refine(key)
        raise refusal_of(key)
    except Refused as refused:
        raise refused.as_key() from None


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused("a lone surrogate", "UTF-8 has none", ValueError) from None


def _step(step: Any) -> str:
    return f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{step!r}]"
