"""One client's calls, alone and beside another's that sit in a synchronous function."""

from functools import partial

from ..bench import Bench
from ..clients import Client, crowd
from ..load import Caller, Figures
from ..peers import HIT
from ..servers import Server
from .sync import PEERS

ROUNDS = 3
SECONDS = 1.0


def run(bench: Bench) -> None:
    for handler, route in (("async", HIT), ("sync", "sync")):
        bench.interleave(PEERS, partial(measure, route=route), handler=handler)


async def measure(server: Server, *, route: str) -> Figures:
    async with crowd(server, 2) as [client, slow]:
        caller = Caller(client, server.wire.requests(route))
        caller.call()
        alone = await caller.measure(SECONDS)
        keep_busy(slow, server.wire.requests("slow"))
        beside = await caller.measure(SECONDS)
    return {
        "alone_us": alone["p50_us"],
        "beside_us": beside["p50_us"],
        "beside_p99_us": beside["p99_us"],
        "kept": beside["calls"] / alone["calls"],
    }


def keep_busy(client: Client, frames: list[bytes]) -> None:
    """Have a client call the slow function again whenever it was answered."""
    client.take = lambda client, data: client.send(frames[0])
    client.send(frames[0])
