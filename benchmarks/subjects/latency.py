"""One client, one message after another: how long each waits for its answer."""

from ..bench import Bench
from ..load import pingpong
from .echo import PEERS

ROUNDS = 5


def run(bench: Bench) -> None:
    bench.interleave(PEERS, pingpong)
