"""What an exception means to the client, and what only the log is told."""

import sys
from types import ModuleType

import pytest
import rest_framework.exceptions
from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.http import Http404
from django.test import override_settings
from django.utils.translation import gettext_lazy

from sockets.exceptions import CallError, InvalidContent, UnknownKey
from sockets.faults import as_socket_error, error_of


def test_an_unforeseen_fault_is_logged_and_told_without_its_details(caplog):
    error = error_of(RuntimeError("secret"), "'BET' of ann")
    assert (error.status, error.details) == (500, "The server failed.")
    assert "secret" not in str(error.errors)
    assert caplog.messages == ["'BET' of ann failed"]
    assert caplog.records[0].exc_info[1].args == ("secret",)


class Untellable(PermissionDenied):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize("fault", [Untellable(), ValidationError("%(x)s", params={"y": 1})])
@pytest.mark.parametrize("debug", [True, False])
def test_a_fault_that_cannot_be_told_is_an_unforeseen_one(fault, debug, settings, caplog):
    settings.DEBUG = debug
    assert error_of(fault, "'BET'").status == 500
    assert "cannot be told" in caplog.text


def test_a_foreseen_fault_is_not_logged(caplog):
    assert error_of(PermissionDenied(), "'BET'").status == 403
    assert not caplog.records


def test_a_fault_of_a_whole_form_is_of_no_field():
    (error,) = as_socket_error(ValidationError({"__all__": ["Odd."]})).errors
    assert error == {"text": "Odd."}


@override_settings(DEBUG=True)
def test_the_traceback_is_told_under_debug():
    try:
        raise RuntimeError("the cause")
    except RuntimeError as fault:
        error = error_of(fault, "'BET'")
    assert error.details == "RuntimeError: the cause"
    assert "in test_the_traceback" in error.errors[0]["text"]


def test_a_refusal_stands_for_itself():
    error = UnknownKey("No.")
    assert as_socket_error(error) is error
    assert error.fault is None


def test_an_error_knows_the_fault_that_it_stands_for():
    fault = PermissionDenied()
    assert as_socket_error(fault).fault is fault


@pytest.mark.parametrize(
    ("fault", "status", "details"),
    [
        (PermissionDenied(), 403, "You may not do this."),
        (PermissionDenied("Not your turn."), 403, "Not your turn."),
        (Http404(), 404, "Not found."),
        (Http404("No such table."), 404, "No such table."),
        (ObjectDoesNotExist(), 404, "Not found."),
        (User.DoesNotExist("No user."), 404, "No user."),
    ],
)
def test_djangos_exceptions_keep_the_status_of_a_view(fault, status, details):
    error = as_socket_error(fault)
    assert (error.status, error.details) == (status, details)
    assert error.errors == [{"text": details}]


@pytest.mark.parametrize(
    ("fault", "errors"),
    [
        (ValidationError("Too high."), [{"text": "Too high."}]),
        (ValidationError(gettext_lazy("Yes")), [{"text": "Yes"}]),
        (ValidationError("At most %(n)s.", params={"n": 5}), [{"text": "At most 5."}]),
        (ValidationError(["One.", "Two."]), [{"text": "One."}, {"text": "Two."}]),
        (
            ValidationError({"bet": ["One.", "Two."], "table": "Three."}),
            [
                {"field": "bet", "text": "One."},
                {"field": "bet", "text": "Two."},
                {"field": "table", "text": "Three."},
            ],
        ),
    ],
)
def test_a_validation_error_lists_its_faults(fault, errors):
    error = as_socket_error(fault)
    assert isinstance(error, InvalidContent)
    assert (error.status, error.details) == (400, "The message is not valid.")
    assert error.errors == errors


def test_a_validation_error_tells_its_codes():
    fault = ValidationError({"bet": ValidationError("Too high.", code="limit")})
    (error,) = as_socket_error(fault).errors
    assert error == {"field": "bet", "text": "Too high.", "code": "limit"}


@pytest.mark.parametrize("fault", [ValueError("x"), KeyError("x"), TimeoutError(), SystemExit(1)])
def test_an_unforeseen_fault_stands_for_none(fault):
    assert as_socket_error(fault) is None


# Django REST framework


class Detail(str):
    """A text with a code, as Django REST framework's ErrorDetail."""

    def __new__(cls, text, code=None):
        self = super().__new__(cls, text)
        self.code = code
        return self


class APIException(Exception):
    def __init__(self, detail, status_code=400):
        self.detail = detail
        self.status_code = status_code


@pytest.fixture
def framework(monkeypatch):
    module = ModuleType("rest_framework.exceptions")
    module.APIException = APIException
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("framework")
def test_an_exception_of_the_rest_framework_keeps_its_status():
    error = as_socket_error(APIException(Detail("Slow down.", "throttled"), 429))
    assert (error.status, error.details) == (429, "Slow down.")
    assert error.errors == [{"text": "Slow down.", "code": "throttled"}]


@pytest.mark.usefixtures("framework")
def test_the_details_of_the_rest_framework_are_listed():
    detail = {
        "bet": [Detail("Required.", "required"), Detail("Odd.")],
        "seat": {"number": [Detail("Taken.", "taken")]},
        "cards": [{"rank": ["Low."]}],
    }
    error = as_socket_error(APIException(detail))
    assert (error.status, error.details) == (400, "The message is not valid.")
    assert error.errors == [
        {"text": "Required.", "field": "bet", "code": "required"},
        {"text": "Odd.", "field": "bet"},
        {"text": "Taken.", "field": "seat.number", "code": "taken"},
        {"text": "Low.", "field": "cards.0.rank"},
    ]


@pytest.mark.usefixtures("framework")
def test_other_faults_stay_unforeseen_beside_the_rest_framework():
    assert as_socket_error(ValueError("x")) is None


def test_the_rest_framework_itself():
    error = as_socket_error(rest_framework.exceptions.ValidationError({"bet": ["Too high."]}))
    assert error.status == 400
    assert error.errors == [{"text": "Too high.", "field": "bet", "code": "invalid"}]
    assert as_socket_error(rest_framework.exceptions.NotAuthenticated()).status == 401
    assert as_socket_error(rest_framework.exceptions.Throttled()).status == 429


@pytest.mark.parametrize("status", [0, 302, 999, -1])
def test_a_status_that_no_error_has_is_told_as_bad_gateway(status):
    error = CallError(status)
    assert error.status == status
    assert as_socket_error(error).status == 502
