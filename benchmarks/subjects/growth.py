"""What a message, a broadcast and an accept cost with more routes, groups and rows."""

from functools import partial

from ..bench import Bench
from ..load import Figures, pingpong
from ..servers import Server
from . import alone, connects, fanout

ROUNDS = 3
ROUTES = (10, 100, 1_000)
GROUPS = (0, 1, 100)
"""How many more groups each of the members is in."""
MEMBERS, CASTS = 100, 20
ROWS = (0, 1_000, 100_000)
"""Rows of other connections in the table."""
NEW_KEYS = 4_096
"""More than the routes remember: a regex is searched for each of them."""


def run(bench: Bench) -> None:
    measure_routes(bench)
    of_groups = [f"ours:groups={number}" for number in GROUPS]
    cast = partial(fanout.measure, members=MEMBERS, casts=CASTS)
    bench.interleave(of_groups, cast, what="groups")
    of_rows = [f"ours:session:rows:others={number}" for number in ROWS]
    bench.interleave(of_rows, measure_rows, what="rows")


def measure_routes(bench: Bench) -> None:
    """The application alone, with its message for a route in the middle."""
    of_strings = [f"ours:routes={number}" for number in ROUTES]
    of_regexes = [f"ours:regexes={number}" for number in ROUTES]
    for number, spec in bench.turns([*of_strings, *of_regexes]):
        kind, _, count = spec.removeprefix("ours:").partition("=")
        for keys, messages in keys_of(kind, int(count) // 2).items():
            cpu = alone.measure_apart(spec, *messages)
            bench.record(peer=spec, what=keys, round=number, cpu_us=cpu)


def keys_of(kind: str, middle: int) -> dict[str, list[str]]:
    """The keys of messages: one that comes again and again, and where that matters new ones."""
    if kind == "routes":
        return {"strings": [f"s{middle}"]}
    new = [f"x{middle}_{number}" for number in range(NEW_KEYS)]
    return {"regexes": new[:1], "regexes, new keys": new}


async def measure_rows(server: Server) -> Figures:
    selecting = await pingpong(server, route="tell", seconds=0.5)
    return {**await connects.measure(server), "tell_us": selecting["p50_us"]}
