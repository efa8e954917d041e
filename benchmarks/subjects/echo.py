"""Messages to one of twenty routes and their answers, 50 clients with 4 messages under way each."""

from ..bench import Bench
from ..load import pipeline

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
    "socketio",
    "ours",
]


def run(bench: Bench) -> None:
    for kind in ("uvicorn", "daphne"):
        bench.interleave(PEERS, pipeline, kind=kind, server=kind)
