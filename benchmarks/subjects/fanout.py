"""One broadcast to all members of a group: when the last one has it, and what each costs."""

import asyncio
import time
from contextlib import suppress
from functools import partial
from statistics import median

from ..bench import Bench
from ..clients import Client, check, crowd
from ..load import CHECKED, Figures
from ..machine import Stretch, cpu_of
from ..servers import Server

ROUNDS = 3
MEMBERS = {100: 20, 1_000: 6, 5_000: 1}
"""How many members, and broadcasts to them in a round."""
PEERS = [
    "raw_msgspec",
    "channels_async:layer=memory",
    "channels_async:layer=core",
    "channels_async:layer=pubsub",
    "socketio",
    "ours",
    "ours:layer=core",
    "ours:layer=pubsub",
    "ours:broker=redis",
]
QUIET = 1.0
"""Seconds in which no frame comes and the server does nothing: what is missing then is lost."""
BUSY = 0.02
"""Seconds of CPU, of that time, that are something."""
PAUSE = 0.02


class Audience:
    """Clients who count what they hear together."""

    def __init__(self, clients: list[Client]) -> None:
        self.heard = 0
        self._expected = 0
        self._all: asyncio.Event = asyncio.Event()
        for client in clients:
            client.take = self._take

    def _take(self, client: Client, data: bytes) -> None:
        self.heard += 1
        if not self.heard & CHECKED:
            check(client, data)
        if self.heard == self._expected:
            self._last = time.perf_counter()
            self._all.set()

    def expect(self, count: int) -> None:
        """Begin to count."""
        self.heard, self._expected = 0, count
        self._all.clear()
        self._began = time.perf_counter()

    async def listen(self, server: Server) -> float:
        """Seconds until all has come; no number where the server rests before that."""
        heard, used = -1, 0.0
        while not self._all.is_set() and (self.heard > heard or cpu_of(server.pid) > used + BUSY):
            heard, used = self.heard, cpu_of(server.pid)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all.wait(), QUIET)
        return self._last - self._began if self._all.is_set() else float("nan")


def run(bench: Bench) -> None:
    for members, casts in MEMBERS.items():
        bench.interleave(PEERS, partial(measure, members=members, casts=casts), members=members)


async def measure(server: Server, *, members: int, casts: int) -> Figures:
    async with crowd(server, 1) as [speaker], crowd(server, members, fan=True) as clients:
        await asyncio.sleep(0.5)  # some peers become members after their handshake
        audience, frames = Audience(clients), server.wire.requests("cast")
        times, cpu, lost = [], 0.0, 0
        for number in range(casts + 1):
            stretch = Stretch(server.pid)
            audience.expect(members)
            speaker.send(frames[number])
            taken = await audience.listen(server)
            await asyncio.sleep(PAUSE)  # what the server does when all have it is counted too
            if number:  # the first one is a rehearsal
                times.append(taken)
                cpu += stretch.cpu
                lost += members - audience.heard
        figures = {"cpu_us": cpu / (members * casts) * 1e6, "lost": lost}
        return figures if lost else {"ms": median(times) * 1e3, **figures}
