"""What an exception means to the client, and what only the log is told."""

import logging
import sys
import traceback
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import (
    NON_FIELD_ERRORS,
    ObjectDoesNotExist,
    PermissionDenied,
    ValidationError,
)
from django.http import Http404

from .exceptions import CallError, HandlerFault, InvalidContent, SocketError

logger = logging.getLogger("sockets")


def error_of(fault: BaseException, what: str) -> SocketError:
    """The error to tell the client; a fault that nobody foresaw is logged as "`what` failed".

    Its traceback reaches the client only under `DEBUG`.
    """
    try:
        error = as_socket_error(fault)
    except Exception:
        logger.exception("%s failed with an exception that cannot be told", what)
        error = None
    if error is None:
        logger.error("%s failed", what, exc_info=fault)
        error = HandlerFault("The server failed.")
        if settings.DEBUG:
            text = "".join(traceback.format_exception(fault))
            error.details, error.errors = text.splitlines()[-1], [{"text": text}]
    return error


def as_socket_error(fault: BaseException) -> SocketError | None:
    """The refusal that a fault stands for, or None where it is an unforeseen one.

    Django's own exceptions keep the status that a view would give them; those of
    Django REST framework keep their own. The fault is kept as the refusal's `fault`.
    """
    error = _translated(fault)
    if error is not None and error is not fault:
        error.fault = fault
    return error


def _translated(fault: BaseException) -> SocketError | None:
    if isinstance(fault, CallError) and not 400 <= fault.status <= 599:
        return SocketError(fault.details, status=HTTPStatus.BAD_GATEWAY)
    if isinstance(fault, SocketError):
        return fault
    if isinstance(fault, PermissionDenied):
        return SocketError(str(fault) or "You may not do this.", status=403)
    if isinstance(fault, Http404 | ObjectDoesNotExist):
        return SocketError(str(fault) or "Not found.", status=404)
    if isinstance(fault, ValidationError):
        return InvalidContent("The message is not valid.", errors=errors_of(fault))
    return _framework_error(fault)


def errors_of(fault: ValidationError) -> list[dict[str, str]]:
    """Django's validation errors as those for a client: text, and field and code where known."""
    by_field = fault.error_dict if hasattr(fault, "error_dict") else {"": fault.error_list}
    return [
        {
            "text": text,
            **({"field": field} if field not in ("", NON_FIELD_ERRORS) else {}),
            **({"code": error.code} if error.code else {}),
        }
        for field, errors in by_field.items()
        for error in errors
        for text in error.messages
    ]


def _framework_error(fault: BaseException) -> SocketError | None:
    # Never imported from here: whoever raised it has imported it already.
    framework = sys.modules.get("rest_framework.exceptions")
    if framework is None or not isinstance(fault, framework.APIException):
        return None
    detail: Any = fault.detail
    return SocketError(
        "The message is not valid." if isinstance(detail, dict | list) else str(detail),
        status=fault.status_code,
        errors=list(errors_of_detail(detail)),
    )


def errors_of_detail(detail: Any, path: tuple[str, ...] = ()) -> Iterator[dict[str, str]]:
    """What Django REST framework tells of faults, as errors for a client.

    Fields within others are named `player.name`, those of the objects of a list `cards.0.rank`.
    """
    if isinstance(detail, dict):
        for name, inner in detail.items():
            of_all = name == _key_for_all_fields()
            yield from errors_of_detail(inner, path if of_all else (*path, str(name)))
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, dict | list)
            yield from errors_of_detail(inner, (*path, str(index)) if nested else path)
    else:
        code = getattr(detail, "code", None)
        yield {
            "text": str(detail),
            **({"field": ".".join(path)} if path else {}),
            **({"code": str(code)} if code else {}),
        }


def _key_for_all_fields() -> str:
    settings: Any = sys.modules.get("rest_framework.settings")
    return str(settings.api_settings.NON_FIELD_ERRORS_KEY) if settings else "non_field_errors"
