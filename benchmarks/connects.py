"""What rows cost: connects per second of a handler, and of the same with `tracked = False`.

    python -m benchmarks.connects
    python -m benchmarks.connects --databases postgresql --rounds 20 --logged-in

Run it from the root of the repository, with the group `dev` installed. One uvicorn serves both
kinds. Crowds of clients arrive at it, in turn at the one kind and the other; what counts is the
time from the first connect to the last accept. The ratio is that of a round's two crowds. Where
the machine has several processors, server and clients have one each. PostgreSQL is that of the
tests (see `tests/settings.py`).
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.projects import site_of
from tests.servers import Server, eventually

KINDS = ("room", "untracked-room")
"""The paths of the handler with rows, and of the one without."""
HANDSHAKE = (
    "GET /{kind}/bench/ HTTP/1.1\r\n"
    "Host: 127.0.0.1\r\n"
    "Connection: Upgrade\r\n"
    "Upgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Cookie: {cookie}\r\n"
    "\r\n"
)


class Visitor(asyncio.Protocol):
    """A client that does no more than its handshake: a slow one would be what is measured."""

    def __init__(self, handshake: bytes) -> None:
        self._handshake = handshake
        self._received = b""
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\r\n\r\n" in self._received and not self.accepted.done():
            assert self._received.startswith(b"HTTP/1.1 101 "), self._received
            self.accepted.set_result(None)


async def measure(server: Server, kind: str, clients: int, cookie: str) -> tuple[float, float]:
    """Connects per second of a crowd, and the server's microseconds of CPU for each."""
    handshake = HANDSHAKE.format(kind=kind, cookie=cookie).encode()
    crowd = [Visitor(handshake) for _ in range(clients)]
    loop, cpu, began = asyncio.get_running_loop(), cpu_of(server), time.perf_counter()
    connecting = (
        loop.create_connection(lambda v=one: v, "127.0.0.1", server.port) for one in crowd
    )
    await asyncio.gather(*connecting)
    await asyncio.gather(*(one.accepted for one in crowd))
    taken, cpu = time.perf_counter() - began, cpu_of(server) - cpu
    for one in crowd:
        one.transport.abort()
    await has_settled(server)
    return clients / taken, cpu / clients * 1e6


async def has_settled(server: Server) -> None:
    """Wait until the server has nothing more to do for those who left."""
    await eventually(lambda: server.get_json("/load/"), lambda load: load["handlers"] == len(KINDS))
    await eventually(lambda: server.get_json("/rows/"), lambda shown: len(shown["rows"]) == 1)


async def run_rounds(
    server: Server, rounds: int, clients: int, logged_in: bool
) -> dict[str, list[tuple[float, float]]]:
    """The measurements of each kind, one a round."""
    cookie = await server.get_cookie("/log-in/?name=ada") if logged_in else ""
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    # Somebody stays: threads and connections to the database outlive a crowd.
    async with server.client("/room/a/"), server.client("/untracked-room/a/"):
        for kind in KINDS:
            await measure(server, kind, clients, cookie)  # not counted: all is made for the first
        for number in range(rounds):
            for kind in KINDS if number % 2 else KINDS[::-1]:
                found[kind].append(await measure(server, kind, clients, cookie))
    return found


def show(database: str, found: dict[str, list[tuple[float, float]]]) -> None:
    """Print the lines of one database: medians, and in brackets the range."""
    for kind in KINDS:
        rates, costs = zip(*found[kind], strict=True)
        print(f"{database:10}  {kind:15}  {spread(rates, 0)}  {spread(costs, 0)}")
    with_rows, without = ([rate for rate, _ in found[kind]] for kind in KINDS)
    ratios = [mine / other for mine, other in zip(with_rows, without, strict=True)]
    print(f"{database:10}  {'ratio':15}  {spread(ratios, 2)}")


def spread(values: Sequence[float], digits: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:7.{digits}f} ({low:.{digits}f} - {high:.{digits}f})".ljust(22)


def cpu_of(server: Server) -> float:
    """CPU seconds that a process has used, in all its threads."""
    return time.clock_gettime((~server.pid << 3) | 2)  # Linux' clock of another process


def separate(server: Server) -> None:
    """Give server and clients a processor each, where there are two."""
    if len(processors := sorted(os.sched_getaffinity(0))) > 1:
        for thread in os.listdir(f"/proc/{server.pid}/task"):
            os.sched_setaffinity(int(thread), processors[:1])
        os.sched_setaffinity(0, processors[1:2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--logged-in", action="store_true", help="with a session and a user")
    options = parser.parse_args()
    print(f"{'database':10}  {'handler':15}  {'connects/s':22}  {'CPU us/connect':22}")
    for database in options.databases:
        with (
            tempfile.TemporaryDirectory() as folder,
            site_of(Path(folder), database=database) as site,
            site.serving("server", UVICORN_LOG_LEVEL="warning") as server,
        ):
            separate(server)
            arguments = server, options.rounds, options.clients, options.logged_in
            show(database, asyncio.run(run_rounds(*arguments)))


if __name__ == "__main__":
    main()
