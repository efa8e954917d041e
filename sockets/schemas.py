"""What content must be to fit its annotation, and what it becomes then."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, NewType, NotRequired, Required, TypedDict, get_origin

import msgspec
from asgiref.sync import iscoroutinefunction
from msgspec import convert
from msgspec.inspect import AnyType, CustomType, DictType, NoneType, StrType, StructType, UnionType

from .exceptions import DeclarationError, InvalidContent
from .forms import form_cleaner, is_form, is_serializer, serializer_cleaner
from .pydantic_models import has_model, model_cleaner, refused_by_models
from .violations import FAULTS, violations_of

Clean = Callable[[Any], Any]
Validate = Callable[[Any], dict[str, Any]]
Errors = list[dict[str, str]]

ENVELOPE = frozenset({"type", "ref"})
"""What a flat message has beside its fields, and no schema need know."""

NO_OBJECT = "got `object`"
"""How msgspec ends its text where an object is the fault."""


class Schema(msgspec.Struct, frozen=True, eq=False):
    """How content is checked, and what it becomes.

    `clean` returns the cleaned content, or raises `InvalidContent` with every faulty field. Where
    it is `blocking` it may wait, as for a database, and runs on a lane; where it is `awaited` it
    is a coroutine function. `faults` lists what is wrong, where msgspec checks.
    """

    kind: Any
    clean: Clean
    blocking: bool = False
    awaited: bool = False
    faults: Callable[[Any], Errors] | None = None

    @property
    def name(self) -> str:
        if inspect.isroutine(self.kind):
            return f"{self.kind.__module__}.{self.kind.__qualname__}"
        plain = self.kind.__origin__ if get_origin(self.kind) is Annotated else self.kind
        return inspect.formatannotation(plain)

    def misfit(self, key: str | None) -> str | None:
        """Why no flat message with this key, or with any, can fit; None where one may."""
        for error in self.faults({} if key is None else {"type": key}) if self.faults else ():
            field, text = error.get("field"), error["text"]
            if (field == "type" and key is not None) or (not field and text.endswith(NO_OBJECT)):
                return text
        return None


def schema_of(kind: Any, where: str, name: str = "content") -> Schema | None:
    """What an annotation asks of content; None where it lets content be as it came.

    `kind` is a type that msgspec can check, a model of pydantic or a type made of such, a form
    class of Django or a serializer class of Django REST framework; anything else, but for types
    of any object, raises `DeclarationError`. `name` is the parameter that it is the annotation of.
    """
    if is_form(kind) or is_serializer(kind):
        expected = f"{where}: expected a class that is made of data= alone"
        _check_call(kind, kind.__init__, expected, None, data=None)  # `__new__` takes anything
        cleaner = form_cleaner if is_form(kind) else serializer_cleaner
        return Schema(kind, cleaner(kind), blocking=True)
    if has_model(kind):
        clean = _cleaner_of_models(kind, name, where)
        return Schema(kind, _without(refused_by_models(kind, ENVELOPE), clean))
    if _is_open(kind):
        return None
    repair = "; dict[str, Any], or the option schema=None, takes content as it came"
    if name not in ("content", "payload"):
        repair += ", and an argument of the URL stands after `content`"
    _check(kind, name, where, repair)
    return _schema_of_type(kind)


def schema_of_option(given: Any, where: str) -> Schema | None:
    """What the option `schema` asks of content: as an annotation does, or a function.

    A function takes the content and returns what it becomes, or refuses it with a `ValueError`.
    """
    if given is None:
        return None
    if not _is_function(given):
        return schema_of(given, where)
    expected = f"{where}: expected a schema that takes the content and nothing else"
    _check_call(given, given, expected, None)
    if iscoroutinefunction(given) or iscoroutinefunction(given.__call__):

        async def aclean(content: Any) -> Any:
            with _refusing():
                return await given(content)

        return Schema(given, aclean, awaited=True)

    def clean(content: Any) -> Any:
        with _refusing():
            return given(content)

    return Schema(given, clean, blocking=True)


def _check_call(
    given: Any, called: Callable[..., Any], expected: str, *args: Any, **kwargs: Any
) -> None:
    """Raise `DeclarationError` for what is given and cannot be called with these arguments."""
    try:
        inspect.signature(called).bind(*args, **kwargs)
    except (TypeError, ValueError) as fault:
        raise DeclarationError(f"{expected}, got {given!r}: {fault}") from fault


def _is_function(given: Any) -> bool:
    """Whether it is no type: generic ones, such as `list[int]`, can be called too."""
    is_type = isinstance(given, type | NewType) or get_origin(given) is not None
    return callable(given) and not is_type


@contextmanager
def _refusing() -> Iterator[None]:
    """A function's `ValueError` is the client's fault, as one of a validator is."""
    try:
        yield
    except ValueError as fault:
        text = str(fault) or "The content is not valid."
        raise InvalidContent.of([{"text": text}]) from fault


def fields_validator(fields: Mapping[str, inspect.Parameter], where: str) -> Validate:
    """A function that picks `fields` out of a message's content and checks each by its annotation.

    It raises `InvalidContent` naming every field that is missing or of a wrong type. A field
    without an annotation takes any value.
    """
    kinds: dict[str, Any] = {}
    models: dict[str, Clean] = {}
    for name, field in fields.items():
        kind = Any if field.annotation is field.empty else field.annotation
        if has_model(kind):
            kind, models[name] = Any, _cleaner_of_models(kind, name, where)
        _check(kind, name, where)
        kinds[name] = Required[kind] if field.default is field.empty else NotRequired[kind]
    clean = _schema_of_type(TypedDict("Fields", kinds)).clean  # type: ignore[operator]

    def validate(content: Any) -> dict[str, Any]:
        if not isinstance(content, dict):
            raise InvalidContent(f"expected an object with {', '.join(kinds)}.")
        return clean(content)  # type: ignore[no-any-return]

    def validate_with_models(content: Any) -> dict[str, Any]:
        values: dict[str, Any] = {}
        errors: Errors = []
        try:
            values = validate(content)
        except InvalidContent as fault:
            if not isinstance(content, dict):
                raise
            errors = fault.errors
        for name in filter(content.__contains__, models):
            try:
                values[name] = models[name](content[name])
            except InvalidContent as fault:
                errors += [_within(name, error) for error in fault.errors]
        if errors:
            raise InvalidContent.of(errors)
        return values

    return validate_with_models if models else validate


def _cleaner_of_models(kind: Any, name: str, where: str) -> Clean:
    try:
        return model_cleaner(kind)
    except Exception as fault:
        raise DeclarationError(f"{where}: {name!r} cannot be checked: {fault}") from fault


def _within(name: str, error: dict[str, str]) -> dict[str, str]:
    return {**error, "field": f"{name}.{error['field']}" if "field" in error else name}


def _schema_of_type(kind: Any) -> Schema:
    """The schema of a type that msgspec can check."""
    # A Struct keeps what msgspec finds out about the type; for others it would do so every time.
    holder = msgspec.defstruct("Holder", [("content", kind)], array_like=True)
    refused = _refused_by_structs(kind, ENVELOPE)
    faults = _without(refused, partial(violations_of, kind=kind))

    def clean(content: Any) -> Any:
        try:
            return convert((content,), holder, str_keys=True).content  # type: ignore[attr-defined]
        except FAULTS:
            raise InvalidContent.of(faults(content)) from None

    return Schema(kind, _without(refused, clean), faults=faults)


def _without(names: frozenset[str], clean: Clean) -> Clean:
    """The function, which gets an object without the fields of these names."""
    if not names:
        return clean

    def clean_without(content: Any) -> Any:
        if isinstance(content, dict):
            content = {name: value for name, value in content.items() if name not in names}
        return clean(content)

    return clean_without


def _refused_by_structs(kind: Any, names: frozenset[str]) -> frozenset[str]:
    """Which of these names are not known to Structs that forbid unknown fields."""
    info = msgspec.inspect.type_info(kind)
    members = info.types if isinstance(info, UnionType) else (info,)
    strict = [m for m in members if isinstance(m, StructType) and m.forbid_unknown_fields]
    known = {field.encode_name for struct in strict for field in struct.fields}
    known |= {struct.tag_field for struct in strict if struct.tag_field}
    return names - known if strict else frozenset()


def _is_open(kind: Any) -> bool:
    """Whether a type is that of all content, or of any object."""
    if kind is inspect.Parameter.empty or kind is object:
        return True
    try:
        return _takes_all(msgspec.inspect.type_info(kind))
    except Exception:
        return False


def _takes_all(info: Any) -> bool:
    if isinstance(info, UnionType):
        members = [member for member in info.types if not isinstance(member, NoneType)]
        return all(map(_takes_all, members))
    if isinstance(info, DictType):
        return info.key_type in (AnyType(), StrType()) and _takes_all(info.value_type)
    return isinstance(info, AnyType) or (isinstance(info, CustomType) and info.cls is object)


def _check(kind: Any, name: str, where: str, repair: str = "") -> None:
    """Refuse an annotation that no value can be checked by."""
    try:
        info = msgspec.inspect.type_info(kind)
    except Exception as fault:
        raise DeclarationError(f"{where}: {name!r} cannot be checked: {fault}{repair}") from fault
    if _has_custom_type(info, set()):
        raise DeclarationError(
            f"{where}: expected {name!r} to be annotated with a type that can be checked "
            "(int, str, list[int], a dataclass, a msgspec.Struct, a TypedDict, a model of "
            f"pydantic, ...), got {kind!r}{repair}"
        )


def _has_custom_type(info: Any, seen: set[int]) -> bool:
    """Whether a type, or one within it, is unknown to msgspec: values would never fit it."""
    if isinstance(info, CustomType):
        return True
    if id(info) in seen:
        return False
    seen.add(id(info))
    if isinstance(info, tuple):
        return any(_has_custom_type(inner, seen) for inner in info)
    if isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field):
        return any(_has_custom_type(getattr(info, name), seen) for name in info.__struct_fields__)
    return False
