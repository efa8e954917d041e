"""Looking after the members of one event loop: who is not heard any more, who takes nothing."""

import asyncio
from math import inf

import pytest

from sockets import RoutedSocketHandler, heartbeat, member, writer
from sockets.hub import Hub
from sockets.protocols.native import Native

from .clients import client_of, frames_of
from .conftest import until
from .test_outbox import Server


class Tab(RoutedSocketHandler):
    async def on_now(self):
        return None

    routes = (("NOW", "on_now"),)


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """What takes seconds takes hundredths of them."""
    monkeypatch.setattr(heartbeat, "EVERY", 0.01)
    monkeypatch.setattr(member, "SILENCE", 0.1)
    monkeypatch.setattr(member, "PATIENCE", 0.1)


async def greeted(client):
    await client.send_json_to({"type": "HELLO"})
    assert (await client.receive_json_from())["type"] == "GOT_HELLO"


@pytest.mark.parametrize("type", ["HELLO", "PING"])
async def test_who_showed_that_it_answers_is_asked_when_it_is_silent(type):
    async with client_of(Tab) as client:
        await client.send_json_to({"type": type})
        if type == "HELLO":
            await client.receive_json_from()
        began = asyncio.get_running_loop().time()
        assert await client.receive_json_from() == {"type": "PING"}
        assert asyncio.get_running_loop().time() - began >= 0.1


@pytest.mark.parametrize("answer", ['{"type": "PING"}', '{"type": "CANCEL"}', "not even JSON"])
async def test_any_frame_is_an_answer(answer):
    async with client_of(Tab) as client:
        await greeted(client)
        for _ in range(3):
            assert await client.receive_json_from() == {"type": "PING"}
            await client.send_to(answer)
            if answer == "not even JSON":
                assert (await client.receive_json_from())["status"] == 400


async def test_who_does_not_answer_is_closed():
    async with client_of(Tab) as client:
        await greeted(client)
        assert await client.receive_json_from() == {"type": "PING"}
        began = asyncio.get_running_loop().time()
        assert await client.next_close() == 4508
        assert asyncio.get_running_loop().time() - began >= 0.09


async def test_who_speaks_is_not_asked():
    async with client_of(Tab) as client:
        await greeted(client)
        for _ in range(10):
            await asyncio.sleep(0.04)
            assert await frames_of(client) == []


class OwnPing(Tab):
    """Its clients' PING is a message, and what they make of ours is not known."""

    async def on_ping(self):
        return "PONG"

    routes = (*Tab.routes, ("PING", "on_ping"))


class Mute(Native):
    def ping(self):
        return None


class MuteTab(Tab):
    protocols = (Mute(),)


@pytest.mark.parametrize(
    ("handler", "says"),
    [(Tab, []), (Tab, ["NOW"]), (OwnPing, ["PING", "HELLO"]), (MuteTab, ["HELLO"])],
)
async def test_nobody_else_is_asked_or_closed(handler, says):
    async with client_of(handler) as client:
        for type in says:
            await client.send_json_to({"type": type})
        await frames_of(client)
        await asyncio.sleep(0.4)
        assert await frames_of(client) == []


async def test_what_is_due_sooner_than_the_next_look_is_looked_at_in_time(monkeypatch):
    monkeypatch.setattr(heartbeat, "EVERY", 60)
    async with client_of(Tab) as client:
        [one] = Hub.current().members
        one.probe(0.05)
        one.probe(60)
        assert await client.receive_json_from() == {"type": "PING"}
        assert await client.receive_json_from() == {"type": "PING"}
        assert await client.next_close() == 4508


async def test_who_is_closed_is_looked_at_no_more_often_than_others():
    async with client_of(Tab) as client:
        [one] = Hub.current().members
        one.probe(0)
        assert one.look(asyncio.get_running_loop().time()) == inf
        assert await client.receive_json_from() == {"type": "PING"}
        assert await client.next_close() == 4508


async def test_a_look_that_fails_stops_no_other(caplog):
    async with client_of(Tab) as broken, client_of(Tab) as client:
        [one, _] = Hub.current().members
        one.outbox = None
        await greeted(client)
        assert await client.receive_json_from() == {"type": "PING"}
        assert str(one.id) in caplog.text
        one.outbox = one._socket._outbox
        assert await frames_of(broken) == []


async def test_a_client_that_takes_nothing_while_its_handler_waits_is_closed(monkeypatch):
    monkeypatch.setattr(writer, "WRITE_DEADLINE", 0.1)
    codes, progress = [], []

    class Pouring(RoutedSocketHandler):
        outbox_bytes = 1000
        routes = (("POUR", "on_pour"),)

        async def on_pour(self):
            for _ in range(20):
                await self.send_json("x" * 200)
                progress.append(1)

        def disconnect(self, code):
            codes.append(code)

    server = Server()
    running = asyncio.create_task(server.run(Pouring))
    await until(lambda: server.sent)
    server.reads.clear()
    server.say('{"type":"POUR"}')
    await until(lambda: progress)
    [one] = Hub.current().members
    await asyncio.wait_for(running, 5)
    assert codes == [4513]
    assert not one.outbox._backlog.parcels


async def test_a_client_that_takes_a_little_now_and_then_stays(monkeypatch):
    monkeypatch.setattr(writer, "WRITE_DEADLINE", 0.2)
    server = Server()
    gate, take = asyncio.Semaphore(1), server.send

    async def send(event):
        await gate.acquire()
        await take(event)

    server.send = send
    running = asyncio.create_task(server.run(Tab))
    await until(lambda: server.sent)
    [one] = Hub.current().members
    for _ in range(5):
        one.outbox.send("x")
    for _ in range(5):
        await asyncio.sleep(0.1)
        gate.release()
    await until(lambda: len(server.sent) == 6)
    gate.release()
    server.leave()
    await asyncio.wait_for(running, 5)
    assert server.sent[1:] == ["x"] * 5
