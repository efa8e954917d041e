"""One connection as broadcasts find it: the places where it is, and what they may do to it."""

import uuid
from math import inf
from typing import TYPE_CHECKING

import msgspec
from django.utils import timezone

from .backlog import Parcel, event_of
from .broadcasts import Place
from .exceptions import CloseCode
from .identity import NOBODY, Identity
from .rows import session_fields

if TYPE_CHECKING:
    from .hub import Hub
    from .socket import ClientSocket

SILENCE = 25.0
"""Seconds without a frame after which a client that answers PING is asked."""
PATIENCE = 10.0
"""Seconds that it then has to send any frame."""


class Member:
    """What a hub knows of one connection."""

    __slots__ = (
        *("answers", "due", "groups", "id", "identity", "outbox", "protocol"),
        *("_entered", "_heard_at", "_hub", "_probed", "_socket"),
    )

    def __init__(self, socket: "ClientSocket", hub: "Hub") -> None:
        self.id = uuid.uuid4()
        self.protocol = socket._protocol
        self.identity = NOBODY
        self.groups: dict[str, None] = {}
        """The names of its groups, in the order in which it joined them."""
        self._entered: set[Place] | None = None  # most connections are in no group
        self.answers = False
        """Whether the client has shown that it answers PING."""
        self.due = inf
        """When the connection is closed, unless the client gives a sign of life before."""
        self._probed = False
        self._heard_at = hub.loop.time()
        self._socket = socket
        self.outbox = socket._outbox
        self._hub = hub

    @property
    def places(self) -> set[Place]:
        """Where broadcasts find it."""
        path = ("path", self._socket.path)
        return {path, *self.identity.places, *(self._entered or ())}

    def enter(self) -> bool:
        """Be found by broadcasts from now on; False where a logout overtook the connection."""
        self.identity = Identity.of(self._socket.scope)
        if self._hub.members.has_logged_out(self):
            return False
        self._hub.members.add(self)
        self._hub.watch.begin()
        self._hub.heartbeat.begin()
        return True

    def settle(self) -> None:
        """Be found by the session and the user that a connect hook has set."""
        self._change_identity(Identity.of(self._socket.scope))

    def leave(self) -> None:
        """Be found no more."""
        self._hub.members.remove(self)
        self.groups.clear()
        self.due = inf

    def end(self) -> None:
        """Leave, and know the connection no more: no cycle is left to the garbage collector."""
        self.leave()
        del self._socket

    def join_group(self, name: str) -> None:
        if self._entered is None:
            self._entered = set()
        self._entered.add(("group", name))
        self._hub.members.enter(self, ("group", name))

    def leave_group(self, name: str) -> None:
        if self._entered is not None:
            self._entered.discard(("group", name))
        self._hub.members.leave(self, ("group", name))

    def deliver(self, parcel: Parcel) -> None:
        """Send a frame that is also sent to others; never waits."""
        self._hub.fan_out.deliver(self.outbox, parcel)

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
        moved = msgspec.structs.replace(self.identity, session_key=key, session_found=True)
        self._change_identity(moved)

    def probe(self, wait: float) -> None:
        """Ask the client for a sign of life, and close if none comes within `wait` seconds."""
        if self._ask(wait):
            self._probed = True

    def rely_on_answers(self) -> None:
        """Ask the client when it is silent: it has shown that it answers PING."""
        self.answers = True
        if self._socket._window is not None:
            self._socket._window.counts = True

    def answer(self) -> None:
        """Take the client's PING, which is its answer to ours."""
        self.rely_on_answers()
        if self._socket._window is not None:
            self._socket._window.hear()

    def hear(self) -> None:
        """Take a frame as a sign of life: the first since the last look, or since a question."""
        self._socket._unheard = False
        self.due = inf
        if self._probed:
            self._probed = False
            if self._socket._registered:
                self._socket.row.last_ping = timezone.now()
                self._hub.registry.update(self._socket.row)

    def look(self, now: float) -> float:
        """Ask a client that is silent; close one that does not answer, or takes nothing.

        Returns when the next of these is due.
        """
        if self.outbox.is_stuck(now):
            self._socket._close_unread()
        elif now >= self.due:
            self.due = inf
            self.close(CloseCode.NO_PONG, "No sign of life.")
        elif not self._socket._unheard:
            self._socket._unheard = True
            self._heard_at = now
        elif self.answers and self.due == inf and now - self._heard_at >= SILENCE:
            self._ask(PATIENCE)
        return self.due

    def _ask(self, wait: float) -> bool:
        question = self.protocol.ping()
        if question is None:
            return False
        self._socket._unheard = True
        self.deliver((event_of(question), len(question), False))
        self.due = min(self.due, self._hub.loop.time() + wait)
        self._hub.heartbeat.expect(self.due)
        return True

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
