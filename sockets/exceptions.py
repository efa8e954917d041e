"""The refusals and faults a client or developer can meet, as one tree.

* DeclarationError: a handler, route or setting that cannot work (raised at class creation)
* SocketError: a refusal that the client is told as an ERROR; handlers raise it too

  * InvalidFrame (400), FrameTooLarge (413), TooManyMessages (429): counted as strikes
  * InvalidContent (400): fields that are missing or of a wrong type
  * LoginRequired (401), which is Django's PermissionDenied as well
  * UnknownKey (404)

    * UnknownStream: no stream of this name is on the connection

  * DuplicateRef (409)
  * Cancelled (499)
  * HandlerFault (500)
  * LanesBusy (503)
  * TimedOut (504)
  * CallError: the client answered a call with an error status

    * CallTimeout (504): the client did not answer in time

  * Disconnected: the client left before it answered
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from enum import IntEnum
from http import HTTPStatus
from itertools import islice
from typing import Any

from django.core.exceptions import ImproperlyConfigured, PermissionDenied


class CloseCode(IntEnum):
    """Why a connection ended. A client returns by itself after 1000-1015 and 4500-4999 only."""

    NORMAL = 1000
    ABNORMAL = 1006
    BAD_FRAMES = 4400
    LOG_IN = 4401
    FORBIDDEN = 4403
    REPLACED = 4409
    TOO_BIG = 4413
    SERVER_FAULT = 4500
    FULL = 4503
    HANDSHAKE_TOO_SLOW = 4504
    NO_PONG = 4508
    LEAVING = 4512
    SLOW_READER = 4513
    TOO_MANY_MESSAGES = 4529


MOST_ERRORS = 100
"""Single faults that one answer lists at most."""
MOST_NAMED = 10
"""Fields that its one sentence names at most."""
LONGEST_FIELD = 200
"""Characters of a field's name that it tells, as clients may choose names of any length."""
SHOWN = 80
"""Characters of a client's text that an error repeats."""
REQUIRED = "This field is required."


class DeclarationError(ImproperlyConfigured):
    """A handler, route or setting that cannot work, found before the first message."""


class SocketError(Exception):
    """A refusal that the client is told; raise it in a handler to answer with its status.

    `details` is one sentence for the person at the client. `errors` lists single faults,
    each a text or a dict of `text` and, where known, `field` and `code`.
    """

    status: int = 400
    fault: BaseException | None = None
    """The exception of another kind that the refusal stands for."""

    def __init__(
        self,
        details: str,
        *,
        status: int | None = None,
        errors: Sequence[str | dict[str, str]] = (),
    ) -> None:
        super().__init__(details)
        self.details = str(details)
        if status is not None:
            if not 400 <= status <= 599:
                raise ValueError(f"expected an error status from 400 to 599, got {status!r}")
            self.status = int(status)
        listed = [error if isinstance(error, dict) else {"text": str(error)} for error in errors]
        self.errors: list[dict[str, str]] = listed or [{"text": self.details}]

    @property
    def close_code(self) -> CloseCode:
        """The code for a connection that ends with this refusal."""
        other = CloseCode.FORBIDDEN if self.status < 500 else CloseCode.SERVER_FAULT
        return _CLOSE_CODES.get(self.status, other)


_CLOSE_CODES = {
    400: CloseCode.BAD_FRAMES,
    401: CloseCode.LOG_IN,
    403: CloseCode.FORBIDDEN,
    409: CloseCode.REPLACED,
    413: CloseCode.TOO_BIG,
    429: CloseCode.TOO_MANY_MESSAGES,
    503: CloseCode.FULL,
    504: CloseCode.HANDSHAKE_TOO_SLOW,
}


class InvalidFrame(SocketError):
    """A frame that holds no message; `ref` is what could be read of one, which it may not fit."""

    def __init__(self, details: str, *, ref: str | float | None = None) -> None:
        super().__init__(details)
        self.ref = ref


class FrameTooLarge(SocketError):
    status = 413


class TooManyMessages(SocketError):
    status = 429


class InvalidContent(SocketError):
    """A message whose fields are missing or of a wrong type."""

    @classmethod
    def of(cls, errors: Iterable[dict[str, str]]) -> "InvalidContent":
        """The refusal that lists these faults, and names their fields in its sentence."""
        listed = [
            {
                name: text[:LONGEST_FIELD] if name == "field" else text
                for name, text in error.items()
            }
            for error in islice(errors, MOST_ERRORS)
        ]
        names = list(dict.fromkeys(error["field"] for error in listed if "field" in error))
        if len(names) > MOST_NAMED:
            names[MOST_NAMED:] = ["and more"]
        which = f": {', '.join(names)}" if names else ""
        return cls(f"The message is not valid{which}.", errors=listed)


class LoginRequired(SocketError, PermissionDenied):
    """Somebody must log in first; a view that raises it answers with a 403, as Django does."""

    status = 401

    def __init__(self, details: str = "You are not logged in; log in and reload.") -> None:
        super().__init__(details)


class UnknownKey(SocketError):
    status = 404


class UnknownStream(UnknownKey):
    """A message in a stream that its connection does not have."""


class DuplicateRef(SocketError):
    """A message with the ref of another that is not answered yet."""

    status = 409


class Cancelled(SocketError):
    """The client took its message back; 499 is nginx's "client closed request"."""

    status = 499


class HandlerFault(SocketError):
    """A fault of ours; what happened is in the log, not in the reply."""

    status = 500


class LanesBusy(SocketError):
    status = 503


class TimedOut(SocketError):
    status = 504


class CallError(SocketError):
    """The client answered a call with `status`, which is not 2xx, and `data`."""

    def __init__(self, status: int, data: Any = None) -> None:
        super().__init__(f"The client answered the call with status {status}.")
        self.status = status
        self.data = data


class CallTimeout(CallError):
    def __init__(self, seconds: float) -> None:
        super().__init__(HTTPStatus.GATEWAY_TIMEOUT)
        self.details = f"The client did not answer the call within {seconds:g} s."


class Disconnected(SocketError):
    """The client is gone; `code` is the WebSocket close code."""

    status = 499

    def __init__(self, code: int) -> None:
        super().__init__(f"The client disconnected with code {code}.")
        self.code = code


def suggest(name: str, known: Iterable[str]) -> str:
    """The repair for a misspelt name: the likeliest of the known ones, else all of them."""
    known = sorted(known)
    likely = get_close_matches(name, known, n=1)
    return f"did you mean {likely[0]!r}?" if likely else f"choose from {', '.join(known)}."
