"""One connection as broadcasts find it: the places where it is, and what they may do to it."""

import asyncio
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from django.utils import timezone

from .broadcasts import Place
from .exceptions import CloseCode
from .identity import Identity
from .messages import Frame
from .rows import session_fields

if TYPE_CHECKING:
    from .hub import Hub
    from .socket import ClientSocket


class Member:
    """What a hub knows of one connection."""

    def __init__(self, socket: "ClientSocket", hub: "Hub") -> None:
        self.id = uuid.uuid4()
        self.protocol = socket._protocol
        self.identity = Identity()
        self.places: set[Place] = set()
        self.groups: dict[str, None] = {}
        """The names of its groups, in the order in which it joined them."""
        self.due: list[asyncio.TimerHandle] = []
        """What closes the connection unless the client gives a sign of life before."""
        self._socket = socket
        self._hub = hub

    def enter(self) -> bool:
        """Be found by broadcasts from now on; False where a logout overtook the connection."""
        self.identity = Identity.of(self._socket.scope)
        self.places = {("path", self._socket.path), *self.identity.places}
        if self._hub.members.has_logged_out(self):
            return False
        self._hub.members.add(self)
        self._hub.watch.begin()
        return True

    def settle(self) -> None:
        """Be found by the session and the user that a connect hook has set."""
        self._change_identity(Identity.of(self._socket.scope))

    def leave(self) -> None:
        """Be found no more."""
        self._hub.members.remove(self)
        self.groups.clear()
        self._forget_due()

    def join_group(self, name: str) -> None:
        self._hub.members.enter(self, ("group", name))

    def leave_group(self, name: str) -> None:
        self._hub.members.leave(self, ("group", name))

    def deliver(self, frame: Frame | None) -> None:
        """Send a frame that is also sent to others; never waits."""
        self._socket._deliver(frame)

    def close(self, code: int, reason: str) -> None:
        self._socket._close(code, reason)

    def log_out(self) -> None:
        """Tell the client to log in again, and close."""
        self._socket._log_out()

    def move_to_session(self, key: str, user: str) -> None:
        """Go with a session to its new key, unless the connection is another user's."""
        if self.identity.user_pk is not None and str(self.identity.user_pk) != user:
            self.log_out()
            return
        session = self._socket.scope["session"]
        session._session_key = key
        self._change_identity(replace(self.identity, session_key=key, session_found=True))

    def probe(self, wait: float) -> None:
        """Ask the client for a sign of life, and close if none comes within `wait` seconds."""
        question = self.protocol.ping()
        if question is not None:
            self._socket._deliver(question)
            closing = (CloseCode.NO_PONG, "No sign of life.")
            self.due.append(self._hub.loop.call_later(wait, self.close, *closing))

    def hear(self) -> None:
        """Take the sign of life that was asked for."""
        self._forget_due()
        if self._socket._registered:
            self._socket.row.last_ping = timezone.now()
            self._hub.registry.update(self._socket.row)

    def _forget_due(self) -> None:
        for closing in self.due:
            closing.cancel()
        self.due.clear()

    def _change_identity(self, identity: Identity) -> None:
        if identity == self.identity:
            return
        members = self._hub.members
        for place in self.identity.places - identity.places:
            members.leave(self, place)
        for place in identity.places - self.identity.places:
            members.enter(self, place)
        self.identity = identity
        if "row" in vars(self._socket):
            row = self._socket.row
            row.user_id = identity.user_id
            for name, value in session_fields(identity).items():
                setattr(row, name, value)
            self._hub.registry.update(row)
