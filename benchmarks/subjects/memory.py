"""2,000 clients who are connected and silent: the memory that each one takes."""

import asyncio

from ..bench import Bench, rest
from ..clients import crowd
from ..load import Figures
from ..machine import memory_of
from ..servers import Server

ROUNDS = 3
CLIENTS = 2_000
PEERS = [
    "raw_msgspec",
    "channels_async",
    "channels_async:session",
    "dcrf",
    "chanx",
    "observable_async",
    "socketio",
    "ours",
    "ours:session",
    "ours:session:rows",
]


def run(bench: Bench) -> None:
    bench.interleave(PEERS, measure, fresh=True)


async def measure(server: Server) -> Figures:
    async with crowd(server, 50):
        pass  # all is made for the first
    await rest(server)
    before = memory_of(server.pid)
    async with crowd(server, CLIENTS):
        await asyncio.sleep(1.0)
        return {"kib": (memory_of(server.pid) - before) / CLIENTS / 1024}
