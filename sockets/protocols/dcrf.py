"""The wire of Django Channels REST framework: frames of five keys, alone or in streams."""

from typing import Any

import msgspec
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import Http404

from ..encoding import decode_json, json_text, read_json
from ..exceptions import SHOWN, InvalidFrame, LoginRequired, SocketError, UnknownKey
from ..messages import Frame, Message, current_message
from ..multiplexing import current_stream, key_in_stream
from .base import MANY_WAITING, Protocol, ShortRef, ShortText, object_in, outline_of

NO_ACTION = "Unable to find action in message body."
NOT_ALLOWED = "You do not have permission to perform this action."
NOT_FOUND = "Not found"
OF_ALL_FIELDS = "non_field_errors"

DEEPEST = 16
"""How deep a request's id may be nested: the server must be able to write what it has read."""


class Request(Message):
    """A message, and what its answers repeat besides its ref: its action and its stream."""

    action: Any = None
    stream: str | None = None
    has_parts: bool = False
    """Whether a part of its answer was sent."""


class Outline(msgspec.Struct, gc=False):
    """What the refusal of a frame that is too large repeats, and where the frame has it."""

    request_id: ShortRef | None = None
    action: ShortText | None = None
    stream: ShortText | None = None
    payload: msgspec.Raw = msgspec.Raw()


class Envelope(msgspec.Struct, gc=False):
    """The five keys of every frame from the server."""

    errors: list[Any]
    data: Any
    action: Any
    response_status: int
    request_id: Any


class DCRF(Protocol):
    """`{"action": KEY, "request_id"?: any, ...content}`, as dcrf-client speaks it.

    In streams both sides wrap their frames: `{"stream": name, "payload": frame}`. A message
    in a stream is answered there, and what its function sends to its client goes there too.
    """

    subprotocol = "sockets.dcrf"
    has_built_in = False
    has_streams = True
    refs_differ = False
    max_waiting = MANY_WAITING

    def decode(self, frame: Frame) -> Request:
        content = object_in(frame, read_json)
        stream = content.get("stream")
        if type(stream) is str and "payload" in content and "action" not in content:
            payload = content["payload"]
            content = payload if type(payload) is dict else {}
        else:
            stream = None
        action, ref = content.pop("action", None), content.pop("request_id", None)
        if isinstance(action, dict | list):
            action = None
        if type(ref) is not str and _is_deeper(ref, DEEPEST):
            raise InvalidFrame(f"expected a request_id of at most {DEEPEST} levels.")
        key = action if type(action) is str else None
        if stream is not None:
            key = key_in_stream(stream, key or "")
        return Request(key, content, ref, action=action, stream=stream)

    def outline(self, frame: Frame) -> Request:
        told, stream = outline_of(frame, Outline) or Outline(), None
        if told.stream is not None and told.payload and told.action is None:
            told, stream = outline_of(told.payload, Outline) or Outline(), told.stream
        return Request(None, None, told.request_id, action=told.action, stream=stream)

    def reply(self, message: Message, data: Any, status: int, headers: Any) -> Frame:
        return _answer(message, [], data, status)

    def part(self, message: Message, data: Any) -> Frame:
        _request(message).has_parts = True
        return _answer(message, [], data, 200)

    def end(self, message: Message) -> Frame | None:
        # Clients know no end of a stream, but wait for a first frame.
        return None if _request(message).has_parts else _answer(message, [], None, 204)

    def error(self, error: SocketError, message: Message | None) -> Frame:
        without_route = isinstance(error, InvalidFrame) and isinstance(message, Request)
        if without_route or type(error) is UnknownKey:
            return _answer(message, [_not_found(_request(message).action)], None, 405)
        status = 403 if isinstance(error, LoginRequired) else error.status
        return _answer(message, _errors_of(error), None, status)

    def event(self, content: Any, /) -> Frame:
        return _wrapped(_current_stream(), content)

    def action(self, type: str, fields: dict[str, Any]) -> Frame:
        """The frame of an event: fields that bear the names of its keys, or `stream`, are these.

        The others together are its data.
        """
        return _event(type, fields, _current_stream())

    # What goes to many is the same for all of them, whatever its sender handles.

    def event_of_json(self, content: bytes) -> Frame:
        return content.decode()

    def action_of_json(self, type: str, fields: bytes) -> Frame:
        return _event(type, decode_json(fields), None)


def _request(message: Message | None) -> Request:
    return message if isinstance(message, Request) else Request(None, None)


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether objects and lists are nested in more than so many levels."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in inner)


def _current_stream() -> str | None:
    message = current_message.get()
    return message.stream if isinstance(message, Request) else current_stream.get()


def _answer(message: Message | None, errors: list[Any], data: Any, status: int) -> Frame:
    request = _request(message)
    envelope = Envelope(errors, data, request.action, status, request.ref)
    return _wrapped(request.stream, envelope)


def _event(type: str, fields: dict[str, Any], stream: str | None) -> Frame:
    rest = dict(fields)
    stream = rest.pop("stream", stream)
    errors, status = rest.pop("errors", []), rest.pop("response_status", 200)
    ref = rest.pop("request_id", None)
    data = rest.pop("data") if "data" in rest else rest or None
    if "data" in fields and rest:
        raise ValueError(f"expected no fields beside data, got {', '.join(rest)}; put them into it")
    return _wrapped(stream, Envelope(errors, data, type, status, ref))


def _wrapped(stream: str | None, content: Any) -> Frame:
    return json_text(content if stream is None else {"stream": stream, "payload": content})


def _not_found(action: Any) -> str:
    if action is None:
        return NO_ACTION
    shown = action if isinstance(action, str) else json_text(action)
    return f'Method "{shown[:SHOWN]}" not allowed.'


def _errors_of(error: SocketError) -> list[Any]:
    """What went wrong, in the texts and forms that clients know from Django REST framework."""
    fault = error.fault
    if isinstance(fault, ObjectDoesNotExist | Http404):
        return [NOT_FOUND]
    if isinstance(error, LoginRequired) or (isinstance(fault, PermissionDenied) and not str(fault)):
        return [NOT_ALLOWED]
    detail = getattr(fault, "detail", None)  # of an APIException
    if detail is not None:
        return detail if isinstance(detail, list) else [detail]
    if not any("field" in each for each in error.errors):
        return [each["text"] for each in error.errors]
    by_field: dict[str, list[str]] = {}
    for each in error.errors:
        name = each.get("field", OF_ALL_FIELDS).removeprefix("data.")
        by_field.setdefault(name, []).append(each["text"])
    return [by_field]
