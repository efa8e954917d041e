"""What a handler offers its functions: one client to send to, to ask and to close."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from asgiref.sync import sync_to_async

from .answers import Answers
from .backlog import Backlog
from .broadcasts import (
    GRACE,
    Action,
    Broadcast,
    Event,
    Exclude,
    Target,
    check_fields,
    group_name,
    ids_of,
    plain_text,
)
from .calls import Calls
from .connection import Connection
from .declaration import Declaration
from .exceptions import CloseCode, Disconnected, LanesBusy, LoginRequired
from .hub import Hub
from .member import Member
from .messages import Ref, check_status, current_message
from .outbox import Outbox
from .reader import Reader
from .scope import Scope, negotiate
from .senders import send
from .sync import DONE, dual, is_beneath_thread
from .window import Window
from .writer import Send

logger = logging.getLogger("sockets")


class ClientSocket(Connection):
    """The outgoing half of a connection.

    Sends, replies and closes act at the call, from any thread and colour, in the order of
    the calls. What they return may be awaited, which waits for a client that reads slowly,
    or forgotten, which loses nothing.
    """

    # Slots, for with many clients at once Python gives up sharing the keys of instances.
    __slots__ = (
        "_accepted", "_accepting", "_answers", "_calls", "_closed", "_hub", "_loop",
        "_loop_thread", "_outbox", "_protocol", "_reader", "_registered", "_subprotocol",
        "_unheard", "_window",
    )  # fmt: skip
    _declared: ClassVar[Declaration]
    _reader: Reader
    _closing: bool = False
    """Whether a function has asked for a close, which its thread's loop is yet to make."""
    _unheard: bool
    """Whether the client's next frame is news: none came since somebody looked, or asked."""

    def _begin(self, scope: Scope, send: Send, hub: Hub) -> None:
        self.scope = scope
        self._loop = hub.loop
        self._loop_thread = threading.get_ident()
        self._hub = hub
        self._protocol, self._subprotocol = negotiate(scope, self.protocols)
        self._window: Window | None = None
        self._outbox = self._make_outbox(send)
        self._calls: Calls | None = None
        self._member = Member(self, hub)
        self._answers = Answers(self._protocol, self._outbox)
        self._accepting = self._accepted = self._registered = self._unheard = False
        self._closed: int | None = None
        self._session_changes = None

    def _make_outbox(self, send: Send) -> Outbox:
        question = None if self._hub.pushes_back else self._protocol.ping()
        if question is not None:
            self._window = Window(send, self.outbox_bytes, question)
            send = self._window.send
        lagged = self._protocol.lagged if self.slow_client == "drop" else None
        backlog = Backlog(self.outbox_bytes, self.outbox_frames, lagged)
        return Outbox(self._hub.lanes, send, backlog, self._close_unread)

    def send_json(self, content: Any) -> Awaitable[None]:
        """Send an event to this client."""
        return self._outbox.send(self._protocol.event(content))

    def send_action(self, type: str, /, **fields: Any) -> Awaitable[None]:
        """Send the event `{"type": type, ...fields}`."""
        check_fields(fields)
        return self._outbox.send(self._protocol.action(type, fields))

    def send(
        self, text_data: str | None = None, bytes_data: bytes | None = None
    ) -> Awaitable[None]:
        """Send a frame as it is, in no protocol."""
        if (text_data is None) == (bytes_data is None):
            raise ValueError("expected either text_data or bytes_data")
        if not isinstance(text_data, str | None) or not isinstance(bytes_data, bytes | None):
            raise TypeError(
                f"expected text_data to be a str or bytes_data to be bytes, got "
                f"{type(text_data or bytes_data).__name__}"
            )
        if text_data is not None:
            text_data = plain_text(text_data, "text")
        return self._outbox.send(bytes_data if text_data is None else text_data)

    def reply(self, data: Any = None, status: int = 200) -> Awaitable[None]:
        """Answer the message being handled, before its handler returns."""
        message = current_message.get()
        if message is None:
            raise RuntimeError("expected a message being handled; there is none to reply to here")
        if message.answered and not message.cancelled:
            raise RuntimeError("this message has its answer already; send_json sends more")
        if data is None and status == 200:
            status = 204
        frame = self._protocol.reply(message, data, check_status(status), None)
        if threading.get_ident() == self._loop_thread:
            return self._answers.end(message, frame)
        self._on_loop(self._answers.end, message, frame)  # which decides what answer is the first
        return DONE

    def join(self, group: str) -> Awaitable[None]:
        """Be in a group, which `sockets.groups` sends to from anywhere."""
        group = group_name(group)
        if self._on_loop(self._member.join_group, group):
            self._member.groups[group] = None
        return DONE

    def leave(self, group: str) -> Awaitable[None]:
        """Be in the group no more."""
        group = group_name(group)
        if self._on_loop(self._member.leave_group, group):
            self._member.groups.pop(group, None)
        return DONE

    @property
    def joined(self) -> tuple[str, ...]:
        """The groups that this connection is in, in the order in which it joined them."""
        return tuple(self._member.groups)

    def broadcast_json(self, content: Any, *, exclude: Exclude = None) -> Awaitable[None]:
        """Send an event to all sockets on this path, this one among them."""
        return self._broadcast(Event.of(content), exclude)

    def broadcast_action(
        self, type: str, /, *, exclude: Exclude = None, **fields: Any
    ) -> Awaitable[None]:
        """Send the event `{"type": type, ...fields}` to all sockets on this path."""
        return self._broadcast(Action.of(type, fields), exclude)

    def _broadcast(self, deed: Event | Action, exclude: Exclude) -> Awaitable[None]:
        message = current_message.get()
        if message is None or not message.cancelled:
            send(Broadcast(Target("path", self.path), deed, ids_of(exclude)), wait=False)
        return DONE

    def call(self, type: str, data: Any = None, *, timeout: float = 10.0) -> Any:
        """Ask the client and return its answer: awaited in `async def`, blocking in `def`.

        Raises `CallError` with the status and data of an answer that is no success,
        `CallTimeout` after `timeout` seconds, `Disconnected` when the client leaves, and in
        `def` `LanesBusy` when half of the threads wait for clients. In a connect hook it
        accepts the client first.
        """
        on_loop = threading.get_ident() == self._loop_thread
        keeps_thread = not on_loop or is_beneath_thread()
        asking = (self._ask_parked if keeps_thread else self._ask)(type, data, timeout)
        if on_loop:
            return asking
        return asyncio.run_coroutine_threadsafe(asking, self._loop).result()

    async def _ask(self, type: str, data: Any, timeout: float) -> Any:
        await self._accept()
        if self._closed is not None:
            raise Disconnected(self._closed)

        def send(ref: Ref) -> None:
            self._outbox.send(self._protocol.call(type, ref, data))

        self._calls = self._calls or Calls()
        return await self._calls.ask(send, timeout)

    async def _ask_parked(self, type: str, data: Any, timeout: float) -> Any:
        with self._hub.lanes.parking("call", share=2) as granted:
            if not granted:
                raise LanesBusy("Too many handlers wait for their clients; try again.")
            return await self._ask(type, data, timeout)

    @dual
    async def accept(self, subprotocol: str | None = None) -> None:
        """Accept the client now instead of after the connect hooks."""
        await self._accept(subprotocol)

    def close(self, code: int | None = None, reason: str | None = None) -> Awaitable[None]:
        """Close after what was sent; before accept, refuse the client."""
        if self._on_loop(self._close, code or CloseCode.NORMAL, reason or ""):
            self._closing = True
        return DONE

    async def _accept(self, subprotocol: str | None = None) -> None:
        if self._accepting or self._closed is not None:
            return
        self._accepting = True
        if not self._declared.opens_at_once:  # a connect hook may have logged somebody in
            self._member.settle()
        if self.tracked:
            self._registered = True
            await self._hub.registry.add(self.row)
        if self._closed is None and not self._accepted:
            self._open_outbox(subprotocol)

    @property
    def _refuses_at_handshake(self) -> bool:
        return self.refuse_at_handshake or self._protocol.refuses_at_handshake

    def _open_outbox(self, subprotocol: str | None = None) -> None:
        self._accepted = True
        chosen = subprotocol or self._subprotocol
        self._outbox.open({"type": "websocket.accept", "subprotocol": chosen})

    def _close(self, code: int, reason: str) -> None:
        if self._closed is not None:
            return
        if not self._accepted and not self._refuses_at_handshake:
            # Browsers see a code only after accept; refused before it, they see 1006.
            self._outbox.drop_broadcasts()
            self._open_outbox()
        self._closed = int(code)
        self._outbox.close(code, reason)
        self._reader.stop()

    def _log_out(self) -> None:
        """Tell the client to log in again, and close."""
        if not self._accepted:
            self._outbox.drop_waiting()
        details = LoginRequired().details
        self._outbox.send(self._protocol.reconnect(details))
        self._close(CloseCode.LOG_IN, details)

    def _close_unread(self) -> None:
        if self._closed is None:
            logger.info("The client at %r reads too slowly and is closed", self.path)
            self._outbox.drop_waiting()
            self._close(CloseCode.SLOW_READER, "You read too slowly.")

    async def _save_session(self) -> None:
        """Save what was changed in the session; a client whose session has ended is logged out."""
        changes = self._session_changes
        if changes is None:
            return
        if not changes.session.modified:
            changes.remember()
            return
        key = changes.session.session_key
        saved = await sync_to_async(changes.save)()
        if not saved:
            await asyncio.sleep(GRACE)
            if changes.session.session_key != key:  # a login has moved it meanwhile
                changes.session.modified = True
                saved = await sync_to_async(changes.save)()
        self._follow_login()
        if not saved:
            self._log_out()

    def _follow_login(self) -> None:
        """Be whose the session is now, if a function logged somebody in or out."""
        if self._closed is not None:
            return
        earlier = self._member.identity.user_pk
        self._member.settle()
        if earlier not in (None, self._member.identity.user_pk):
            self._loop.call_soon(self._log_out)  # after the answer

    def _on_loop(self, function: Callable[..., object], *args: Any) -> bool:
        """Call the function now, or from another thread after what that thread sent.

        What a cancelled message's thread still wants is not done, and False returned.
        """
        if threading.get_ident() == self._loop_thread:
            function(*args)
            return True
        message = current_message.get()
        if message is not None and message.cancelled:
            return False
        self._loop.call_soon_threadsafe(function, *args)
        return True
