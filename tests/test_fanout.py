"""Bringing what is sent to many to their outboxes, a slice of it in each step of the loop."""

import asyncio
from itertools import pairwise
from typing import ClassVar

import pytest

from sockets import RoutedSocketHandler, fanout, groups
from sockets.backlog import broadcast_of
from sockets.fanout import SLICE, FanOut
from sockets.hub import Hub

from .conftest import until
from .test_outbox import ACCEPT, Server, make_outbox


class Room:
    """Outboxes of clients, and in which step of the loop each frame was written."""

    def __init__(self, size, max_bytes=1000):
        self.fan_out = FanOut(asyncio.get_running_loop())
        self.servers = [Server() for _ in range(size)]
        self.outboxes = [make_outbox(server, max_bytes=max_bytes) for server in self.servers]
        for outbox in self.outboxes:
            outbox.open(ACCEPT)

    def send(self, text):
        parcel = broadcast_of(text)
        for outbox in self.outboxes:
            self.fan_out.deliver(outbox, parcel)

    @property
    def written(self):
        return sum(len(server.sent) - 1 for server in self.servers)

    def texts(self):
        """What each client was sent, where all were sent the same."""
        [texts] = {tuple(server.sent[1:]) for server in self.servers}
        return list(texts)


async def test_a_small_room_is_written_to_at_once():
    room = Room(SLICE)
    room.send("a")
    assert room.texts() == ["a"]


@pytest.mark.parametrize(("size", "sends"), [(1000, 1), (100, 30), (3 * SLICE, 2)])
async def test_no_step_of_the_loop_writes_more_than_a_slice(size, sends):
    room = Room(size)
    counts = [0]

    def count():
        counts.append(room.written)
        if room.written < size * sends:
            asyncio.get_running_loop().call_soon(count)

    for number in range(sends):
        room.send(f"{number}")
    count()
    await until(lambda: room.written == size * sends)
    count()
    assert max(after - before for before, after in pairwise(counts)) <= SLICE
    assert room.texts() == [f"{number}" for number in range(sends)]


async def test_the_order_of_the_sends_is_kept_for_every_client():
    room = Room(3 * SLICE)
    for number in range(5):
        room.send(f"all {number}")
        for outbox in room.outboxes:
            outbox.send(f"own {number}")
        await asyncio.sleep(0)
    await until(lambda: room.written == 10 * len(room.outboxes))
    assert room.texts() == [f"{who} {number}" for number in range(5) for who in ("all", "own")]


async def test_a_closing_comes_after_what_was_sent_before():
    room = Room(2 * SLICE)
    room.send("a")
    for outbox in room.outboxes:
        outbox.close(4000, "")
    room.send("never")
    await until(lambda: room.written == 2 * len(room.outboxes))
    assert room.texts() == ["a", 4000]


async def test_a_client_that_does_not_read_delays_no_other():
    room = Room(3 * SLICE)
    blocked = room.servers[:: len(room.servers) // 6]
    for server in blocked:
        server.reads.clear()
    for number in range(3):
        room.send(f"{number}")
    others = [server for server in room.servers if server not in blocked]
    await until(lambda: all(len(server.sent) == 4 for server in others))
    assert all(len(server.sent) == 1 for server in blocked)
    for server in blocked:
        server.reads.set()
    await until(lambda: all(len(server.sent) == 4 for server in blocked))
    assert room.texts() == ["0", "1", "2"]


async def test_who_leaves_while_frames_are_held_is_sent_no_more():
    room = Room(2 * SLICE)
    room.send("a")
    room.outboxes[-1].abandon()
    await until(lambda: room.written == len(room.outboxes) - 1)
    await asyncio.sleep(0.01)
    assert room.servers[-1].sent == ["websocket.accept"]


async def test_a_burst_that_never_waits_keeps_to_the_limits_and_loses_nothing():
    room = Room(SLICE + 10, max_bytes=10)
    for number in range(50):
        room.send(f"{number:09}")
        assert all(outbox._backlog.bytes <= 20 for outbox in room.outboxes)
    await until(lambda: room.written == 50 * len(room.outboxes))
    assert room.texts() == [f"{number:09}" for number in range(50)]


async def test_what_is_dropped_is_counted_and_logged_now_and_then(caplog):
    room = Room(2)
    slow = make_outbox(room.servers[0], max_frames=2, lagged=lambda missed: None)
    slow.open(ACCEPT)
    room.servers[0].reads.clear()
    for number in range(20):
        room.fan_out.deliver(slow, broadcast_of(f"{number}"))
    slow.abandon()
    assert room.fan_out.dropped == 16
    assert [record.levelname for record in caplog.records] == ["WARNING"]


# Through handlers


class Listening(RoutedSocketHandler):
    codes: ClassVar[list] = []

    async def connect(self):
        self.join("red")

    def disconnect(self, code):
        self.codes.append(code)

    async def on_all(self, content):
        for number in range(content["times"]):
            await groups.asend_json("red", number)
        await self.send_json("done")

    routes = (("ALL", "on_all"),)


@pytest.fixture
async def crowd():
    """The servers' ends of 300 connections in a group."""
    Listening.codes.clear()
    servers = [Server() for _ in range(300)]
    running = [asyncio.create_task(server.run(Listening)) for server in servers]
    await until(lambda: all(server.sent for server in servers))
    yield servers
    for server in servers:
        server.reads.set()
        server.leave()
    await asyncio.wait_for(asyncio.gather(*running), 10)


@pytest.mark.parametrize("times", [1, 300])
async def test_a_handlers_own_send_comes_after_its_broadcasts(crowd, times):
    crowd[-1].say(f'{{"type":"ALL","times":{times}}}')
    numbers = [f"{number}" for number in range(times)]
    await until(lambda: all(len(server.sent) > times for server in crowd), timeout=10)
    await until(lambda: crowd[-1].sent[-1] == '"done"')
    assert crowd[-1].sent[1:] == [*numbers, '"done"']
    assert {tuple(server.sent[1:]) for server in crowd[:-1]} == {tuple(numbers)}
    assert not Listening.codes


async def test_five_thousand_broadcasts_in_one_handler_reach_all_who_read(crowd):
    for server in crowd[10:]:
        server.leave()
    await until(lambda: len(list(Hub.current().members)) == 10)
    crowd[0].say('{"type":"ALL","times":5000}')
    await until(lambda: all(len(server.sent) > 5000 for server in crowd[:10]), timeout=10)
    assert crowd[9].sent[1:] == [f"{number}" for number in range(5000)]
    assert set(Listening.codes) <= {1001}


async def test_a_step_keeps_nothing_of_those_who_sent_alive(monkeypatch):
    monkeypatch.setattr(fanout, "SLICE", 1)
    room = Room(3)
    room.fan_out._left = 1
    room.send("a")
    assert not list(room.fan_out._context)
    await until(lambda: room.written == 3)
