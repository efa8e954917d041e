"""A client that stops reading while 200 MB are broadcast: the server's memory, and the others."""

from functools import partial

from ..bench import Bench
from ..clients import crowd
from ..load import Figures, quantiles
from ..machine import forget_peak, memory_of
from ..peers import TEXT
from ..servers import Server
from .fanout import Audience

ROUNDS = 3
PEERS = ["channels_async:layer=memory", "ours"]
READERS = 3
TEXT_SIZE = 60_000
BROADCASTS = 200_000_000 // TEXT_SIZE


def run(bench: Bench) -> None:
    for stalled in (0, 1):
        bench.interleave(PEERS, partial(measure, stalled=stalled), fresh=True, stalled=stalled)


async def measure(server: Server, *, stalled: int) -> Figures:
    text = TEXT + "." * (TEXT_SIZE - len(TEXT))
    frame = server.wire.request("cast", 1, {"text": text, "n": 1}).encode()
    async with (
        crowd(server, 1) as [speaker],
        crowd(server, READERS, fan=True) as readers,
        crowd(server, stalled, fan=True) as asleep,
    ):
        for client in asleep:
            client.transport.underlying_transport.pause_reading()
        audience, times = Audience(readers), []
        forget_peak(server.pid)
        before = memory_of(server.pid)
        for _ in range(BROADCASTS):
            audience.expect(READERS)
            speaker.send(frame)
            times.append(await audience.listen(server))
        peak = memory_of(server.pid, "VmHWM")
        for client in asleep:
            client.transport.underlying_transport.resume_reading()
    return {"peak_mib": (peak - before) / 2**20, **quantiles(times)}
