"""The life of one connection: connect, receive, handle, reply, disconnect."""

import asyncio
import logging
from functools import partial
from typing import Any, ClassVar

from .arguments import Groups
from .backlog import Event
from .consumer import AsyncConsumer
from .declaration import Declaration
from .entrance import let_in, needs_ticket, take_ticket
from .exceptions import (
    SHOWN,
    Cancelled,
    CloseCode,
    DuplicateRef,
    FrameTooLarge,
    InvalidFrame,
    SocketError,
    TimedOut,
    TooManyMessages,
)
from .faults import error_of
from .hooks import run_disconnect_hooks
from .hub import connection
from .lane import Lane, lane_of
from .layers import LayerEvents
from .mailbox import Mailbox
from .messages import Answer, Frame, Message, Ping, Ref, answer_of, set_message
from .reader import Reader
from .routes import Route
from .scope import Scope
from .socket import ClientSocket
from .streams import STREAMS, send_parts
from .strikes import Strikes
from .sync import DONE, finish
from .writer import Send

logger = logging.getLogger("sockets")

GRACE = 3.0
"""Seconds that running work, and then the disconnect hooks, have when a connection ends."""


class RoutedSocketHandler(ClientSocket, AsyncConsumer):
    """A Channels consumer whose messages are routed by key to functions or methods.

    One instance serves one connection; functions receive it as `socket`.
    """

    __slots__ = (
        "_hooked", "_layer", "_mailbox", "_patience", "_route_table", "_strikes",
    )  # fmt: skip

    _channels_methods: ClassVar[frozenset[str]] = frozenset()
    """The methods of Channels' consumers that a class calls after all."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._declared = Declaration(cls, RoutedSocketHandler)

    # These take whatever arguments one's own have, and pass to `super()`.
    def connect(self, *args: Any, **kwargs: Any) -> Any:
        """A hook before accept, which follows unless the hook closed or raised."""
        return DONE  # so that `await super().connect()` does no harm

    def disconnect(self, *args: Any, **kwargs: Any) -> Any:
        """A hook for when the client is gone, whatever the reason."""
        return DONE

    def default_route(self, *args: Any, **kwargs: Any) -> Any:
        """Takes the messages that no route matches, where a subclass has it."""

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        async with connection() as (hub, lane):
            self._begin(scope, send, hub)
            self._prepare(lane, receive)
            event: Event | None = None
            try:
                first = await receive()  # what asks for the connection
                if first["type"] == "websocket.disconnect":
                    event = first
                elif needs_ticket(self):
                    event = await take_ticket(self, receive)
                if event is None:
                    event = await self._reader.begin(partial(let_in, self))
            finally:
                await finish(self._end(event))

    def _prepare(self, lane: Lane | None, receive: Any) -> None:
        self._route_table = self._declared.routes_for(self._protocol)
        self._strikes: Strikes | None = None
        self._hooked = False
        self._layer: LayerEvents | None = None
        self._patience: asyncio.TimerHandle | None = None
        max_waiting = self.max_waiting or self._protocol.max_waiting
        self._mailbox = Mailbox(
            self._hub.timeouts,
            lane,
            max_waiting=max_waiting,
            max_concurrent=self.max_concurrent,
            handle=self._handle,
            on_overdue=self._time_out,
        )
        self._reader = Reader(self, receive, self._mailbox, max_waiting)

    def _hear(self) -> None:
        """Take the first sign of life in a while."""
        if self._patience is not None:
            self._log_out()  # who was turned away has said the one thing that it might
        else:
            self._member.hear()

    def _refuse_frame(self, frame: Frame, fault: InvalidFrame | FrameTooLarge) -> None:
        if isinstance(fault, FrameTooLarge):
            message = self._protocol.outline(frame)
        else:
            message = Message(None, None, getattr(fault, "ref", None))
        self._strike(fault, message)

    def _find(self, message: Message | Answer | Ping) -> Route | None:
        """The route that is to be run; None where the message was taken or refused right here."""
        if not isinstance(message, Message):
            self._take_sign(message)
            return None
        match = self._route_table.matches.get(message.key) or self._search(message)
        if match is None:
            return None
        route, message.groups = match
        if not route.at_once:
            return route
        route.function(self, message)
        return None

    def _post(self, message: Message, route: Route) -> None:
        """Have a message handled that cannot be right now, or not in its order."""
        if not self._mailbox.post(message, route):
            self._strike(TooManyMessages("Too many messages; wait for answers."), message)

    def _refuse_ref(self, message: Message) -> None:
        ref = str(message.ref)[:SHOWN]
        error = DuplicateRef(f"expected a new ref, {ref!r} is not answered yet.")
        self._answers.tell(message, error)

    def _take_sign(self, sign: Answer | Ping) -> None:
        """Take what no route is for, and nothing waits before."""
        if isinstance(sign, Answer):
            if self._calls is not None:  # else nothing was asked
                self._calls.answer(sign)
        else:
            self._outbox.send(sign.answer)
            self._outbox.check()

    def _search(self, message: Message) -> tuple[Route, Groups | None] | None:
        """The route of a message with a new key; None where it was answered with an error."""
        routes, key = self._route_table, message.key
        if key is not None and (found := routes.find(key)):
            return found
        if (default := routes.default_for(key)) is not None:
            return default, None
        field = self._protocol.key_field
        if key is None:
            self._strike(InvalidFrame(f"expected an object with a {field}, got none."), message)
        else:
            self._answers.fail(message, routes.refusal(key, field))
        return None

    def _post_event(self, event: Event, route: Route) -> bool:
        """Take an event of the channel layer, which nobody answers; False while too much waits."""
        return self._mailbox.post(Message(None, event, answered=True), route)

    def _strike(self, fault: SocketError, message: Message) -> None:
        """Answer a faulty frame; the last of too many closes the connection."""
        self._answers.fail(message, fault)
        if self._strikes is None:
            self._strikes = Strikes(self.max_strikes)
        if self._strikes.add(self._loop.time()):
            self._close(fault.close_code, fault.details)

    async def _handle(self, message: Message, route: Route) -> None:
        if self._closed is not None:
            return  # the message before this one closed, and the reader is yet to notice
        set_message(message)
        call = route.call  # a field: `route.call(...)` would look for a method first
        try:
            value = await call(self, message)
            if self._session_changes and type(value) not in STREAMS:
                await self._save_session()
            if type(value) is dict:
                self._answers.send(message, value)
            elif type(value) in STREAMS:
                await self._send_parts(message, value)
            else:
                if hasattr(value, "__await__"):  # as that of `return socket.send_json(...)`
                    value = await value
                    await self._save_session()
                self._answers.send(message, *answer_of(value))
        except BaseException as fault:
            if self._is_ending(fault, message):
                raise
            self._report(message, fault)
        if self._outbox.writing is not None:
            await self._outbox.drain()

    def _is_ending(self, fault: BaseException, message: Message | None = None) -> bool:
        """Whether a fault ends the message, the connection or the process, and is no user's own."""
        if isinstance(fault, asyncio.CancelledError):
            return self._mailbox.ending or (message is not None and message.cancelled)
        return isinstance(fault, KeyboardInterrupt | GeneratorExit)

    async def _send_parts(self, message: Message, stream: Any) -> None:
        async def send(item: Any) -> None:
            await self._outbox.send(self._protocol.part(message, item))

        await send_parts(stream, send, lambda: not message.answered and self._closed is None)
        await self._save_session()
        self._answers.end(message, self._protocol.end(message))

    def _report(self, message: Message, fault: BaseException) -> None:
        """Answer with the error that the fault stands for."""
        what = f"{str(message.key)[:SHOWN]!r} of {self._where()}"
        error = error_of(fault, what)
        if message.answered and error is fault:
            logger.warning("%s failed after its answer: %s", what, error.details)
        self._answers.fail(message, error)

    def _time_out(self, message: Message) -> None:
        if message.answered:
            logger.warning("A run at %s that needs no answer ran out of time", self._where())
        self._end_message(message, TimedOut("The server took too long to handle this message."))

    def _cancel(self, ref: Ref | None) -> None:
        """End the waiting or running message with this ref; an unknown one is no fault."""
        if ref is not None and (message := self._answers.open.get(ref)):
            self._end_message(message, Cancelled("The client cancelled this message."))

    def _end_message(self, message: Message, error: SocketError) -> None:
        self._answers.fail(message, error)
        self._mailbox.cancel(message)
        if self._calls is not None:
            self._calls.cancel(message)
        self._outbox.unblock(message)

    def _where(self) -> str:
        return f"user {getattr(self.user, 'pk', None)} at {self.path!r}"

    async def _end(self, event: Event | None) -> None:
        """Give back everything, whatever happened, within 9 seconds."""
        closed_by_us = self._closed is not None
        if event is None:
            code = self._closed if closed_by_us else int(CloseCode.ABNORMAL)
            event = {"type": "websocket.disconnect", "code": code}
        self._closed = event["code"]
        self._reader.stop()
        if self._calls is not None:
            self._calls.fail(event["code"])
        if not closed_by_us:
            self._outbox.abandon()
        if self._patience is not None:
            self._patience.cancel()
        try:
            await self._mailbox.stop(GRACE, finish=closed_by_us)
        finally:
            try:
                if self._hooked:
                    await self._run_disconnect_hooks(event)
            finally:
                await self._leave()

    async def _leave(self) -> None:
        self._member.end()
        if self._registered:
            self._hub.registry.remove(self.row)
        if self._layer is not None:
            await self._layer.end()
        await self._outbox.stop(0.5)

    async def _run_disconnect_hooks(self, event: Event) -> None:
        hooks = self._declared.disconnect_hooks
        if hooks and self._registered:
            await self._hub.registry.deactivate(self.row)
        if hooks or self._session_changes:
            # On a lane of their own: a handler's thread may still be busy on this one's.
            lane = self._mailbox.lane
            with lane_of(None if lane is None else lane.lanes):
                hooks = [*hooks, save_session]
                await run_disconnect_hooks(hooks, self, event, GRACE, self._where())


async def save_session(socket: RoutedSocketHandler, event: Event) -> None:
    """Save what the disconnect hooks, or functions that failed, changed in the session."""
    await socket._save_session()


RoutedSocketHandler._declared = Declaration(RoutedSocketHandler, RoutedSocketHandler)
