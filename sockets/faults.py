"""What an exception means to the client, and what only the log is told."""

import logging
import sys
import traceback
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
    Django REST framework keep their own.
    """
    if isinstance(fault, CallError) and not 400 <= fault.status <= 599:
        return SocketError(fault.details, status=HTTPStatus.BAD_GATEWAY)
    if isinstance(fault, SocketError):
        return fault
    if isinstance(fault, PermissionDenied):
        return SocketError(str(fault) or "You may not do this.", status=403)
    if isinstance(fault, Http404 | ObjectDoesNotExist):
        return SocketError(str(fault) or "Not found.", status=404)
    if isinstance(fault, ValidationError):
        return InvalidContent("The message is not valid.", errors=_validation_errors(fault))
    return _framework_error(fault)


def _validation_errors(fault: ValidationError) -> list[dict[str, str]]:
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
        errors=_detail_errors(detail),
    )


def _detail_errors(detail: Any, field: str = "") -> list[str | dict[str, str]]:
    if isinstance(detail, dict):
        return [
            error
            for name, inner in detail.items()
            for error in _detail_errors(inner, f"{field}.{name}" if field else str(name))
        ]
    if isinstance(detail, list):
        return [error for inner in detail for error in _detail_errors(inner, field)]
    error = {"text": str(detail)}
    if field:
        error["field"] = field
    if code := getattr(detail, "code", None):
        error["code"] = str(code)
    return [error]
