"""Messages that a synchronous function answers at once, 50 clients with 4 under way each."""

from functools import partial

from ..bench import Bench
from ..load import pipeline

ROUNDS = 5
PEERS = [
    "channels_async",
    "channels_sync",
    "dcrf",
    "chanx",
    "observable_async",
    "observable_sync",
    "socketio",
    "ours",
]


def run(bench: Bench) -> None:
    bench.interleave(PEERS, partial(pipeline, route="sync"))
