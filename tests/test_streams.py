"""Sending what a generator yields as the parts of one answer."""

import asyncio
import json
import threading
import time
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection, transaction

from sockets import SocketError, SocketRouter, handlers, hub

from .clients import client_of
from .conftest import until
from .test_outbox import Server

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


@pytest.mark.parametrize("concurrent", [False, True])
async def test_the_cleanup_after_a_cancel_is_not_interrupted_by_a_disconnect(concurrent):
    cleaned = []
    router = SocketRouter()

    @router.route("GO", concurrent=concurrent)
    async def on_go(socket):
        try:
            yield 1
            await asyncio.sleep(5)
        finally:
            await asyncio.sleep(0.1)
            cleaned.append(True)

    async with client_of(router) as client:
        await client.ask({"type": "GO", "ref": 1})
        assert (await client.ask({"type": "CANCEL", "ref": 1}))["status"] == 499
        assert not cleaned
    assert cleaned


async def test_a_cleanup_that_does_not_end_is_cancelled_a_grace_after_the_disconnect(monkeypatch):
    monkeypatch.setattr(handlers, "GRACE", 0.1)
    given_up = []
    router = SocketRouter()

    @router.route("GO")
    async def on_go(socket):
        try:
            yield 1
            await asyncio.sleep(5)
        finally:
            try:
                await asyncio.sleep(5)
            finally:
                given_up.append(time.monotonic())

    async with client_of(router) as client:
        await client.ask({"type": "GO", "ref": 1})
        assert (await client.ask({"type": "CANCEL", "ref": 1}))["status"] == 499
        left = time.monotonic()
    await until(lambda: given_up)
    assert 0.1 <= given_up[0] - left < 1


@pytest.mark.parametrize("concurrent", [False, True])
async def test_a_fault_in_the_cleanup_of_a_cancelled_stream_is_logged(concurrent, caplog):
    router = SocketRouter()

    @router.route("GO", concurrent=concurrent)
    async def on_go(socket):
        try:
            yield 1
            await asyncio.sleep(5)
        finally:
            raise OSError("the model is gone")

    async with client_of(router) as client:
        await client.ask({"type": "GO", "ref": 1})
        assert (await client.ask({"type": "CANCEL", "ref": 1}))["status"] == 499
        await until(lambda: "'GO' of user None at '/' failed" in caplog.text)
        assert await client.receive_nothing(0.02)
    assert "the model is gone" in caplog.text


@COLOURS
async def test_what_a_generator_has_opened_is_closed_from_the_inside_out(colour):
    order = []
    router = SocketRouter()

    class Resource:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            return self

        def __exit__(self, *fault):
            order.append(self.name)

        async def __aenter__(self):
            return self

        async def __aexit__(self, *fault):
            await asyncio.sleep(0.01)
            order.append(self.name)

    def tokens():
        with Resource("inner"):
            while True:
                yield 1

    async def atokens():
        async with Resource("inner"):
            while True:
                yield 1
                await asyncio.sleep(0)

    if colour == "def":

        @router.route("GO")
        def on_go(socket):
            with Resource("outer"):
                yield from tokens()

    else:

        @router.route("GO")
        async def on_go(socket):
            async with Resource("outer"), aclosing(atokens()) as items:
                async for item in items:
                    yield item

    async with client_of(router) as client:
        await client.ask({"type": "GO", "ref": 1})
        await client.send_json_to({"type": "CANCEL", "ref": 1})
        await until(lambda: order == ["inner", "outer"])


@COLOURS
async def test_a_generator_has_one_context_and_an_async_one_has_one_task(colour):
    depth, tasks, reset = ContextVar("depth", default=0), set(), []
    router = SocketRouter()

    if colour == "def":

        @router.route("GO")
        def on_go(socket):
            token = depth.set(1)
            try:
                while True:
                    yield depth.get()
            finally:
                depth.reset(token)  # an error in any other context
                reset.append(depth.get())

    else:

        @router.route("GO")
        async def on_go(socket):
            token = depth.set(1)
            try:
                while True:
                    tasks.add(asyncio.current_task())
                    yield depth.get()
            finally:
                tasks.add(asyncio.current_task())
                depth.reset(token)
                reset.append(depth.get())

    async with client_of(router) as client:
        for _ in range(2):
            await client.send_json_to({"type": "GO", "ref": 1})
            assert (await client.receive_json_from())["data"] == 1
            await client.send_json_to({"type": "CANCEL", "ref": 1})
            while (await client.receive_json_from())["status"] == 206:
                pass
            await until(lambda: reset == [0])
            assert len(tasks) == (colour == "async def")
            tasks.clear()
            reset.clear()


@COLOURS
async def test_an_item_that_cannot_be_sent_ends_the_stream(colour, caplog):
    closed = []
    router = SocketRouter()

    if colour == "def":

        @router.route("GO")
        def on_go(socket):
            try:
                yield 1
                yield object()
            finally:
                closed.append(threading.current_thread().name)

    else:

        @router.route("GO")
        async def on_go(socket):
            try:
                yield 1
                yield object()
            finally:
                closed.append(threading.current_thread().name)

    async with client_of(router) as client:
        assert (await client.ask({"type": "GO", "ref": 1}))["data"] == 1
        error = await client.receive_json_from()
        assert (error["type"], error["status"], error["ref"]) == ("ERROR", 500, 1)
        assert await client.receive_nothing()
    assert len(closed) == 1
    assert ("sockets-lane" in closed[0]) == (colour == "def")
    assert "got a builtins.object" in caplog.text


async def test_what_a_generator_returns_is_not_sent_and_the_log_says_so(caplog):
    router = SocketRouter()

    @router.route("GO")
    def on_go(socket):
        yield 1
        return {"total": 1}

    async with client_of(router) as client:
        await client.ask({"type": "GO", "ref": 1})
        assert await client.receive_json_from() == {"type": "GO", "ref": 1, "status": 200}
    assert "on_go: expected a generator to return nothing, got a dict" in caplog.text


@COLOURS
async def test_an_empty_stream_is_its_end(colour):
    router, closed = counting(colour)
    async with client_of(router) as client:
        answer = await client.ask({"type": "COUNT", "ref": 1, "to": 0})
        assert answer == {"type": "COUNT", "ref": 1, "status": 200}
    assert len(closed) == 1


# What a function returns


async def test_a_function_that_returns_a_generator_keeps_its_place_in_the_order():
    router = SocketRouter()

    async def parts():
        for number in range(3):
            yield number
            await asyncio.sleep(0.01)

    @router.route("GO")
    async def on_go(socket):
        return parts()

    router.route("NEXT")(lambda socket: "next")
    async with client_of(router) as client:
        await client.send_json_to({"type": "GO", "ref": 1})
        await client.send_json_to({"type": "NEXT", "ref": 2})
        assert [(await client.receive_json_from())["ref"] for _ in range(5)] == [1, 1, 1, 1, 2]


async def test_a_collection_is_no_stream():
    router = SocketRouter()
    router.route("GO")(lambda socket: [1, 2])
    async with client_of(router) as client:
        assert (await client.ask({"type": "GO", "ref": 1}))["data"] == [1, 2]


async def test_an_async_iterator_must_be_yielded_from(caplog):
    class Tokens:
        def __init__(self):
            self.left = ["Once", "upon"]

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

    router = SocketRouter()
    router.route("RETURN")(lambda socket: Tokens())

    @router.route("YIELD")
    async def on_yield(socket):
        async for token in Tokens():
            yield token

    async with client_of(router) as client:
        assert (await client.ask({"type": "RETURN", "ref": 1}))["status"] == 500
        assert "Tokens" in caplog.text
        await client.send_json_to({"type": "YIELD", "ref": 2})
        parts = [await client.receive_json_from() for _ in range(3)]
        assert [part.get("data") for part in parts] == ["Once", "upon", None]


# Order and refs


@COLOURS
async def test_a_ref_is_in_use_while_its_stream_runs_and_free_once_it_is_cancelled(colour):
    router, closed = counting(colour, pause=0.05)
    async with client_of(router) as client:
        await client.ask({"type": "COUNT", "ref": 1, "to": 100})
        await client.send_json_to({"type": "NEXT", "ref": 1})
        while (frame := await client.receive_json_from())["status"] == 206:
            pass
        assert frame["status"] == 409
        await client.send_json_to({"type": "CANCEL", "ref": 1})
        await client.send_json_to({"type": "NEXT", "ref": 1})
        while (frame := await client.receive_json_from())["status"] == 206:
            pass
        assert frame["status"] == 499
        # The first generator may still be at its clean-up: nothing of it is seen any more.
        assert await client.receive_json_from() == {
            "type": "NEXT",
            "ref": 1,
            "status": 200,
            "data": "next",
        }
        await until(lambda: closed)
        assert await client.receive_nothing()


async def test_streams_run_side_by_side_and_each_keeps_its_own_order():
    router, _ = counting("async def", pause=0.001)
    async with client_of(router) as client:
        for ref in range(5):
            await client.send_json_to({"type": "COUNT", "ref": ref, "to": 10})
        frames = [await client.receive_json_from() for _ in range(5 * 11)]
    for ref in range(5):
        parts = [frame for frame in frames if frame["ref"] == ref]
        assert [part.get("data") for part in parts] == [*range(10), None]


async def test_a_cancelled_stream_that_waits_for_its_turn_is_never_begun():
    begun = []
    router = SocketRouter()

    @router.route("GO", concurrent=False)
    async def on_go(socket, ref):
        begun.append(ref)
        yield ref
        await asyncio.sleep(5)

    async with client_of(router) as client:
        await client.ask({"type": "GO", "ref": 1})
        await client.send_json_to({"type": "GO", "ref": 2})
        assert (await client.ask({"type": "CANCEL", "ref": 2}))["ref"] == 2
        assert (await client.ask({"type": "CANCEL", "ref": 1}))["ref"] == 1
        assert (await client.ask({"type": "GO", "ref": 3}))["status"] == 206
    assert begun == [1, 3]


# Threads and transactions


async def test_a_quick_sync_generator_lets_others_run(settings):
    settings.SOCKETS = {"LANES": 1}
    router = SocketRouter()

    @router.route("FOREVER")
    def on_forever(socket):
        while True:
            yield None

    router.route("NEXT")(lambda socket: "next")
    async with client_of(router) as busy, client_of(router) as other:
        await busy.send_json_to({"type": "FOREVER", "ref": 1})
        for ref in range(5):
            assert (await other.ask({"type": "NEXT", "ref": ref}))["data"] == "next"
        await busy.send_json_to({"type": "CANCEL", "ref": 1})


@pytest.mark.parametrize("concurrent", [False, True])
async def test_a_thread_that_outlives_everything_still_closes_its_generator(
    concurrent, monkeypatch
):
    monkeypatch.setattr(handlers, "GRACE", 0.05)
    monkeypatch.setattr(hub, "GRACE", 0.05)
    gate, closed = threading.Event(), []
    router = SocketRouter()

    @router.route("GO", concurrent=concurrent)
    def on_go(socket):
        try:
            yield 1
            gate.wait(5)
            yield 2
        finally:
            closed.append(threading.current_thread().name)

    async with client_of(router) as client:
        await client.ask({"type": "GO", "ref": 1})
        await asyncio.sleep(0.02)
    assert not closed
    gate.set()
    await until(lambda: closed)
    assert "sockets-lane" in closed[0]


async def test_a_generator_is_closed_though_no_thread_is_free_for_it_in_time(settings):
    settings.SOCKETS = {"LANES": 1, "LANE_WAIT": 0.05}
    gate = threading.Event()
    router, closed = counting("def", pause=0.001)
    router.route("BLOCK")(lambda socket: gate.wait(5))
    async with client_of(router) as client, client_of(router) as other:
        await client.ask({"type": "COUNT", "ref": 1, "to": 10**6})
        await other.send_json_to({"type": "BLOCK", "ref": 1})
        await asyncio.sleep(0.2)  # neither for its next item nor for its end is a thread free
        assert not closed
        gate.set()
        while (frame := await client.receive_json_from())["status"] == 206:
            pass
        assert frame["status"] == 503
    assert len(closed) == 1
    assert "sockets-lane" in closed[0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("closing_connections")
async def test_a_yield_in_a_transaction_is_refused_and_rolled_back(caplog):
    router = SocketRouter()

    @router.route("GO")
    def on_go(socket):
        User.objects.create(username="before")
        yield 1
        with transaction.atomic():
            User.objects.create(username="within")
            yield 2

    @router.route("NEXT")
    def on_next(socket):
        return connection.in_atomic_block

    async with client_of(router) as client:
        assert (await client.ask({"type": "GO", "ref": 1}))["data"] == 1
        error = await client.receive_json_from()
        assert (error["status"], error["ref"]) == (500, 1)
        assert (await client.ask({"type": "NEXT", "ref": 2}))["data"] is False
    assert "on_go: expected a yield outside of transaction.atomic()" in caplog.text
    assert await sync_to_async(lambda: [user.username for user in User.objects.all()])() == [
        "before"
    ]


# Clients that read slowly


def pouring(colour, **options):
    """A router whose POUR yields for ever; what it made, and how it was closed."""
    router = SocketRouter(outbox_bytes=1000)
    made, closed = [], []

    if colour == "def":

        @router.route("POUR", **options)
        def on_pour(socket):
            try:
                while True:
                    made.append(socket)
                    yield "x" * 200
            finally:
                closed.append(threading.current_thread().name)

    else:

        @router.route("POUR", **options)
        async def on_pour(socket):
            try:
                while True:
                    made.append(socket)
                    yield "x" * 200
            finally:
                closed.append(threading.current_thread().name)

    router.route("NEXT")(lambda socket: "next")
    return router, made, closed


@asynccontextmanager
async def stalled(router, made):
    """The server's end of a connection whose client has stopped reading what POUR sends."""
    server = Server()
    running = asyncio.create_task(server.run(router.Handler))
    await until(lambda: server.sent)
    server.reads.clear()
    server.say('{"type":"POUR","ref":1}')
    await until(lambda: made)
    before = 0
    while before < len(made):
        before = len(made)
        await asyncio.sleep(0.05)
    yield server
    server.reads.set()
    server.leave()
    await asyncio.wait_for(running, 5)


@COLOURS
async def test_a_slow_client_holds_its_generator(colour):
    router, made, closed = pouring(colour)
    async with stalled(router, made) as server:
        assert len(made) < 10
        server.reads.set()
        await until(lambda: len(made) > 100)
    assert len(closed) == 1


async def test_a_generator_whose_client_is_slow_keeps_no_thread(settings):
    settings.SOCKETS = {"LANES": 1}
    router, made, _ = pouring("def")
    async with stalled(router, made), client_of(router) as other:
        assert (await other.ask({"type": "NEXT", "ref": 1}))["data"] == "next"


ENDS = {"CANCEL": 499, "a time-out": 504, "a close": None, "a disconnect": None}


@COLOURS
@pytest.mark.parametrize("ended_by", ENDS)
async def test_a_generator_that_waits_for_its_client_is_closed(colour, ended_by, monkeypatch):
    monkeypatch.setattr(handlers, "GRACE", 0.1)
    options = {"timeout": 0.3} if ended_by == "a time-out" else {}
    router, made, closed = pouring(colour, **options)
    async with stalled(router, made) as server:
        if ended_by == "CANCEL":
            server.say('{"type":"CANCEL","ref":1}')
        elif ended_by == "a close":
            made[0].close(4000)
        elif ended_by == "a disconnect":
            server.leave()
        await until(lambda: closed)
        if status := ENDS[ended_by]:
            server.reads.set()
            await until(lambda: f'"status":{status}' in str(server.sent[-1]))
            *parts, error = map(json.loads, server.sent[1:])
            assert {part["status"] for part in parts} == {206}
            assert (error["type"], error["ref"]) == ("ERROR", 1)
    assert len(closed) == 1
    assert ("sockets-lane" in closed[0]) == (colour == "def")
