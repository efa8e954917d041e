"""The loads that several subjects put on a server."""

import asyncio
import time
from collections.abc import Sequence

from .clients import Client, check, crowd
from .machine import Stretch
from .peers import HIT
from .servers import Server
from .wires import REQUESTS

Figures = dict[str, float]

WARM_UP = 0.3
"""Seconds before a measurement begins."""
CHECKED = 15
"""One answer in so many plus one is looked at."""


async def pipeline(
    server: Server,
    *,
    route: str = HIT,
    connections: int = 50,
    window: int = 4,
    seconds: float = 1.0,
) -> Figures:
    """Every client keeps some messages under way: what one costs, and how many a second go."""
    frames, count = server.wire.requests(route), 0

    def take(client: Client, data: bytes) -> None:
        nonlocal count
        count += 1
        if not count & CHECKED:
            check(client, data)
        client.send(frames[count % REQUESTS])

    async with crowd(server, connections) as clients:
        for client in clients:
            client.take = take
            for frame in frames[:window]:
                client.send(frame)
        await asyncio.sleep(WARM_UP)
        count, stretch = 0, Stretch(server.pid)
        await asyncio.sleep(seconds)
        figures = {"cpu_us": stretch.cpu / max(count, 1) * 1e6, "rate": count / stretch.seconds}
        if any(client.closed for client in clients):
            raise ConnectionError("the server closed a connection under load")
    return figures


class Caller:
    """A client that sends the next message when the last has its answer, and takes the time."""

    def __init__(self, client: Client, frames: list[bytes]) -> None:
        self.times: list[float] = []
        self._client = client
        self._frames = frames
        self._count = 0
        client.take = self._take

    def call(self) -> None:
        self._count += 1
        self._sent = time.perf_counter()
        self._client.send(self._frames[self._count % REQUESTS])

    def _take(self, client: Client, data: bytes) -> None:
        self.times.append(time.perf_counter() - self._sent)
        check(client, data)
        self.call()

    async def measure(self, seconds: float) -> Figures:
        """The latency of the calls in so many seconds from now, and how many they are."""
        await asyncio.sleep(WARM_UP)
        self.times.clear()
        await asyncio.sleep(seconds)
        return {"calls": len(self.times), **quantiles(self.times)}


async def pingpong(server: Server, *, route: str = HIT, seconds: float = 0.7) -> Figures:
    """One client, one message after another: how long each takes."""
    async with crowd(server, 1) as [client]:
        caller = Caller(client, server.wire.requests(route))
        caller.call()
        return await caller.measure(seconds)


def quantiles(times: Sequence[float]) -> Figures:
    """The median and the 99th percentile of seconds, in microseconds."""
    if not times:
        raise TimeoutError("expected answers, got none")
    ordered = sorted(times)
    return {
        "p50_us": ordered[len(ordered) // 2] * 1e6,
        "p99_us": ordered[int(len(ordered) * 0.99)] * 1e6,
    }
