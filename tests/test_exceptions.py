"""The refusals and faults a client or developer can meet, as one tree."""

from http import HTTPStatus

import pytest
from django.core.exceptions import (
    ImproperlyConfigured,
)

import sockets
from sockets.exceptions import (
    LONGEST_FIELD,
    MOST_ERRORS,
    MOST_NAMED,
    CallError,
    CallTimeout,
    Cancelled,
    CloseCode,
    DeclarationError,
    Disconnected,
    DuplicateRef,
    FrameTooLarge,
    HandlerFault,
    InvalidContent,
    InvalidFrame,
    LanesBusy,
    LoginRequired,
    SocketError,
    TimedOut,
    TooManyMessages,
    UnknownKey,
    suggest,
)

# Refusals


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (SocketError, 400),
        (InvalidFrame, 400),
        (InvalidContent, 400),
        (LoginRequired, 401),
        (UnknownKey, 404),
        (DuplicateRef, 409),
        (FrameTooLarge, 413),
        (TooManyMessages, 429),
        (Cancelled, 499),
        (HandlerFault, 500),
        (LanesBusy, 503),
        (TimedOut, 504),
    ],
)
def test_each_refusal_has_its_status(refusal, status):
    error = refusal("Not now.")
    assert error.status == status
    assert (error.details, str(error)) == ("Not now.", "Not now.")
    assert error.errors == [{"text": "Not now."}]


def test_a_handler_may_choose_the_status():
    error = SocketError("Pay first.", status=HTTPStatus.PAYMENT_REQUIRED)
    assert error.status == 402
    assert type(error.status) is int


@pytest.mark.parametrize("status", [0, 200, 399, 600])
def test_a_status_that_is_no_error_is_refused(status):
    with pytest.raises(ValueError, match=f"expected an error status from 400 to 599, got {status}"):
        SocketError("Fine.", status=status)


def test_errors_are_texts_or_dicts():
    error = SocketError("No.", errors=["first", {"text": "second", "field": "bet"}])
    assert error.errors == [{"text": "first"}, {"text": "second", "field": "bet"}]


def test_an_invalid_frame_knows_the_ref_that_could_be_read():
    assert InvalidFrame("No object.").ref is None
    assert InvalidFrame("No type.", ref="a").ref == "a"


def test_a_declaration_error_is_djangos_improperly_configured():
    assert issubclass(DeclarationError, ImproperlyConfigured)
    assert not issubclass(DeclarationError, SocketError)


# Calls


def test_a_call_error_tells_what_the_client_answered():
    error = CallError(409, {"why": "busy"})
    assert (error.status, error.data) == (409, {"why": "busy"})
    assert error.details == "The client answered the call with status 409."
    assert CallError(404).data is None


def test_a_call_timeout_is_a_call_error():
    error = CallTimeout(2.5)
    assert isinstance(error, CallError)
    assert (error.status, error.data) == (504, None)
    assert error.details == "The client did not answer the call within 2.5 s."


def test_disconnected_tells_the_code():
    error = Disconnected(1001)
    assert (error.code, error.status) == (1001, 499)
    assert error.details == "The client disconnected with code 1001."


# Codes


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, CloseCode.BAD_FRAMES),
        (401, CloseCode.LOG_IN),
        (403, CloseCode.FORBIDDEN),
        (404, CloseCode.FORBIDDEN),
        (409, CloseCode.REPLACED),
        (413, CloseCode.TOO_BIG),
        (429, CloseCode.TOO_MANY_MESSAGES),
        (500, CloseCode.SERVER_FAULT),
        (503, CloseCode.FULL),
        (504, CloseCode.HANDSHAKE_TOO_SLOW),
        (599, CloseCode.SERVER_FAULT),
    ],
)
def test_a_connection_that_ends_with_a_refusal_has_its_close_code(status, code):
    assert SocketError("No.", status=status).close_code is code


def test_our_close_codes_are_private_ones_and_none_is_1008_or_1011():
    ours = set(CloseCode) - {CloseCode.NORMAL, CloseCode.ABNORMAL}
    assert all(4000 <= code <= 4999 for code in ours)
    assert {CloseCode.LOG_IN, CloseCode.LEAVING} == {4401, 4512}


# Suggestions


def test_the_likeliest_name_is_suggested():
    assert suggest("conect", ["disconnect", "connect"]) == "did you mean 'connect'?"


def test_without_a_likely_name_all_are_listed():
    assert suggest("xyz", {"b", "a"}) == "choose from a, b."


# The facade


def test_the_package_offers_its_names():
    for name in sockets.__all__:
        assert name in dir(sockets)
        # On Pythons that have all its names, StatusCodes is HTTPStatus itself.
        assert getattr(sockets, name).__name__ in (name, "HTTPStatus")


def test_a_name_that_the_package_has_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'sockets' has no attribute 'SocketRuter'"):
        sockets.SocketRuter  # noqa: B018


def test_invalid_content_names_its_fields():
    errors = [{"field": "x", "text": "Odd."}, {"text": "Old."}, {"field": "x", "text": "Long."}]
    error = InvalidContent.of(errors)
    assert (error.details, error.errors) == ("The message is not valid: x.", errors)
    assert InvalidContent.of([{"text": "Old."}]).details == "The message is not valid."
    assert InvalidContent.of([]).errors == [{"text": "The message is not valid."}]


def test_what_invalid_content_tells_has_bounds():
    error = InvalidContent.of({"field": f"{n}" * 1000, "text": "Odd."} for n in range(1000))
    assert len(error.errors) == MOST_ERRORS
    assert error.details.endswith(f"{'9' * LONGEST_FIELD}, and more.")
    assert error.details.count(",") == MOST_NAMED
    assert {len(error["field"]) for error in error.errors} == {LONGEST_FIELD}
