"""Crowds of clients arrive and leave: accepts a second, and what each one costs the server."""

from ..bench import Bench, rest
from ..clients import crowd
from ..load import Figures
from ..machine import Stretch
from ..servers import Server

ROUNDS = 5
CLIENTS = 500
PEERS = [
    "raw_msgspec",
    "channels_async",
    "channels_async:session",
    "dcrf",
    "chanx",
    "observable_async",
    "socketio",
    "ours",
    "ours:rows",
    "ours:session",
    "ours:session:rows",
    "ours:rows:engine=postgresql",
]


def run(bench: Bench) -> None:
    bench.interleave(PEERS, measure)


async def measure(server: Server) -> Figures:
    async with crowd(server, 2):  # who stays: threads and connections to the database outlive all
        async with crowd(server, 50):
            pass  # all is made for the first
        await rest(server)
        stretch = Stretch(server.pid)
        async with crowd(server, CLIENTS):
            accepting, seconds = stretch.cpu, stretch.seconds
        await rest(server)
        return {
            "accept_us": accepting / CLIENTS * 1e6,
            "visit_us": stretch.cpu / CLIENTS * 1e6,
            "rate": CLIENTS / seconds,
        }
