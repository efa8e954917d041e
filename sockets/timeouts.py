"""Ending what runs too long: one timer for all that runs in an event loop."""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .mailbox import Mailbox

TICK = 0.05
"""Seconds between two looks at what runs; a time-out is kept within two of them."""


class Timeouts:
    """Ends what runs too long: one timer for all busy mailboxes of an event loop.

    A timer per message would cost more than routing it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._busy: set[Mailbox] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, mailbox: "Mailbox") -> None:
        mailbox.watched = True
        self._busy.add(mailbox)
        if self._timer is None:
            self._timer = self._loop.call_later(TICK, self._look)

    def stop(self) -> None:
        # What holds this, as a cancelled timer's context may, holds no mailbox any more.
        self._busy.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        try:
            for mailbox in tuple(self._busy):
                if not mailbox.end_overdue(now):
                    mailbox.watched = False
                    self._busy.discard(mailbox)
        finally:
            self._timer = self._loop.call_later(TICK, self._look) if self._busy else None
