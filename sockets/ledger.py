"""Numbering what one sender tells one address, so that who listens there knows what it missed."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from math import inf
from time import monotonic
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
        self._began = monotonic()
        self.number = 0
        """The number of the next text."""
        self.repeated = 0
        """How often that was told since the last text."""

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return monotonic() - self._began


class Batch(NamedTuple):
    """Some texts of a line, in one text: its name, its age, the first one's number, then each.

    Without texts it tells the number of the next one: a loss is seen though nothing follows. The
    age is in seconds: machines need not agree about the time for knowing when a line began.
    """

    line: str
    age: float
    number: int
    texts: list[str]

    def pack(self) -> str:
        return "\n".join((f"{self.line} {self.age!r} {self.number}", *self.texts))

    @classmethod
    def unpack(cls, found: object) -> "Batch":
        """The batch in what came; raises `ValueError` where there is none."""
        if isinstance(found, bytes):
            found = found.decode()
        if not isinstance(found, str):
            raise ValueError(f"expected a text, got a {type(found).__name__}")
        label, *texts = found.split("\n")
        line, age, number = label.split(" ")
        return cls(line, float(age), int(number), texts)


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
        self._listening_since = min(self._listening_since, monotonic())

    def enter(self, batch: Batch) -> list[str]:
        """The texts that are news; raises `ValueError` for numbers that cannot be."""
        now = monotonic()
        known = self._known.get(batch.line)
        expected = known[0] if known else self._first_of(batch, now)
        hole = batch.number - expected
        if batch.number < 0 or hole > GARBAGE:
            raise ValueError(f"expected the number {expected}, got {batch.number}")
        self._known.pop(batch.line, None)
        self._known[batch.line] = (max(expected, batch.number + len(batch.texts)), now)
        self._forget(now)
        if hole > 0:
            self._miss(hole)
        return batch.texts[-hole:] if hole < 0 else batch.texts

    def close(self) -> None:
        self._log.finish()

    def _first_of(self, batch: Batch, now: float) -> int:
        """0 for a line that must have been heard from its beginning, had nothing been missed.

        Its age was told when it was sent, so that it may have begun sooner, by the time on the way.
        """
        return 0 if batch.age < min(now - self._listening_since, FORGET) else batch.number

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
