"""Giving a server the events of one connection in turn, whether it takes them or not."""

import asyncio

import pytest

from sockets import writer

from .conftest import until
from .test_outbox import ACCEPT, Server, make_outbox


@pytest.fixture
async def server():
    return Server()


@pytest.fixture
async def outbox(server):
    return make_outbox(server)


async def test_a_client_that_reads_costs_no_task(server, outbox):
    outbox.open(ACCEPT)
    tasks = asyncio.all_tasks()
    for text in "abc":
        outbox.send(text)
    assert server.sent[1:] == ["a", "b", "c"]
    assert asyncio.all_tasks() == tasks


@pytest.mark.parametrize("blocked", [False, True])
async def test_a_close_code_that_the_server_refuses_is_sent_as_1000(server, outbox, blocked):
    outbox.open(ACCEPT)
    if blocked:
        server.reads.clear()
        outbox.send("a")
    outbox.close(1012, "")
    server.reads.set()
    await outbox.stop(1)
    assert server.sent[-1] == 1000


async def test_a_client_that_is_gone_is_no_fault(server, outbox):
    outbox.open(ACCEPT)
    server.gone = True
    await outbox.send("a")
    await outbox.send("b")
    outbox.close(1000, "")
    assert outbox.closed
    assert server.sent == ["websocket.accept"]


async def test_abandoning_ends_those_who_wait(server, outbox):
    outbox.open(ACCEPT)
    server.reads.clear()
    outbox.send("blocked")
    waiter = asyncio.ensure_future(outbox.send("x" * 100))
    await asyncio.sleep(0.01)
    outbox.abandon()
    await asyncio.wait_for(waiter, 1)
    await until(lambda: outbox.writing is None)
    assert not outbox.full


async def test_a_server_that_refuses_a_frame_ends_the_connection(server, outbox):
    outbox.open(ACCEPT)
    refuse = server.send

    async def send(event):
        if event["type"] == "websocket.send":
            raise RuntimeError("no")
        await refuse(event)

    outbox._send = send
    outbox.send("a")
    assert server.sent[-1] == 4500


async def test_what_is_sent_just_as_the_client_has_caught_up_does_not_stay_behind(server, outbox):
    outbox.open(ACCEPT)
    server.reads.clear()
    outbox.send("blocked")
    outbox.send("last")
    take = server.send

    async def send(event):
        await take(event)
        if event.get("text") == "last":
            asyncio.get_running_loop().call_soon(outbox.send, "late")

    outbox._send = send
    server.reads.set()
    await until(lambda: server.sent[-1] == "late")
    outbox.send("later")
    assert server.sent[1:] == ["blocked", "last", "late", "later"]


async def test_a_client_that_takes_nothing_for_too_long_is_stuck(server, outbox):
    now = asyncio.get_running_loop().time()
    outbox.open(ACCEPT)
    assert not outbox.is_stuck(now + 1000)
    server.reads.clear()
    outbox.send("blocked")
    assert not outbox.is_stuck(now + writer.WRITE_DEADLINE - 1)
    assert outbox.is_stuck(now + writer.WRITE_DEADLINE + 1)
    outbox.send("next")
    server.reads.set()
    await until(lambda: server.sent[-1] == "next")
    await until(lambda: outbox.writing is None)
    assert not outbox.is_stuck(now + 1000)


async def test_each_frame_that_a_client_takes_gives_it_time(server, outbox, monkeypatch):
    outbox.open(ACCEPT)
    take, gate = server.send, asyncio.Semaphore(0)

    async def send(event):
        await gate.acquire()
        await take(event)

    outbox._send = send
    monkeypatch.setattr(writer, "WRITE_DEADLINE", 0.05)
    for text in "abc":
        outbox.send(text)
    await asyncio.sleep(0.06)
    assert outbox.is_stuck(outbox._loop.time())
    gate.release()
    await until(lambda: server.sent[-1] == "a")
    assert not outbox.is_stuck(outbox._loop.time())
    outbox.abandon()
