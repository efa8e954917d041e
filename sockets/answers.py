"""The answers to one connection's messages: exactly one that ends each."""

import logging
from collections.abc import Awaitable
from typing import Any

from .exceptions import HandlerFault, SocketError
from .messages import Frame, Message, Ref
from .outbox import Outbox
from .protocols.base import Protocol
from .sync import DONE

logger = logging.getLogger("sockets")


class Unlisted:
    """In the place of the messages that wait, by ref, where refs need not differ: it lists none."""

    def setdefault(self, ref: object, message: Message) -> Message:
        return message

    def get(self, ref: object) -> Message | None:
        return None

    def pop(self, ref: object, default: None) -> None:
        return None


class Answers:
    """Sends the answers of one connection, and knows which messages wait for theirs."""

    __slots__ = ("_outbox", "_protocol", "open")

    def __init__(self, protocol: Protocol, outbox: Outbox) -> None:
        self.open: dict[Ref | None, Message] | Unlisted = {} if protocol.refs_differ else Unlisted()
        """The messages that wait for their answer, by ref."""
        self._protocol = protocol
        self._outbox = outbox

    def send(self, message: Message, data: Any, status: int = 200, headers: Any = None) -> None:
        """Send what a route returned, unless the message has its answer already."""
        # `end` would do it all; this is the path of every reply, whose ref is its own.
        if not message.answered:
            frame = self._protocol.reply(message, data, status, headers)
            message.answered = True
            self.open.pop(message.ref, None)
            self._outbox.put(frame)

    def end(self, message: Message, frame: Frame | None) -> Awaitable[None]:
        """Send the frame as the answer, unless the message has one already."""
        if message.answered:
            return DONE
        message.answered = True
        if self.open.get(message.ref) is message:  # not so where its ref was another's
            self.open.pop(message.ref, None)
        return self._outbox.put(frame)

    def fail(self, message: Message, error: SocketError) -> None:
        """Send an ERROR as the answer, unless the message has one already."""
        if not message.answered:
            self.end(message, self._encode(message, error))
            self._outbox.check()

    def tell(self, message: Message, error: SocketError) -> None:
        """Send an ERROR that answers nothing."""
        self._outbox.send(self._encode(message, error))
        self._outbox.check()

    def _encode(self, message: Message, error: SocketError) -> Frame | None:
        try:
            return self._protocol.error(error, message)
        except Exception:
            logger.exception("The details of %r cannot be sent", error)
            return self._protocol.error(HandlerFault("The server failed."), message)
