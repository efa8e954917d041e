"""What the connections of one event loop share."""

import asyncio
import threading
import uuid
from contextvars import Context

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.layers import BaseChannelLayer

from sockets import RoutedSocketHandler, broadcasts
from sockets import hub as hub_module
from sockets.broadcasts import Broadcast, Event, Target, pack
from sockets.hub import Hub, connection

from .clients import client_of
from .conftest import until


def lane_threads():
    return [t.name for t in threading.enumerate() if "sockets-lane" in t.name and t.is_alive()]


async def test_the_first_connection_begins_a_hub_and_the_last_ends_it():
    async with connection() as (hub, _):
        gate = asyncio.Event()
        task = asyncio.create_task(hold(gate), context=Context())
        await sync_to_async(int)()
        await asyncio.sleep(0)
        assert Hub.current() is hub
        assert hub.connections == 2
    assert Hub.current() is hub
    assert lane_threads()
    gate.set()
    await task
    await until(lambda: not lane_threads())
    assert not Hub._by_loop


async def hold(gate):
    async with connection():
        await gate.wait()


async def test_entering_again_gives_the_same_lane():
    async with connection() as (hub, lane), connection() as again:
        assert again == (hub, lane)
        assert hub.connections == 1


def test_a_hub_whose_loop_was_closed_is_forgotten():
    loop = asyncio.new_event_loop()
    entering = connection()
    loop.run_until_complete(entering.__aenter__())
    loop.close()

    async def later():
        async with connection() as (hub, _):
            assert list(Hub._by_loop.values()) == [hub]

    asyncio.run(later())


def test_beneath_async_to_sync_there_is_no_lane():
    async def where():
        async with connection() as (_, lane):
            assert lane is None
            return await sync_to_async(threading.get_ident)()

    assert async_to_sync(where)() == threading.get_ident()


def test_two_loops_have_hubs_of_their_own():
    async def main():
        async with connection() as (hub, _):
            return hub

    assert asyncio.run(main()) is not asyncio.run(main())


# Broadcasts


class Tab(RoutedSocketHandler):
    async def on_now(self):
        return None

    routes = (("NOW", "on_now"),)


def everyone_at(path, content):
    return Broadcast(Target("path", path), Event.of(content))


async def test_what_another_process_sent_is_brought_to_the_members(monkeypatch):
    text = pack(everyone_at("/a/", 1))
    monkeypatch.setattr(broadcasts, "origin", uuid.uuid4().hex)
    async with client_of(Tab, "/a/") as member, client_of(Tab, "/b/") as other:
        Hub.current()._take(text)
        assert await member.receive_json_from() == 1
        assert (await other.ask({"type": "NOW", "ref": 1}))["status"] == 204


async def test_what_this_process_sent_is_not_brought_twice():
    async with client_of(Tab) as client:
        Hub.current()._take(pack(everyone_at("/", 1)))
        assert (await client.ask({"type": "NOW", "ref": 1}))["status"] == 204


async def test_a_hub_brings_what_threads_send_in_their_order():
    def send():
        for number in range(50):
            hub.deliver(everyone_at("/", number))

    async with client_of(Tab) as client:
        hub = Hub.current()
        await asyncio.to_thread(send)
        assert [await client.receive_json_from() for _ in range(50)] == list(range(50))


async def test_in_the_loops_own_thread_it_is_brought_at_once():
    async with client_of(Tab) as client:
        Hub.current().deliver(everyone_at("/", 1))
        assert client.output_queue.qsize() == 1


def test_the_hub_of_a_closed_loop_gets_nothing():
    loop = asyncio.new_event_loop()
    entering = connection()
    loop.run_until_complete(entering.__aenter__())
    [hub] = Hub.all()
    loop.close()
    assert Hub.all() == []
    hub.lanes.abandon()
    Hub._by_loop.clear()


class Slow(BaseChannelLayer):
    """A layer at which nobody listens before the test lets it."""

    ready = False

    def __init__(self):
        super().__init__()
        self.events = asyncio.Queue()

    async def new_channel(self, prefix="slow"):
        return f"{prefix}.channel"

    async def group_add(self, group, channel):
        while not self.ready:
            await asyncio.sleep(0.01)

    async def group_discard(self, group, channel):
        pass

    async def group_send(self, group, message):
        await self.events.put(message)

    async def receive(self, channel):
        return await self.events.get()


@pytest.fixture
def slow(settings, monkeypatch):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.Slow"}}
    monkeypatch.setattr(Slow, "ready", False)
    return lambda: monkeypatch.setattr(Slow, "ready", True)


async def test_the_first_connection_waits_until_broadcasts_are_heard(slow, monkeypatch):
    monkeypatch.setattr(hub_module, "PATIENCE", 60)
    heard = []

    async def enter():
        async with connection() as (hub, _):
            heard.append(hub._listening.done())

    entering = asyncio.create_task(enter())
    await until(lambda: Hub.all())
    slow()
    await entering
    assert heard == [True]


async def test_a_layer_that_is_away_holds_nobody_up_for_long(slow, monkeypatch):
    monkeypatch.setattr(hub_module, "PATIENCE", 0.05)
    async with client_of(Tab) as client:
        assert not Hub.current()._listening.done()
        assert (await client.ask({"type": "NOW", "ref": 1}))["status"] == 204
