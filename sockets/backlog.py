"""What waits for one client, in its order: how much it is, and what of it may be dropped."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from .messages import Frame

Event = dict[str, Any]
Parcel = tuple[Event, int, bool]
"""An event for the server, its size in bytes, and whether others are sent it too."""

logger = logging.getLogger("sockets")


def event_of(frame: Frame) -> Event:
    """The event with which a server is given a frame."""
    return {"type": "websocket.send", "text" if type(frame) is str else "bytes": frame}


def broadcast_of(frame: Frame | None) -> Parcel | None:
    """A frame for many clients, made once: servers only read it. None is silence."""
    return None if frame is None else (event_of(frame), len(frame), True)


NOTHING: deque[Parcel] = deque()
"""What waits for a client for whom nothing did yet: an empty deque takes 760 bytes."""


class Backlog:
    """The parcels that wait, within limits in bytes and in frames.

    With `lagged`, which says in the client's protocol how many broadcasts it missed, these may
    be dropped; what it says is then the next to be taken.
    """

    __slots__ = (
        "_broadcasts",
        "_lagged",
        "_max_bytes",
        "_max_frames",
        "_missed",
        "bytes",
        "parcels",
    )

    def __init__(
        self,
        max_bytes: int,
        max_frames: int,
        lagged: Callable[[int], Frame | None] | None = None,
    ) -> None:
        self.bytes = 0
        self._max_bytes = max_bytes
        self._max_frames = max_frames
        self._lagged = lagged
        self.parcels = NOTHING
        self._broadcasts = self._missed = 0

    @property
    def drops(self) -> bool:
        """Whether broadcasts may be dropped."""
        return self._lagged is not None

    def exceeds(self, share: float, more: int = 0) -> bool:
        """Whether, with so many bytes more, over this share of either limit is in use."""
        return (
            self.bytes + more > share * self._max_bytes
            or len(self.parcels) > share * self._max_frames
        )

    def add(self, parcel: Parcel) -> None:
        if self.parcels is NOTHING:
            self.parcels = deque()
        self.parcels.append(parcel)
        self.bytes += parcel[1]
        self._broadcasts += parcel[2]

    def offer(self, broadcast: Parcel) -> int:
        """Add a broadcast, where there is no room in the place of the oldest ones.

        Returns how many were dropped, which is this one where own frames alone fill the limits.
        """
        dropped = 0
        if self.exceeds(1):
            dropped = self.drop_broadcasts(0.5)  # many at once, as each gap costs a frame
            self._missed += dropped
        if self.exceeds(1):
            self._missed += 1
            return dropped + 1
        self.add(broadcast)
        return dropped

    def take(self) -> Parcel:
        """What the client is to be sent next."""
        if self._missed and (parcel := self._tell_missed()):
            return parcel
        parcel = self.parcels.popleft()
        self.bytes -= parcel[1]
        self._broadcasts -= parcel[2]
        return parcel

    def drop_broadcasts(self, share: float = 0.0) -> int:
        """Forget the oldest broadcasts until this share of the limits is kept; returns how many."""
        if not self._broadcasts:
            return 0
        waiting, self.parcels = self.parcels, deque()
        left = len(waiting)
        for parcel in waiting:
            over = self.bytes > share * self._max_bytes or left > share * self._max_frames
            if over and parcel[2]:
                left -= 1
                self.bytes -= parcel[1]
                self._broadcasts -= 1
            else:
                self.parcels.append(parcel)
        return len(waiting) - left

    def clear(self) -> None:
        self.parcels.clear()
        self.bytes = self._broadcasts = self._missed = 0

    def _tell_missed(self) -> Parcel | None:
        missed, self._missed = self._missed, 0
        try:
            frame = self._lagged and self._lagged(missed)
        except Exception:
            logger.exception("A client cannot be told that it missed %d broadcasts", missed)
            return None
        return None if frame is None else (event_of(frame), 0, False)
