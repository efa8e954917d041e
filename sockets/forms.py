"""Content checked by Django's forms and by serializers of Django REST framework."""

import sys
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

from django.core.exceptions import ValidationError
from django.forms import BaseForm, JSONField, SelectDateWidget

from .exceptions import InvalidContent
from .faults import errors_of, errors_of_detail

Clean = Callable[[Any], Any]


def is_form(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseForm)


def is_serializer(kind: Any) -> bool:
    # Never imported from here: who has a serializer has imported it already.
    base = getattr(sys.modules.get("rest_framework.serializers"), "BaseSerializer", None)
    return base is not None and isinstance(kind, type) and issubclass(kind, base)


def form_cleaner(form_class: type[BaseForm]) -> Clean:
    """A function that returns the form, bound to a content that is valid for it."""

    def clean(content: Any) -> Any:
        if not isinstance(content, dict):
            raise InvalidContent("expected an object with the fields of a form.")
        form = form_class(data=content)
        inputs = {sent: (name, field) for sent, name, field in _inputs(form)}
        odd = {
            sent: name
            for sent, (name, field) in inputs.items()
            if not _takes(field, content.get(sent))
        }
        form.data = {
            sent: _as_submitted(inputs[sent][1] if sent in inputs else None, value)
            for sent, value in content.items()
            if sent not in odd
        }
        for name in dict.fromkeys(odd.values()):
            form.errors.pop(name, None)
            form.add_error(name, ValidationError("Enter a single value.", code="invalid"))
        if form.is_valid():
            return form
        faults = {_sent(form, name): faults for name, faults in form.errors.as_data().items()}
        raise InvalidContent.of(errors_of(ValidationError(faults)))

    return clean


def serializer_cleaner(serializer_class: Any) -> Clean:
    """A function that returns the serializer, with the data of a content that is valid for it."""

    def clean(content: Any) -> Any:
        serializer = serializer_class(data=content)
        if serializer.is_valid():
            return serializer
        raise InvalidContent.of(errors_of_detail(serializer.errors))

    return clean


def _inputs(form: BaseForm) -> Iterator[tuple[str, str, Any]]:
    """What a client may send: its name, the form's field that it is of, and the field it is for."""
    for name, field in form.fields.items():
        sent = _sent(form, name)
        yield sent, name, field
        for part, inner in _parts(field):
            yield sent + part, name, inner


def _parts(field: Any) -> Iterator[tuple[str, Any]]:
    """What stands behind the name of a field in those of its widget's inputs, if it has several."""
    if names := getattr(field.widget, "widgets_names", ()):
        yield from zip(names, getattr(field, "fields", repeat(field)), strict=False)
    elif isinstance(field.widget, SelectDateWidget):
        yield from zip(("_year", "_month", "_day"), repeat(field), strict=False)
    elif hasattr(field, "base_field"):  # PostgreSQL's arrays, of which one has an input per item
        yield from ((f"_{index}", field.base_field) for index in range(getattr(field, "size", 0)))


def _takes(field: Any, value: Any) -> bool:
    """Whether a field reads what was sent for it: many would take an object for an odd text."""
    if isinstance(field, JSONField):
        return value is None or isinstance(value, str | int | float | list | dict)
    if isinstance(value, list) and hasattr(field, "base_field"):
        return all(_takes(field.base_field, item) for item in value)
    many = getattr(field.widget, "allow_multiple_selected", False)
    return many or not isinstance(value, dict | list)


def _as_submitted(field: Any, value: Any) -> Any:
    """Numbers and booleans as the texts that a browser sends, which many fields rely on."""
    if isinstance(field, JSONField):
        return value
    if isinstance(value, list):
        return [_as_submitted(getattr(field, "base_field", None), item) for item in value]
    return str(value) if isinstance(value, int | float) else value


def _sent(form: BaseForm, name: str) -> str:
    """What a client calls a field, or what is told of the form as a whole."""
    return str(form.add_prefix(name)) if name in form.fields else name
