"""What a protocol is: a translation between frames on the wire and messages."""

from typing import Any, ClassVar

from ..encoding import decode_json
from ..exceptions import SocketError
from ..messages import Answer, Frame, Message, Ping, Ref


class Protocol:
    """One wire format. It translates and never acts; one instance serves all connections.

    Where an encoding method returns None, this protocol stays silent.
    """

    subprotocol: ClassVar[str | None] = None
    """The WebSocket subprotocol that a client asks for to get this format."""

    is_flat: ClassVar[bool] = False
    """Whether content is the whole message: an object with `type` and `ref` among its fields."""

    key_field: ClassVar[str] = "type"
    """What a frame calls the key of its route, for messages to people."""

    has_built_in: ClassVar[bool] = True
    """Whether its clients may send HELLO, JOIN, CANCEL and what else is built in."""

    def key(self, name: str) -> str:
        """The key of a route that was declared without one, from its function's name."""
        raise NotImplementedError

    def decode(self, frame: Frame) -> Message | Answer | Ping:
        """What a client's frame means; raises `InvalidFrame` where it means nothing.

        A `Ping` is answered at once, whatever waits, and reaches no route.
        """
        raise NotImplementedError

    def reply(self, message: Message, data: Any, status: int, headers: Any) -> Frame | None:
        """The terminal answer to a message."""
        raise NotImplementedError

    def part(self, message: Message, data: Any) -> Frame | None:
        """One part of a streamed answer."""
        raise NotImplementedError

    def end(self, message: Message) -> Frame | None:
        """The terminal answer after the last part."""
        raise NotImplementedError

    def error(self, error: SocketError, message: Message | None) -> Frame | None:
        """A refusal, of a message or of a frame that was none."""
        raise NotImplementedError

    def event(self, content: Any, /) -> Frame | None:
        """Content that answers nothing."""
        raise NotImplementedError

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
        raise NotImplementedError

    def lagged(self, missed: int) -> Frame | None:
        """What tells a slow client how many broadcasts it missed; None is silence."""
        return None

    def ping(self) -> Frame | None:
        """A question for a sign of life; None where clients of this format know none."""
        return None


def kind_of(value: Any) -> str:
    """What a value that came as JSON is, for messages."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")
