"""Sending to rows: what a selection of live connections can be told, and a single one."""

import uuid
from collections.abc import Collection, Mapping
from typing import Any

from asgiref.sync import sync_to_async

from .broadcasts import (
    Action,
    AnyDeed,
    Broadcast,
    Close,
    Event,
    Exclude,
    Probe,
    Target,
    Text,
    ids_of,
)
from .exceptions import CloseCode
from .senders import Processes, in_transaction, send, when_committed
from .sync import blocking

FEW = 4
"""Processes that are sent to one by one; what concerns more of them is sent to all."""

Places = Mapping[uuid.UUID, uuid.UUID | None]
"""The ids of connections, with those of their processes."""


class Recipients:
    """Live connections that can be sent to: a selection of rows, or one.

    Inside `transaction.atomic()` what is sent goes out on commit, to those who were selected
    at the call and to those who are then; with `immediate=True` it goes out at once.
    `exclude` takes a handler, a row, its id, a selection of rows, or a list of these. All
    return None.
    """

    @blocking
    def send_json(self, content: Any, *, exclude: Exclude = None, immediate: bool = False) -> None:
        """Send an event."""
        self._send(Event.of(content), exclude, immediate)

    @blocking
    def send_action(
        self, type: str, /, *, exclude: Exclude = None, immediate: bool = False, **fields: Any
    ) -> None:
        """Send the event `{"type": type, ...fields}`."""
        self._send(Action.of(type, fields), exclude, immediate)

    @blocking
    def send_str(self, text: str, *, exclude: Exclude = None, immediate: bool = False) -> None:
        """Send a text frame as it is, in no protocol."""
        self._send(Text.of(text), exclude, immediate)

    @blocking
    def close(
        self,
        code: int = CloseCode.NORMAL,
        reason: str = "",
        *,
        exclude: Exclude = None,
        immediate: bool = False,
    ) -> None:
        """Close, which deletes the rows."""
        self._send(Close.of(code, reason), exclude, immediate)

    async def asend_json(
        self, content: Any, *, exclude: Exclude = None, immediate: bool = False
    ) -> None:
        await self._asend(Event.of(content), exclude, immediate)

    async def asend_action(
        self, type: str, /, *, exclude: Exclude = None, immediate: bool = False, **fields: Any
    ) -> None:
        await self._asend(Action.of(type, fields), exclude, immediate)

    async def asend_str(
        self, text: str, *, exclude: Exclude = None, immediate: bool = False
    ) -> None:
        await self._asend(Text.of(text), exclude, immediate)

    async def aclose(
        self,
        code: int = CloseCode.NORMAL,
        reason: str = "",
        *,
        exclude: Exclude = None,
        immediate: bool = False,
    ) -> None:
        await self._asend(Close.of(code, reason), exclude, immediate)

    @blocking
    def cleanup_stale(self, wait: float = 10.0) -> None:
        """Ask the clients for a PING; closed is who sends nothing within `wait` seconds.

        The rows of those who do have the time in `last_ping`. Returns at once. Clients of
        protocols that know no such question are not asked.
        """
        self._send(Probe(float(wait)), None, False)

    async def acleanup_stale(self, wait: float = 10.0) -> None:
        await sync_to_async(self.cleanup_stale)(wait)

    def _send(self, deed: AnyDeed, exclude: Exclude, immediate: bool) -> None:
        excluded, places = ids_of(exclude), self._places()
        if immediate or not in_transaction():
            send_to(places, deed, excluded)
        else:
            # Who comes until the commit has seen what was before it.
            when_committed(lambda: send_to({**places, **self._places()}, deed, excluded))

    async def _asend(self, deed: AnyDeed, exclude: Exclude, immediate: bool) -> None:
        await sync_to_async(self._send)(deed, exclude, immediate)

    def _places(self) -> Places:
        """The ids of the connections, with those of their processes, as they are now."""
        raise NotImplementedError


def send_to(places: Places, deed: AnyDeed, excluded: Collection[uuid.UUID] = ()) -> None:
    """Bring a deed to connections of which is known in what processes they are."""
    send(*address(places, deed, excluded))


def address(
    places: Places, deed: AnyDeed, excluded: Collection[uuid.UUID] = ()
) -> tuple[Broadcast, Processes]:
    """The broadcast for these connections, and the processes to send it to."""
    excluded = set(excluded)
    ids = tuple(id for id in places if id not in excluded)
    processes = {process for id in ids if (process := places[id]) is not None}
    few = len(processes) <= FEW and None not in map(places.get, ids)
    return Broadcast(Target("ids", ids=ids), deed), processes if few else None
