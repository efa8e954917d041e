"""Content checked by models of pydantic, and by types made of them."""

import sys
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from .encoding import encode_json
from .exceptions import REQUIRED, InvalidContent

Clean = Callable[[Any], Any]


def has_model(kind: Any, aliases: frozenset[Any] = frozenset()) -> bool:
    """Whether a type is a model or dataclass of pydantic, or is made of such: `list[Bet]`.

    `aliases` are the names of `type` statements on the way to it, for they may be recursive.
    """
    if isinstance(kind, type) and hasattr(kind, "__pydantic_validator__"):
        return True
    parts = get_args(kind)
    if hasattr(kind, "__value__") and kind not in aliases:
        parts, aliases = (*parts, kind.__value__), aliases | {kind}
    return any(has_model(part, aliases) for part in parts)


def model_cleaner(kind: Any) -> Clean:
    """A function that returns what pydantic makes of a content, by the rules of its models."""
    # Never imported from here: who has a model has imported it already.
    pydantic: Any = sys.modules["pydantic"]
    adapter = pydantic.TypeAdapter(kind)

    def clean(content: Any) -> Any:
        try:
            return adapter.validate_python(content)
        except pydantic.ValidationError as fault:
            invalid = fault
        try:
            # A strict model takes dates and UUIDs as text only where that comes from JSON.
            return adapter.validate_json(encode_json(content))
        except pydantic.ValidationError as fault:
            invalid = fault
        except (TypeError, ValueError, OverflowError, RecursionError):
            pass  # it holds what JSON has no form for, so none of it comes from JSON
        raise InvalidContent.of(_errors_of(invalid, content))

    return clean


def refused_by_models(kind: Any, names: frozenset[str]) -> frozenset[str]:
    """Which of these names are not known to models that forbid unknown fields."""
    strict = [model for model in _models(kind) if _config(model).get("extra") == "forbid"]
    known = {name for model in strict for name in _names(model)}
    return names - known if strict else frozenset()


def _models(kind: Any) -> Iterator[Any]:
    """The models that a content as a whole may be of."""
    if get_origin(kind) in (Annotated, Union, UnionType):
        for member in get_args(kind):
            yield from _models(member)
    elif hasattr(kind, "__value__"):
        yield from _models(kind.__value__)
    elif has_model(kind) and isinstance(kind, type):
        yield kind


def _config(model: Any) -> Any:
    return getattr(model, "model_config", None) or getattr(model, "__pydantic_config__", {})


def _names(model: Any) -> Iterator[str]:
    """What a client may call the fields."""
    # Models have them under the other name before pydantic 2.10.
    fields = getattr(model, "__pydantic_fields__", None) or model.model_fields
    for name, field in fields.items():
        alias = field.validation_alias
        yield from (name, *getattr(alias, "choices", (alias,)))


def _errors_of(fault: Any, content: Any) -> Iterator[dict[str, str]]:
    for error in fault.errors(include_url=False, include_input=False):
        missing = error["type"] == "missing"
        text = REQUIRED if missing else error["msg"]
        if error["type"] in ("value_error", "assertion_error"):
            text = str(error["ctx"]["error"])
        names = [*_sent(error["loc"], content, missing=missing)]
        if error["type"].startswith("union_tag"):
            names.append(error["ctx"]["discriminator"].strip("'"))
        field = ".".join(names)
        told = {"field": field, "text": text} if field else {"text": text}
        yield {**told, "code": error["type"]}


def _sent(place: tuple[str | int, ...], content: Any, *, missing: bool) -> Iterator[str]:
    """The names in a place that the client sent; others are of the members of unions."""
    for step in place[: len(place) - missing]:
        try:
            content = content[step]
        except (TypeError, LookupError):
            continue
        yield str(step)
    if missing:
        yield str(place[-1])
