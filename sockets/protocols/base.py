"""What a protocol is: a translation between frames on the wire and messages."""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec

from ..encoding import decode_json
from ..exceptions import InvalidFrame, SocketError
from ..messages import Answer, Frame, Message, Ping, Ref

MANY_WAITING = 512
"""`max_waiting` for clients that know no answer 429, and send at once what a page has kept."""
LARGEST_OUTLINED = 1024 * 1024
"""Characters, or bytes, of the largest frame that is searched for its ref: that takes 3 ms."""

ShortText = Annotated[str, msgspec.Meta(max_length=200)]
ShortRef = ShortText | int

T = TypeVar("T")


def object_in(frame: Frame, read: Callable[[str], Any] = decode_json) -> dict[str, Any]:
    """The JSON object in a text frame; raises `InvalidFrame` that tells what is there instead."""
    if type(frame) is not str:
        raise InvalidFrame(f"expected a JSON text frame, got {len(frame)} bytes.")
    try:
        content = read(frame)
    except (ValueError, RecursionError) as fault:
        # msgspec's own errors and UnicodeEncodeError are ValueErrors.
        raise InvalidFrame(f"expected a JSON object: {fault}.") from None
    if type(content) is not dict:
        raise InvalidFrame(f"expected a JSON object, got {kind_of(content)}.")
    return content


def kind_of(value: Any) -> str:
    """What a value is in JSON."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")


def outline_of(frame: Frame, kind: type[T]) -> T | None:
    """The fields of a frame that a struct has, read without building the others.

    None where they do not fit, or the frame is more than is read for a refusal.
    """
    if len(frame) > LARGEST_OUTLINED:
        return None
    try:
        if type(frame) is bytes:
            return msgspec.msgpack.decode(frame, type=kind)
        return msgspec.json.decode(frame, type=kind)
    except (ValueError, RecursionError):
        return None


@cache
def _outline(ref_field: str) -> Any:
    field = ("ref", ShortRef | None, None)
    return msgspec.defstruct("Outline", [field], rename={"ref": ref_field}, gc=False)


class Protocol:
    """One wire format. It translates and never acts; one instance serves all connections.

    Where an encoding method returns None, this protocol stays silent. What it has to remember
    of a frame until the answer can be in fields of a subclass of `Message`, which `decode` makes.
    """

    subprotocol: ClassVar[str | None] = None
    """The WebSocket subprotocol that a client asks for to get this format."""

    is_flat: ClassVar[bool] = False
    """Whether content is the whole message: an object with `type` and `ref` among its fields."""

    key_field: ClassVar[str] = "type"
    """What a frame calls the key of its route, for messages to people."""

    ref_field: ClassVar[str | None] = None
    """What a frame that is one object calls its ref, for refusals of frames that are too large."""

    has_built_in: ClassVar[bool] = True
    """Whether its clients know the built-in routes, such as HELLO and JOIN."""

    has_streams: ClassVar[bool] = False
    """Whether a frame may name a stream, whose keys are apart from those of all others."""

    refs_differ: ClassVar[bool] = True
    """Whether a ref in use cannot be used again. Otherwise it may be any value of JSON, and
    CANCEL finds none."""

    max_waiting: ClassVar[int] = 64
    """Messages that may wait behind the one being handled, where their handler does not say it."""

    refuses_at_handshake: ClassVar[bool] = False
    """Whether who is refused always gets an HTTP 403, for these clients give up on nothing else."""

    def key(self, name: str) -> str:
        """The key of a route that was declared without one, from its function's name."""
        return name.removeprefix("on_")

    def decode(self, frame: Frame) -> Message | Answer | Ping:
        """What a client's frame means; raises `InvalidFrame` where it means nothing.

        A `Ping` is answered at once, whatever waits, and reaches no route.
        """
        raise NotImplementedError

    def outline(self, frame: Frame) -> Message:
        """What the refusal of a frame answers that is too large to be decoded: its ref alone.

        Without one where it is none that can be read quickly, for nobody is to pay for the rest.
        """
        told = None if self.ref_field is None else outline_of(frame, _outline(self.ref_field))
        return Message(None, None, None if told is None else told.ref)

    def reply(self, message: Message, data: Any, status: int, headers: Any) -> Frame | None:
        """The terminal answer to a message."""
        raise NotImplementedError

    def part(self, message: Message, data: Any) -> Frame | None:
        """One part of a streamed answer."""
        raise NotImplementedError

    def end(self, message: Message) -> Frame | None:
        """The terminal answer after the last part: that of a function that returned nothing."""
        return self.reply(message, None, 204, None)

    def error(self, error: SocketError, message: Message | None) -> Frame | None:
        """A refusal, of a message or of a frame that was none."""
        raise NotImplementedError

    def event(self, content: Any, /) -> Frame | None:
        """Content that answers nothing; an action of that name where all events have names."""
        return self.action("event", {"content": content})

    def action(self, type: str, fields: dict[str, Any]) -> Frame | None:
        """A named event with fields."""
        raise NotImplementedError

    def event_of_json(self, content: bytes) -> Frame | None:
        """`event` for content that is encoded already, as that of broadcasts is."""
        return self.event(decode_json(content))

    def action_of_json(self, type: str, fields: bytes) -> Frame | None:
        """`action` for fields that are encoded already."""
        return self.action(type, decode_json(fields))

    def call(self, type: str, ref: Ref, data: Any) -> Frame | None:
        """A question to the client, which it answers with the same ref."""
        raise NotImplementedError(
            f"expected a protocol whose clients answer calls, got {self.__class__.__name__}; ask "
            f"with send_action({type!r}, ...), and give what the client sends then a route"
        )

    def reconnect(self, details: str) -> Frame | None:
        """What tells a client that it must log in, before it is closed; None is silence."""
        return self.action("RECONNECT", {"details": details})

    def lagged(self, missed: int) -> Frame | None:
        """What tells a slow client how many broadcasts it missed; None is silence."""
        return None

    def ping(self) -> Frame | None:
        """A question for a sign of life; None where clients of this format know none."""
        return None
