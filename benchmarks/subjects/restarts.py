"""A Redis that fails while everyone sends: who is heard again when, and what nobody counted.

Two servers and a worker send numbered broadcasts all the time. What is lost is counted by the
server that it should have reached, in the warnings of its log, which is where this looks.
"""

import asyncio
import json
import re
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from itertools import count
from math import inf
from pathlib import Path

import uvloop

from ..bench import LIMIT, Bench
from ..clients import Client, crowd
from ..load import Figures
from ..peers import TEXT
from ..redis_server import RedisServer, redis_server
from ..servers import ROOT, Server, Unavailable

ROUNDS = 3
PEERS = ["ours:broker=redis", "ours:layer=pubsub", "ours:layer=core"]
CLIENTS = 10
"""Members at each server, and as many others who send."""
RATE = 5.0
"""Broadcasts a second of each of those; the worker alone sends as many as they together."""
BEFORE, AFTER = 2.0, 8.0
"""Seconds of sending until Redis fails, and when it is back."""
DEAD, HANGING = 2.0, 8.0
"""Seconds without it. When it hangs they are more than anyone's time-outs."""
LAST = 1.0
"""Seconds, the last ones of sending, in which who is not silent hears everyone."""
ON_ITS_WAY = 1.0
"""Seconds in which what was sent last arrives, where it does."""
BEACONS = 8.0
"""Seconds within which who sends tells how many it has sent, and the log who missed some."""
WORKER = "worker"
MISSED = re.compile(r"did not come here \((\d+) so far\)")
UNTAKEN = re.compile(r"did not take broadcasts for other processes \((\d+) so far\)")

Key = tuple[str, int]
"""Who sent a broadcast, and its number there."""
Times = dict[Key, float]


def die(redis: RedisServer) -> float:
    """Be killed, and started again."""
    redis.kill()
    time.sleep(DEAD)
    redis.start()
    return time.monotonic()


def hang(redis: RedisServer) -> float:
    """Take connections, and answer nothing for a while."""
    redis.suspend()
    time.sleep(HANGING)
    redis.resume()
    return time.monotonic()


def cut(redis: RedisServer) -> float:
    """Cut all connections."""
    redis.cut()
    return time.monotonic()


TROUBLES: dict[str, Callable[[RedisServer], float]] = {"killed": die, "hangs": hang, "cut": cut}
"""What Redis does; each returns when it was over."""


def run(bench: Bench) -> None:
    for trouble in TROUBLES:
        for number, spec in bench.turns(PEERS):
            measuring = partial(measure, bench, spec, trouble)
            bench.attempt(measuring, peer=spec, trouble=trouble, round=number)


def measure(bench: Bench, spec: str, trouble: str) -> Figures:
    name = uuid.uuid4().hex
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(bench.folder))
        if redis is None:
            raise Unavailable("there is no redis-server here")
        variables = {"BENCH_REDIS_URL": redis.url, "BENCH_PREFIX": name}
        servers = {
            place: stack.enter_context(
                bench.serving(spec, "uvicorn", f":{name}:{place}", **variables)
            )
            for place in ("a", "b")
        }
        worker_log = bench.folder / f"{name}:{WORKER}.log"
        return uvloop.run(observe(servers, worker_log, partial(TROUBLES[trouble], redis)))


class Ears:
    """The members at one server, and when each broadcast came to the first of them."""

    def __init__(self, clients: list[Client]) -> None:
        self.came: Times = {}
        self._counts: Counter[Key] = Counter()
        self._clients = len(clients)
        for client in clients:
            client.take = self._take

    def _take(self, client: Client, data: bytes) -> None:
        content = json.loads(data)
        key = content["text"].rpartition(" ")[2], content["n"]
        self.came.setdefault(key, time.monotonic())
        self._counts[key] += 1

    def of(self, sender: str) -> Times:
        """What came of one sender."""
        return {key: came for key, came in self.came.items() if key[0] == sender}

    def check(self) -> None:
        """See that all members heard the same, and nothing twice."""
        if odd := {key: n for key, n in self._counts.items() if n != self._clients}:
            raise ValueError(f"expected each broadcast {self._clients} times, got {odd}")


async def observe(
    servers: dict[str, Server], worker_log: Path, fail: Callable[[], float]
) -> Figures:
    """Send, have Redis fail and return, send on, and compare what came with what was sent."""
    async with asyncio.timeout(LIMIT), AsyncExitStack() as stack:
        ears, speakers = {}, {}
        for name, server in servers.items():
            ears[name] = Ears(await stack.enter_async_context(crowd(server, CLIENTS, fan=True)))
            speakers[name] = await stack.enter_async_context(crowd(server, CLIENTS))
        sending = [
            asyncio.create_task(speak(servers[name], name, clients))
            for name, clients in speakers.items()
        ]
        worker = await start_worker(servers["a"], worker_log)
        await asyncio.sleep(BEFORE)
        back = await asyncio.to_thread(fail)
        await asyncio.sleep(AFTER)
        ended = time.monotonic()
        for task in sending:
            task.cancel()
        times = json.loads((await worker.communicate(b""))[0])
        worked = {(WORKER, number): at for number, at in enumerate(times, start=1)}
        logs = {name: server.log for name, server in servers.items()}
        found = await count_losses(ears, worked, logs)
        untaken = sum(last_number(UNTAKEN, log) for log in (worker_log, *logs.values()))
        sent = sent_by_all(ears, worked)
        return {**found, "untaken": untaken, **recovery(ears, sent, back, ended)}


async def speak(server: Server, name: str, clients: list[Client]) -> None:
    """Have the clients of a server send in turn."""
    for client in clients:
        client.take = refuse_errors
    for number in count():
        payload = {"text": f"{TEXT} {name}", "n": number}
        clients[number % CLIENTS].send(server.wire.request("cast", number, payload).encode())
        await asyncio.sleep(1 / (CLIENTS * RATE))


def refuse_errors(client: Client, data: bytes) -> None:
    if b'"ERROR"' in data:
        client.fault = f"expected that a broadcast is sent, got {data[:300]!r}"


async def start_worker(server: Server, log: Path) -> asyncio.subprocess.Process:
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.project.worker", WORKER, str(CLIENTS * RATE),
            cwd=ROOT, env=server.variables, stderr=output,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip


async def count_losses(ears: dict[str, Ears], worked: Times, logs: dict[str, Path]) -> Figures:
    """Compare what came, as soon as the logs have told all or should have."""
    await asyncio.sleep(ON_ITS_WAY)
    deadline = time.monotonic() + BEACONS
    while True:
        found = compare(ears, sent_by_all(ears, worked), logs)
        if not found["uncounted"] or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    for here in ears.values():
        here.check()
    return found


def sent_by_all(ears: dict[str, Ears], worked: Times) -> dict[str, Times]:
    """What each has sent: members at a sender's own server have all of it."""
    return {WORKER: worked, **{name: here.of(name) for name, here in ears.items()}}


def compare(ears: dict[str, Ears], sent: dict[str, Times], logs: dict[str, Path]) -> Figures:
    """What the servers should have had of others and had not, and how much of it they counted."""
    lost = {
        name: sum(len(sent[other]) - len(here.of(other)) for other in sent.keys() - {name})
        for name, here in ears.items()
    }
    counted = {name: last_number(MISSED, log) for name, log in logs.items()}
    return {
        "sent": sum(map(len, sent.values())),
        "lost": sum(lost.values()),
        "counted": sum(counted.values()),
        "uncounted": sum(abs(lost[name] - counted[name]) for name in ears),
    }


def recovery(ears: dict[str, Ears], sent: dict[str, Times], back: float, ended: float) -> Figures:
    """How long after its return nothing was lost any more, and how many hear not all others."""
    resumed, silent = 0.0, set()
    for name, here in ears.items():
        for other in sent.keys() - {name}:
            came = here.of(other)
            first = min((at for at in came.values() if at > back), default=inf)
            lost = (at for key, at in sent[other].items() if key not in came)
            resumed = max(resumed, first - back, max(lost, default=back) - back)
            if not any(at > ended - LAST for at in came.values()):
                silent.add(name)
    return {"resumed_s": resumed, "silent": len(silent)}


def last_number(pattern: re.Pattern[str], log: Path) -> int:
    """The number that a log has in the last line of its kind."""
    found = pattern.findall(log.read_text())
    return int(found[-1]) if found else 0
