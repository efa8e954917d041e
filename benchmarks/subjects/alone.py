"""The application alone: no server and no network, so little noise.

    python -m benchmarks.subjects.alone ours 0.4 r10

Prints the microseconds of CPU that a message takes. Eight connections keep four messages each
under way; an answer brings the next message in the next turn of the loop.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import uvloop

from ..bench import Bench
from ..machine import FOR_SERVERS, pin
from ..peers import HIT, TEXT
from ..servers import ROOT, environment
from ..wires import Wire, wire_of

ROUNDS = 5
PEERS = [
    "raw_json",
    "raw_msgspec",
    "channels_async",
    "channels_sync",
    "dcrf",
    "chanx",
    "observable_async",
    "observable_sync",
    "ours",
    "ours:fields",
    "ours:typed",
]
CONNECTIONS = 8
WINDOW = 4
SECONDS = 0.4


def run(bench: Bench) -> None:
    for number, spec in bench.turns(PEERS):
        bench.record(peer=spec, round=number, cpu_us=measure_apart(spec))


class Conversation:
    """What an ASGI server is to the application: its `receive` and `send`, for one connection."""

    def __init__(self, events: Sequence[dict[str, Any]]) -> None:
        self.answers = 0
        self.fault = ""
        self._events = cycle(events)
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._put = self._queue.put_nowait
        self._put_soon = asyncio.get_running_loop().call_soon
        self._put({"type": "websocket.connect"})
        self.receive = self._queue.get

    async def send(self, event: dict[str, Any]) -> None:
        if TEXT in event.get("text", ""):
            self.answers += 1
            self._put_soon(self._put, dict(next(self._events)))
        elif event["type"] == "websocket.accept":
            for _ in range(WINDOW):
                self._put(dict(next(self._events)))
        else:
            self.fault = f"expected an answer with {TEXT!r}, got {event}"

    def end(self) -> None:
        self._put({"type": "websocket.disconnect", "code": 1000})


async def measure(application: Any, wire: Wire, routes: Sequence[str], seconds: float) -> float:
    """Microseconds of CPU for each message, over so many seconds."""
    texts = [frame.decode() for frame in wire.requests(*routes)]
    events = [{"type": "websocket.receive", "text": text} for text in texts]
    talks = [Conversation(events) for _ in range(CONNECTIONS)]
    scope = {
        "type": "websocket",
        "path": wire.path,
        "headers": [],
        "query_string": b"",
        "subprotocols": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    async with asyncio.TaskGroup() as group:
        for talk in talks:
            group.create_task(application(dict(scope), talk.receive, talk.send))
        await asyncio.sleep(seconds / 2)  # not counted: caches fill
        cpu, count = time.process_time(), sum(talk.answers for talk in talks)
        await asyncio.sleep(seconds)
        cpu, count = time.process_time() - cpu, sum(talk.answers for talk in talks) - count
        for talk in talks:
            talk.end()
    if faults := [talk.fault for talk in talks if talk.fault]:
        raise ValueError(faults[0])  # who answers with errors must not win
    return cpu / count * 1e6


def measure_apart(spec: str, *routes: str, seconds: float = SECONDS) -> float:
    """Microseconds of CPU that a message to these routes, in turn, takes in a fresh process."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.subjects.alone",
        spec,
        str(seconds),
        *(routes or [HIT]),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(spec, {}), capture_output=True, text=True
    )
    if done.returncode:
        raise OSError(done.stderr.strip().splitlines()[-1])
    return float(done.stdout.splitlines()[-1])  # after what a peer prints of itself


def main(spec: str, seconds: str, *routes: str) -> None:
    from ..project.asgi import application  # made for the peer that the environment names

    pin(0, FOR_SERVERS)
    wire = wire_of(spec)
    print(uvloop.run(measure(application, wire, routes, float(seconds))))


if __name__ == "__main__":
    main(*sys.argv[1:])
