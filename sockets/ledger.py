"""Numbering what one sender tells one address, so that who listens there knows what it missed."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from math import inf
from typing import NamedTuple

logger = logging.getLogger("sockets")

FORGET = 600.0
"""Seconds after which a line that nothing was heard of is forgotten. Senders end quiet ones long
before, see `brokers.LIFE`."""
GARBAGE = 2**32
"""So many texts no sender can have sent since it was last heard of."""
SELDOM = 1.0
"""Seconds between two records in the log of one kind."""


class Line:
    """What one sender tells one address: texts, numbered from 0."""

    def __init__(self, sender: str, address: str) -> None:
        self.id = f"{sender}.{uuid.uuid4().hex}"
        self.address = address
        self.began = time.time()
        self.number = 0
        """The number of the next text."""
        self.repeated = 0
        """How often that was told since the last text."""


class Parcel(NamedTuple):
    """Some texts of a line, in one text: whose they are and the first one's number, then each.

    Without texts it tells the number of the next one: a loss is seen though nothing follows.
    """

    line: str
    began: float
    number: int
    texts: list[str]

    def pack(self) -> str:
        return "\n".join((f"{self.line} {self.began!r} {self.number}", *self.texts))

    @classmethod
    def unpack(cls, found: object) -> "Parcel":
        """The parcel in what came; raises `ValueError` where there is none."""
        if isinstance(found, bytes):
            found = found.decode()
        if not isinstance(found, str):
            raise ValueError(f"expected a text, got a {type(found).__name__}")
        label, *texts = found.split("\n")
        line, began, number = label.split(" ")
        return cls(line, float(began), int(number), texts)


class Ledger:
    """What has come of each line, and how much should have and did not.

    `on_missed` is called whenever something did not. What comes twice, or after all, is taken
    once or not at all, so that what was taken and what was missed are what was sent.
    """

    def __init__(self, on_missed: Callable[[], None]) -> None:
        self.missed = 0
        self._on_missed = on_missed
        self._log = Seldom(logging.WARNING)
        self._listening_since = inf
        self._known: dict[str, tuple[int, float]] = {}
        """The number of each line's next text, and when it was last heard of; that one is last."""

    def begin(self) -> None:
        """Expect, from now on, every line that begins from its first text."""
        self._listening_since = min(self._listening_since, time.time())

    def enter(self, parcel: Parcel) -> list[str]:
        """The texts that are news; raises `ValueError` for numbers that cannot be."""
        now = time.time()
        known = self._known.get(parcel.line)
        expected = known[0] if known else self._first_of(parcel, now)
        hole = parcel.number - expected
        if parcel.number < 0 or hole > GARBAGE:
            raise ValueError(f"expected the number {expected}, got {parcel.number}")
        self._known.pop(parcel.line, None)
        self._known[parcel.line] = (max(expected, parcel.number + len(parcel.texts)), now)
        self._forget(now)
        if hole > 0:
            self._miss(hole)
        return parcel.texts[-hole:] if hole < 0 else parcel.texts

    def close(self) -> None:
        self._log.finish()

    def _first_of(self, parcel: Parcel, now: float) -> int:
        """0 for a line that must have been heard from its beginning, had nothing been missed."""
        return 0 if parcel.began > max(self._listening_since, now - FORGET) else parcel.number

    def _miss(self, number: int) -> None:
        self.missed += number
        self._log.tell(
            "Broadcasts of other processes did not come here (%d so far); sessions are looked at",
            self.missed,
        )
        self._on_missed()

    def _forget(self, now: float) -> None:
        while (oldest := next(iter(self._known.items())))[1][1] < now - FORGET:
            del self._known[oldest[0]]


class Seldom:
    """Records in the log, one a second at most: the first at once, the last of the others then."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._last: tuple[str, tuple[object, ...]] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, text: str, *values: object) -> None:
        if self._timer is not None:
            self._last = (text, values)
            return
        self._timer = asyncio.get_running_loop().call_later(SELDOM, self._tell_last)
        logger.log(self._level, text, *values)

    def finish(self) -> None:
        """Wait no longer with what has not been told."""
        if self._timer is not None:
            self._timer.cancel()
            self._tell_last()

    def _tell_last(self) -> None:
        self._timer = None
        if self._last is not None:
            (text, values), self._last = self._last, None
            self.tell(text, *values)
