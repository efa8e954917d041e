"""Carrying broadcasts to the other processes: none there are, or by what the settings name."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Collection, Iterator
from itertools import groupby
from typing import NamedTuple

from channels.layers import InMemoryChannelLayer, channel_layers
from django.utils.module_loading import import_string

from .carriers import Carrier, LayerCarrier
from .conf import get_settings
from .exceptions import DeclarationError
from .ledger import Batch, Line, Seldom
from .listener import Joined, Listener, Take
from .sync import DONE, finish_future

logger = logging.getLogger("sockets")

EVERYONE = "sockets.everyone"
"""The address at which all processes listen."""
PATIENCE = 2.0
"""Seconds that the carrier has for what still waits at the end, and then to be left."""
TIMEOUT = 4.0
"""Seconds that the carrier has for one batch."""
BATCH = 128 * 1024
"""Characters that go together at most, beyond the first text."""
LIMIT = 64 * 1024 * 1024
"""Characters that may wait for a carrier that is slow; what is more is dropped and counted."""
BEAT = 5.0
"""Seconds between two repetitions of the numbers of the lines in use."""
LIFE = 12
"""Repetitions after which a line without another text ends; the next text begins another."""


class LocalBroker:
    """For a project of one process: there are no others to tell."""

    lost = 0
    """How many broadcasts did not reach other processes, as far as the sender knows."""

    @property
    def missed(self) -> int:
        """How many broadcasts of other processes did not come here."""
        return 0

    async def listen(self, address: str, take: Take, on_joined: Joined) -> None:
        """Hand the texts for this address, and for everyone, to `take`; return once they come.

        `on_joined` is called whenever listening began or something was missed.
        """

    def publish(self, addresses: Collection[str], text: str) -> Awaitable[None]:
        """Send a line of text to each address; awaiting the result waits until it was taken.

        Nobody waits for what takes nothing, again and again.
        """
        return DONE

    async def stop(self) -> None:
        """Send what waits, and listen no more."""


class Waiting(NamedTuple):
    """What is to be sent. Without a text it is the number of the next one."""

    line: Line
    number: int
    text: str | None


class Broker(LocalBroker):
    """Sends texts by a carrier, and listens with it.

    While one batch is on its way, what follows it is gathered into the next, so that a burst is
    few of them. Who listens hears the texts of one sender in their order, each once, and counts
    those that did not come by their numbers: the lost ones too, which had theirs before.
    """

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._sender = uuid.uuid4().hex
        self._lines: dict[str, Line] = {}
        self._waiting: list[Waiting] = []
        self._number = self._size = 0
        self._taken: asyncio.Future[None] | None = None
        self._failing = False
        """Whether the carrier has not taken the latest batch: nobody waits for it meanwhile."""
        self._publishing: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._listener: Listener | None = None
        self._listening: asyncio.Task[None] | None = None
        self._stopped = False
        self._losses = Seldom(logging.ERROR)

    @property
    def missed(self) -> int:
        return self._listener.ledger.missed if self._listener is not None else 0

    async def listen(self, address: str, take: Take, on_joined: Joined) -> None:
        addresses = (address, EVERYONE)
        self._listener = Listener(self._carrier, self._sender, addresses, take, on_joined)
        self._listening = asyncio.create_task(self._listener.run())
        await self._listener.begun()

    def publish(self, addresses: Collection[str], text: str) -> Awaitable[None]:
        lines = [self._line_to(address) for address in addresses]
        refused = self._stopped or self._size > LIMIT
        if not refused:
            self._number += len(lines)
            self._size += len(text) * len(lines)
            self._waiting += [Waiting(line, line.number, text) for line in lines]
        for line in lines:
            line.number += 1
            line.repeated = 0
        if refused:
            self._lose(len(lines), "it was left" if self._stopped else "it is too slow")
            return DONE
        taken = self._send_soon()
        return DONE if self._failing else taken

    async def stop(self) -> None:
        if self._stopped:
            return
        self._repeat_numbers()
        self._stopped = True
        ending = [task for task in (self._listening, self._beating) if task is not None]
        for task in ending:
            task.cancel()
        if tasks := [*ending, *([self._publishing] if self._publishing is not None else ())]:
            await asyncio.wait(tasks, timeout=PATIENCE)
        if self._publishing is not None:
            self._publishing.cancel()
            self._lose(self._number, f"it did not take them within {PATIENCE:g} s")
        await self._leave()

    async def _leave(self) -> None:
        self._losses.finish()
        if self._listener is not None:
            self._listener.close()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._carrier.close()
        except Exception as fault:
            logger.error("The broker could not be left: %s", _name_of(fault))

    def _line_to(self, address: str) -> Line:
        line = self._lines.get(address)
        if line is None:
            line = self._lines[address] = Line(self._sender, address)
            if self._beating is None and not self._stopped:
                self._beating = asyncio.create_task(self._beat())
        return line

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            if self._publishing is None:  # else it would be told late, and perhaps often
                self._repeat_numbers()

    def _repeat_numbers(self) -> None:
        """Show who listens what was lost, though nothing follows it; end lines that are quiet."""
        for line in [*self._lines.values()]:
            if line.repeated < LIFE:
                line.repeated += 1
                self._waiting.append(Waiting(line, line.number, None))
            else:
                del self._lines[line.address]
        if self._waiting:
            self._send_soon()

    def _send_soon(self) -> Awaitable[None]:
        loop = asyncio.get_running_loop()
        if self._taken is None:
            self._taken = loop.create_future()
        if self._publishing is None:
            self._publishing = loop.create_task(self._send_all())
        return self._taken

    async def _send_all(self) -> None:
        taken = None
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                taken, self._taken = self._taken, None
                for address, batch in _batches(waiting):
                    await self._send(address, batch)
                finish_future(taken)
        finally:
            self._publishing = None
            finish_future(taken)
            finish_future(self._taken)

    async def _send(self, address: str, batch: Batch) -> None:
        text = batch.pack()
        try:
            async with asyncio.timeout(TIMEOUT):
                try:
                    await self._carrier.send(address, text)
                except Exception:
                    # Its connection may have been closed while it was idle. Where it was taken
                    # all the same, the second one's numbers are no news.
                    await self._carrier.send(address, text)
            self._failing = False
        except Exception as fault:
            self._failing = True
            self._lose(len(batch.texts), _name_of(fault))
        self._number -= len(batch.texts)
        self._size -= sum(map(len, batch.texts))

    def _lose(self, number: int, why: str) -> None:
        self.lost += number
        if number:
            self._losses.tell(
                "The broker did not take broadcasts for other processes (%d so far): %s",
                self.lost, why,
            )  # fmt: skip


def make_broker() -> LocalBroker:
    """The broker that `SOCKETS["BROKER"]` names.

    The default is the channel layer "default", where there is one that leaves the process.
    """
    carrier = _make_carrier(get_settings().BROKER)
    return LocalBroker() if carrier is None else Broker(carrier)


def _make_carrier(name: str) -> Carrier | None:
    if name == "local" or (name == "default" and name not in channel_layers):
        return None
    if name in channel_layers:
        in_memory = isinstance(channel_layers[name], InMemoryChannelLayer)
        return None if in_memory else LayerCarrier(name)
    if ":" in name:  # and so, maybe, a password
        from .redis_carrier import RedisCarrier

        return RedisCarrier(name)
    try:
        carrier: Carrier = import_string(name)()
    except ImportError as fault:
        raise DeclarationError(
            f"SOCKETS['BROKER'] is {name!r}, which is neither in CHANNEL_LAYERS nor a class that "
            "can be imported; name a layer, write the URL of a Redis or the dotted path of a "
            "carrier of your own, or 'local' for a project of one process"
        ) from fault
    return carrier


def _name_of(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}"  # not all have a repr that tells more than a type


def _batches(waiting: list[Waiting]) -> Iterator[tuple[str, Batch]]:
    """What waits as few batches. One for everyone and one for an address keep their order."""
    for _, stretch in groupby(waiting, key=lambda one: one.line.address == EVERYONE):
        by_line: dict[Line, list[Waiting]] = {}
        for one in stretch:
            by_line.setdefault(one.line, []).append(one)
        for line, ones in by_line.items():
            for number, texts in _cut(ones):
                yield line.address, Batch(line.id, line.age, number, texts)


def _cut(ones: list[Waiting]) -> Iterator[tuple[int, list[str]]]:
    """The texts that may go together, as their numbers follow each other; and the first number."""
    first = ones[0].number
    texts: list[str] = []
    size = 0
    for _, number, text in ones:
        length = len(text or "")
        if number != first + len(texts) or (texts and size + length > BATCH):
            yield first, texts
            first, texts, size = number, [], 0
        if text is not None:
            texts.append(text)
            size += length
    yield first, texts
