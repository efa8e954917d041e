"""Many broadcasts in a row, from one handler and from another process: what becomes of them."""

import asyncio
import json
import sys
import time

from ..bench import Bench
from ..clients import Client, crowd
from ..load import Figures
from ..machine import Stretch
from ..peers import TEXT
from ..servers import ROOT, Server
from .fanout import PEERS, Audience

ROUNDS = 3
BROADCASTS, MEMBERS = 300, 100
"""From one handler."""
SENT, LISTENERS = 5_000, 10
"""From another process."""
BEACONS = 7.0
"""Seconds within which who sends tells how many it has sent."""


def run(bench: Bench) -> None:
    bench.interleave(PEERS, measure_handler, sender="handler")
    over_redis = [spec for spec in PEERS if "=" in spec and "memory" not in spec]
    bench.interleave(over_redis, measure_process, sender="process")


async def measure_handler(server: Server) -> Figures:
    """300 broadcasts in one handler to 100 members."""
    async with crowd(server, 1) as [speaker], crowd(server, MEMBERS, fan=True) as clients:
        await asyncio.sleep(0.5)
        audience, expected = Audience(clients), BROADCASTS * MEMBERS
        stretch = Stretch(server.pid)
        audience.expect(expected)
        speaker.send(server.wire.request("burst", 1, {"text": TEXT, "n": BROADCASTS}).encode())
        taken = await audience.listen(server)
        lost = (expected - audience.heard) / MEMBERS
        figures = {"sent": BROADCASTS, "lost": lost}
        if lost:
            return figures
        return {**figures, "seconds": taken, "cpu_us": stretch.cpu / expected * 1e6}


async def measure_process(server: Server) -> Figures:
    """5,000 broadcasts in a row of a process without a server to 10 members."""
    async with crowd(server, 1) as [asking], crowd(server, LISTENERS, fan=True) as clients:
        await asyncio.sleep(0.5)
        audience = Audience(clients)
        audience.expect(SENT * LISTENERS)
        sender = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.project.sender", str(SENT),
            cwd=ROOT, env=server.variables, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await sender.communicate()
        await audience.listen(server)
        lost = SENT - audience.heard / LISTENERS
        counted = await count_missed(server, asking, lost)
        return {
            "sent": SENT,
            "lost": lost,
            "counted": counted,
            "uncounted": lost - counted,
            "seconds": float(output.split()[-1]),
        }


async def count_missed(server: Server, client: Client, lost: float) -> float:
    """How many broadcasts a server knows to have missed; others than ours do not count."""
    counted = 0.0
    if server.spec.startswith("ours"):
        deadline = time.monotonic() + BEACONS
        while (counted := await ask(client, server)) < lost and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
    return counted


async def ask(client: Client, server: Server) -> float:
    answer = asyncio.get_running_loop().create_future()
    client.take = lambda client, data: answer.set_result(json.loads(data))
    client.send(server.wire.request("missed", 1, {}).encode())
    return float((await answer)["data"])
