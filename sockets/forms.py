"""Content checked by Django's forms and by serializers of Django REST framework."""

import sys
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.forms import BaseForm, JSONField

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
        form.data = _as_submitted(form, content)
        for name in _with_parts(form, content):
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


def _as_submitted(form: BaseForm, content: dict[str, Any]) -> dict[str, Any]:
    """Numbers and booleans as the texts that a browser sends, which many fields rely on."""
    raw = {_sent(form, name) for name, field in form.fields.items() if _takes_parts(field)}
    refused = {_sent(form, name) for name in _with_parts(form, content)}
    return {
        name: str(value) if isinstance(value, int | float) and name not in raw else value
        for name, value in content.items()
        if name not in refused
    }


def _with_parts(form: BaseForm, content: dict[str, Any]) -> list[str]:
    """The fields that were sent an object or a list, and would take it for an odd text."""
    return [
        name
        for name, field in form.fields.items()
        if isinstance(content.get(_sent(form, name)), dict | list) and not _takes_parts(field)
    ]


def _takes_parts(field: Any) -> bool:
    """Whether a field reads lists or objects: of many choices, of JSON, of PostgreSQL's arrays."""
    return (
        getattr(field.widget, "allow_multiple_selected", False)
        or isinstance(field, JSONField)
        or hasattr(field, "base_field")
    )


def _sent(form: BaseForm, name: str) -> str:
    """What a client calls a field, or what is told of the form as a whole."""
    return str(form.add_prefix(name)) if name in form.fields else name
