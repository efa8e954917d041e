"""Ways between processes: a carrier of a project's own, named by its dotted path."""

import asyncio
from collections.abc import Collection
from typing import ClassVar

from sockets.brokers import EVERYONE, make_broker
from sockets.carriers import Carrier

HERE, THERE = "sockets.here", "sockets.there"


class Board(Carrier):
    """Brings texts to all who joined, within one process."""

    queues: ClassVar[dict[str, list[asyncio.Queue[str]]]] = {}

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue()

    async def join(self, addresses: Collection[str]) -> None:
        for address in addresses:
            self.queues.setdefault(address, []).append(self.queue)

    async def receive(self) -> object:
        return await self.queue.get()

    async def send(self, address: str, text: str) -> None:
        for queue in self.queues.get(address, []):
            queue.put_nowait(text)

    async def close(self) -> None:
        for queues in self.queues.values():
            queues[:] = [queue for queue in queues if queue is not self.queue]


async def test_a_carrier_of_ones_own_is_named_by_its_dotted_path(settings):
    settings.SOCKETS = {"BROKER": f"{__name__}.Board"}
    brokers = [make_broker(), make_broker()]
    heard: list[list[str]] = [[], []]
    for broker, address, texts in zip(brokers, (HERE, THERE), heard, strict=True):
        await broker.listen(address, texts.append, lambda: None)
    await brokers[0].publish([EVERYONE], "to all")
    await brokers[0].publish([THERE], "to you")
    await brokers[1].publish([HERE], "and back")
    async with asyncio.timeout(5):
        while [len(texts) for texts in heard] != [1, 2]:
            await asyncio.sleep(0.005)
    assert heard == [["and back"], ["to all", "to you"]]
    for broker in brokers:
        await broker.stop()
        assert (broker.lost, broker.missed) == (0, 0)
    assert not any(Board.queues.values())
