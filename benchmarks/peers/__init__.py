"""The same work with each library, written as its own documentation shows.

A module here has an ASGI `application`, with sockets at `/ws/` and, where the library has
groups, at `/fan/`. What clients send them is in `benchmarks/wires.py`. The work:

- A message to one of `ROUTES` has a number of its own and a payload, `{"text": ..., "n": 1}`.
  The answer has the same number and what `work` makes of the payload.
- `sync` does the same in a synchronous function, `slow` is one that takes `NAP` seconds.
- Who connects to `/fan/` is a member of the group `GROUP`. `cast` sends its payload to all
  members, `burst` does so as many times as its `n` says, in one handler. Neither is answered.
"""

import os
from typing import Any

ROUTES = [f"r{number}" for number in range(20)]
HIT = "r10"
"""The route that is called: in the middle, which is fair to those who search in turn."""
TEXT = "abcdefghijklmnopqrstuvwxyz0123456789ABCD"
GROUP = "everyone"
NAP = 0.1


def work(payload: dict[str, Any]) -> dict[str, Any]:
    return {"text": payload["text"], "n": payload["n"] + 1}


def option(name: str, default: str = "") -> str:
    """What the spec of a peer says: `core` for the option `layer` of `ours:layer=core`."""
    return os.environ.get(f"BENCH_{name.upper()}", default)
