"""What the subjects have in common: peers are served, and take turns round by round."""

import asyncio
import gc
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from .databases import database_for
from .machine import cpu_of
from .records import Log
from .servers import Server, Unavailable

Measure = Callable[[Server], Awaitable[dict[str, Any]]]
Turn = Callable[[], AbstractContextManager[Server]]

LIMIT = 120.0
"""Seconds that a measurement may take."""
REST = 20.0
"""Seconds that a server has to be done with the clients of a measurement: those that Channels still
has in a group of Redis when it is stopped would make every later broadcast dearer."""


class Bench:
    """Runs the measurements of one subject, with a folder for what they leave behind."""

    def __init__(
        self, log: Log, *, rounds: int, only: Sequence[str], folder: Path, redis: str
    ) -> None:
        self.record = log.record
        self.rounds = rounds
        self._only = only
        self.folder = folder
        self._redis = redis

    def turns(self, specs: Sequence[str]) -> Iterator[tuple[int, str]]:
        """The chosen ones of these peers in turn, every other round backwards."""
        chosen = self.chosen(specs)
        for number in range(self.rounds):
            for spec in chosen if number % 2 == 0 else chosen[::-1]:
                yield number, spec

    def chosen(self, specs: Sequence[str]) -> list[str]:
        """Those peers that were not left out on the command line."""
        names = self._only
        return [s for s in specs if not names or s in names or s.partition(":")[0] in names]

    def interleave(
        self,
        specs: Sequence[str],
        measure: Measure,
        *,
        kind: str = "uvicorn",
        fresh: bool = False,
        **labels: Any,
    ) -> None:
        """Measure the peers in turn, and record what is found.

        A server lives as long as all rounds, asleep while others have their turn; with `fresh`
        as long as one measurement.
        """
        with ExitStack() as stack:
            serve: dict[str, Turn] = {}
            for spec in self.chosen(specs):
                serving = partial(self.serving, spec, kind)
                try:
                    serve[spec] = serving if fresh else stack.enter_context(serving()).asleep()
                except Unavailable as fault:
                    self.record(peer=spec, **labels, left_out=str(fault))
            for number, spec in self.turns(list(serve)):
                self._measure(serve[spec], measure, peer=spec, **labels, round=number)

    def _measure(self, turn: Turn, measure: Measure, **labels: Any) -> None:
        def take_turn() -> dict[str, Any]:
            with turn() as server:
                return uvloop.run(within_limit(server, measure))

        self.attempt(take_turn, **labels)

    def attempt(self, measure: Callable[[], dict[str, Any]], **labels: Any) -> None:
        """Measure, and record what is found or what went wrong."""
        gc.collect()
        try:
            figures = measure()
        except Unavailable as fault:
            self.record(**labels, left_out=str(fault))
        except Exception as fault:  # of one peer in one round: the others are measured all the same
            while isinstance(fault, ExceptionGroup):
                fault = fault.exceptions[0]
            self.record(**labels, failed=repr(fault))
        else:
            self.record(**labels, **figures)

    @contextmanager
    def serving(self, spec: str, kind: str, place: str = "", **variables: str) -> Iterator[Server]:
        """A server of a peer, which has all that its spec asks for; it keeps a log of its own.

        `place` names it among several of a peer, `variables` are put in its environment.
        """
        if not self._redis and any(name in spec for name in ("core", "pubsub", "redis")):
            raise Unavailable("there is no redis-server here")
        name = f"{kind}:{spec}{place}"
        with database_for(spec, self.folder / f"{name}.sqlite3") as database:
            given = {
                "BENCH_REDIS_URL": self._redis,
                "BENCH_PREFIX": uuid.uuid4().hex,
                **database.variables,
                **variables,
            }
            server = Server(spec, kind, given, self.folder / f"{name}.log")
            server.headers = database.headers
            try:
                yield server
            finally:
                server.stop()


async def within_limit(server: Server, measure: Measure) -> dict[str, Any]:
    async with asyncio.timeout(LIMIT):
        figures = await measure(server)
        await rest(server)
    return figures


async def rest(server: Server) -> None:
    """Wait until a server has nothing more to do."""
    loop = asyncio.get_running_loop()
    deadline, used = loop.time() + REST, cpu_of(server.pid)
    while loop.time() < deadline:
        await asyncio.sleep(0.05)
        before, used = used, cpu_of(server.pid)
        if used - before < 0.002:
            return
