"""Sending what a generator yields as the parts of one answer."""

import asyncio
import threading
import time

import pytest

from sockets import SocketError, SocketRouter

from .clients import client_of
from .conftest import until

COLOURS = pytest.mark.parametrize("colour", ["def", "async def"])


def counting(colour, pause=0.0):
    """A router whose COUNT yields numbers and notes how it was closed."""
    router = SocketRouter()
    closed = []

    if colour == "def":

        @router.route("COUNT")
        def on_count(socket, content):
            try:
                for number in range(content["to"]):
                    yield number
                    time.sleep(pause)
            finally:
                closed.append(threading.current_thread().name)

    else:

        @router.route("COUNT")
        async def on_count(socket, content):
            try:
                for number in range(content["to"]):
                    yield number
                    await asyncio.sleep(pause)
            finally:
                closed.append(threading.current_thread().name)

    router.route("NEXT")(lambda socket: "next")
    return router, closed


@COLOURS
async def test_each_item_is_a_part_and_then_comes_the_end(colour):
    router, closed = counting(colour)
    async with client_of(router) as client:
        await client.send_json_to({"type": "COUNT", "ref": 1, "to": 2})
        frames = [await client.receive_json_from() for _ in range(3)]
        assert frames == [
            {"type": "COUNT", "ref": 1, "status": 206, "data": 0},
            {"type": "COUNT", "ref": 1, "status": 206, "data": 1},
            {"type": "COUNT", "ref": 1, "status": 200},
        ]
        assert await client.receive_nothing()
    assert len(closed) == 1


@COLOURS
async def test_without_a_ref_there_is_no_end(colour):
    router, _ = counting(colour)
    async with client_of(router) as client:
        assert await client.ask({"type": "COUNT", "to": 1}) == {
            "type": "COUNT",
            "status": 206,
            "data": 0,
        }
        assert await client.receive_nothing()


@COLOURS
async def test_streams_are_concurrent_unless_told_otherwise(colour):
    router, _ = counting(colour, pause=0.05)
    async with client_of(router) as client:
        await client.ask({"type": "COUNT", "ref": 1, "to": 100})
        await client.send_json_to({"type": "NEXT", "ref": 2})
        await until_ref(client, 2)


async def until_ref(client, ref):
    async with asyncio.timeout(1):
        while (await client.receive_json_from())["ref"] != ref:
            pass


async def test_an_ordered_stream_keeps_the_order():
    router = SocketRouter()

    @router.route("COUNT", concurrent=False)
    async def on_count(socket):
        for number in range(3):
            yield number
            await asyncio.sleep(0.01)

    router.route("NEXT")(lambda socket: "next")
    async with client_of(router) as client:
        await client.send_json_to({"type": "COUNT", "ref": 1})
        await client.send_json_to({"type": "NEXT", "ref": 2})
        assert [(await client.receive_json_from())["ref"] for _ in range(5)] == [1, 1, 1, 1, 2]


@COLOURS
async def test_cancel_closes_the_generator_in_its_own_colour(colour):
    router, closed = counting(colour, pause=0.02)
    async with client_of(router) as client:
        await client.ask({"type": "COUNT", "ref": 1, "to": 1000})
        await client.send_json_to({"type": "CANCEL", "ref": 1})
        async with asyncio.timeout(1):
            while (frame := await client.receive_json_from())["status"] == 206:
                pass
        assert frame["status"] == 499
        await until(lambda: closed, timeout=0.2)
        assert await client.receive_nothing()
        assert (await client.ask({"type": "NEXT", "ref": 2}))["data"] == "next"
    assert ("sockets-lane" in closed[0]) == (colour == "def")


@COLOURS
async def test_a_client_that_leaves_closes_the_generator(colour):
    router, closed = counting(colour, pause=0.02)
    async with client_of(router) as client:
        await client.ask({"type": "COUNT", "ref": 1, "to": 1000})
    assert len(closed) == 1
    assert ("sockets-lane" in closed[0]) == (colour == "def")


@COLOURS
async def test_a_fault_in_a_stream_ends_it_with_an_error(colour):
    router = SocketRouter()

    if colour == "def":

        @router.route("GO")
        def on_go(socket):
            yield 1
            raise SocketError("No more.", status=410)

    else:

        @router.route("GO")
        async def on_go(socket):
            yield 1
            raise SocketError("No more.", status=410)

    async with client_of(router) as client:
        assert (await client.ask({"type": "GO", "ref": 1}))["status"] == 206
        assert (await client.receive_json_from())["status"] == 410
        assert await client.receive_nothing()


async def test_a_generator_that_a_function_returns_is_streamed_too():
    router = SocketRouter()
    router.route("GO")(lambda socket: (number for number in range(2)))
    async with client_of(router) as client:
        await client.send_json_to({"type": "GO", "ref": 1})
        assert [(await client.receive_json_from())["status"] for _ in range(3)] == [206, 206, 200]


async def test_an_endless_generator_lets_others_run():
    router = SocketRouter()

    @router.route("FOREVER")
    async def on_forever(socket):
        while True:
            yield None

    router.route("NEXT")(lambda socket: "next")
    async with client_of(router) as busy, client_of(router) as other:
        await busy.send_json_to({"type": "FOREVER", "ref": 1})
        assert (await other.ask({"type": "NEXT", "ref": 1}))["data"] == "next"
        await busy.send_json_to({"type": "CANCEL", "ref": 1})


async def test_a_stream_cancelled_twice_still_closes_its_generator():
    closed = []
    router = SocketRouter()

    @router.route("COUNT")
    def on_count(socket):
        try:
            for number in range(100):
                yield number
                time.sleep(0.1)
        finally:
            closed.append(threading.current_thread().name)

    async with client_of(router) as client:
        await client.ask({"type": "COUNT", "ref": 1})
        await client.send_json_to({"type": "CANCEL", "ref": 1})
        await asyncio.sleep(0.02)
    await until(lambda: closed)
    assert "sockets-lane" in closed[0]


async def test_an_early_reply_ends_the_stream():
    router = SocketRouter()

    @router.route("GO")
    async def on_go(socket):
        yield 1
        socket.reply("enough")
        yield 2

    async with client_of(router) as client:
        assert (await client.ask({"type": "GO", "ref": 1}))["status"] == 206
        assert (await client.receive_json_from())["data"] == "enough"
        assert await client.receive_nothing()


async def test_a_generator_that_will_not_be_cancelled_is_closed():
    router = SocketRouter()

    @router.route("GO")
    async def on_go(socket):
        while True:
            try:
                yield 1
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    async with client_of(router) as client:
        await client.ask({"type": "GO", "ref": 1})
        await client.send_json_to({"type": "CANCEL", "ref": 1})
        async with asyncio.timeout(1):
            while (await client.receive_json_from())["status"] == 206:
                pass
        assert await client.receive_nothing()
