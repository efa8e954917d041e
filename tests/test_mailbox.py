"""The order in which one connection's work happens."""

import asyncio
import threading
import time

import pytest
from django.utils import translation

from sockets import Route, RoutedSocketHandler, SocketRouter
from sockets.protocols.dcrf import DCRF
from sockets.protocols.native import Native

from .clients import Server, client_of
from .conftest import until


async def test_messages_are_handled_in_order_whatever_their_colour_and_cost():
    order = []
    router = SocketRouter()

    @router.route("SLOW")
    async def on_slow(socket, content):
        await asyncio.sleep(0.02)
        order.append(content["n"])

    @router.route("THREAD")
    def on_thread(socket, content):
        time.sleep(0.01)
        order.append(content["n"])

    @router.route("QUICK")
    async def on_quick(socket, content):
        order.append(content["n"])

    async with client_of(router) as client:
        for number in range(12):
            key = ("SLOW", "THREAD", "QUICK")[number % 3]
            await client.send_json_to({"type": key, "n": number})
        await until(lambda: len(order) == 12)
    assert order == list(range(12))


async def test_what_comes_during_the_connect_hooks_is_handled_before_what_comes_later():
    order = []
    accepted = asyncio.Event()
    router = SocketRouter()

    @router.connect
    async def on_connect(socket):
        await socket.accept()
        await accepted.wait()

    @router.route("SLOW")
    async def on_slow(socket):
        await asyncio.sleep(0.02)
        order.append("slow")

    @router.route("QUICK")
    async def on_quick(socket):
        order.append("quick")

    async with client_of(router) as client:
        await client.send_json_to({"type": "SLOW"})
        await asyncio.sleep(0.01)
        accepted.set()
        await asyncio.sleep(0.01)
        await client.send_json_to({"type": "QUICK"})
        await until(lambda: len(order) == 2)
    assert order == ["slow", "quick"]


@pytest.mark.parametrize("colour", ["def", "async def"])
async def test_64_messages_wait_behind_one_that_calls_and_the_65th_is_refused(colour):
    router = SocketRouter()

    if colour == "def":

        @router.route("ASK")
        def on_ask(socket):
            return socket.call("Q")

    else:

        @router.route("ASK")
        async def on_ask(socket):
            return await socket.call("Q")

    @router.route("NEXT")
    async def on_next(socket, ref):
        return ref

    async with client_of(router) as client:
        question = await client.ask({"type": "ASK", "ref": "first"})
        for number in range(65):
            await client.send_json_to({"type": "NEXT", "ref": number})
        error = await client.receive_json_from()
        assert (error["status"], error["ref"]) == (429, 64)
        await client.send_json_to({"type": "Q", "ref": question["ref"], "data": "answer"})
        assert (await client.receive_json_from())["data"] == "answer"
        assert [(await client.receive_json_from())["ref"] for _ in range(64)] == list(range(64))
        assert (await client.ask({"type": "NEXT", "ref": 64}))["data"] == 64


async def test_of_a_burst_behind_a_message_that_waits_just_as_many_are_kept():
    class Busy(RoutedSocketHandler):
        max_waiting, max_strikes = 5, 1000

        async def on_wait(self):
            await gate.wait()

        async def on_next(self):
            return "next"

        routes = (("WAIT", "on_wait"), ("NEXT", "on_next"))

    gate = asyncio.Event()
    server = Server(Busy())
    server.put({"type": "WAIT"}, *[{"type": "NEXT", "ref": n} for n in range(100)])
    await until(lambda: len(server.frames) == 95)
    assert {(frame["ref"], frame["status"]) for frame in server.frames} == {
        (n, 429) for n in range(5, 100)
    }
    gate.set()
    await until(lambda: len(server.frames) == 100)
    assert [frame["ref"] for frame in server.frames[-5:]] == [0, 1, 2, 3, 4]
    server.leave()
    await server.application


async def test_events_of_the_layer_that_fill_the_mailbox_cost_no_frame_its_place():
    class Busy(RoutedSocketHandler):
        max_waiting = 8

        async def on_next(self):
            return "next"

        routes = (("NEXT", "on_next"),)

    event = Route.of("EVENT", Busy.on_next)
    socket = Busy()
    server = Server(socket)
    await until(lambda: server.sent)
    server.put(*[{"type": "NEXT", "ref": n} for n in range(6)])
    assert all(socket._post_event({}, event) for _ in range(6))  # before any has its turn
    await until(lambda: len(server.frames) == 6)
    assert [frame["status"] for frame in server.frames] == [200] * 6
    server.leave()
    await server.application


async def test_nothing_overtakes_what_waits_while_the_connection_ends():
    class Ending(RoutedSocketHandler):
        async def on_end(self):
            await gate.wait()
            server.put({"type": "LATER"})
            asyncio.current_task().cancel()
            server.application.cancel()

        async def on_next(self):
            order.append("next")

        async def on_later(self):
            order.append("later")

        routes = (("END", "on_end"), ("NEXT", "on_next"), ("LATER", "on_later"))

    order = []
    gate = asyncio.Event()
    server = Server(Ending())
    server.put({"type": "END"}, {"type": "NEXT"})
    await until(lambda: server.events.empty())
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await server.application
    assert order == []


@pytest.mark.parametrize(
    ("subprotocol", "said", "kept"),
    [
        ("sockets.json", None, 64),
        ("sockets.dcrf", None, 512),
        ("sockets.json", 5, 5),
        ("sockets.dcrf", 5, 5),
    ],
)
async def test_how_many_may_wait_is_said_by_the_handler_or_its_clients_protocol(
    subprotocol, said, kept
):
    class Busy(RoutedSocketHandler):
        protocols = (Native(), DCRF())
        max_waiting, max_strikes = said, 1000

        async def on_wait(self):
            await gate.wait()

        routes = (("WAIT", "on_wait"),)

    gate = asyncio.Event()
    server = Server(Busy(), subprotocols=[subprotocol])
    message = {"type": "WAIT", "action": "WAIT"}
    server.put(*[{**message, "ref": n, "request_id": n} for n in range(kept + 4)])
    await until(lambda: len(server.frames) == 3)
    gate.set()
    await until(lambda: len(server.frames) == kept + 4)
    statuses = [frame.get("status") or frame["response_status"] for frame in server.frames]
    assert statuses == [429] * 3 + [204] * (kept + 1)
    server.leave()
    await server.application


async def test_floods_end_in_4529():
    class Busy(RoutedSocketHandler):
        max_waiting, max_strikes = 2, 3

        async def on_wait(self):
            await asyncio.sleep(5)

        routes = (("WAIT", "on_wait"),)

    async with client_of(Busy) as client:
        for _ in range(6):
            await client.send_json_to({"type": "WAIT"})
        assert [(await client.receive_json_from())["status"] for _ in range(3)] == [429] * 3
        assert await client.next_close() == 4529


async def test_concurrent_messages_run_beside_the_ordered_ones_up_to_the_cap():
    router = SocketRouter(max_concurrent=2)
    gate = asyncio.Event()

    @router.route("BESIDE", concurrent=True)
    async def on_beside(socket, ref):
        await gate.wait()
        return ref

    router.route("ORDERED")(lambda socket: "ordered")
    async with client_of(router) as client:
        for ref in (1, 2):
            await client.send_json_to({"type": "BESIDE", "ref": ref})
        assert (await client.ask({"type": "BESIDE", "ref": 3}))["status"] == 429
        assert (await client.ask({"type": "ORDERED", "ref": 4}))["data"] == "ordered"
        gate.set()
        assert {(await client.receive_json_from())["ref"] for _ in range(2)} == {1, 2}


async def test_concurrent_messages_wait_for_accept_too():
    gate, ran = asyncio.Event(), []

    class Slow(RoutedSocketHandler):
        max_concurrent = 1

        async def connect(self):
            await self.accept()
            await gate.wait()

        async def on_beside(self, ref):
            ran.append(ref)
            await asyncio.sleep(0)
            return ref

        routes = ()

    router = SocketRouter(handler=Slow)
    router.route("BESIDE", concurrent=True)(Slow.on_beside)
    async with client_of(router) as client:
        for ref in (1, 2):
            await client.send_json_to({"type": "BESIDE", "ref": ref})
        await asyncio.sleep(0.02)
        assert ran == []
        error = await client.receive_json_from()
        assert (error["status"], error["ref"]) == (429, 2)
        gate.set()
        assert (await client.receive_json_from())["ref"] == 1
    assert ran == [1]


@pytest.mark.parametrize("concurrent", [False, True])
@pytest.mark.parametrize("colour", ["def", "async def"])
async def test_what_connect_hooks_set_in_their_context_is_there_for_every_message(
    concurrent, colour
):
    router = SocketRouter()

    @router.connect
    def on_open(socket):
        translation.activate("de")

    if colour == "def":

        @router.route("ASK", concurrent=concurrent)
        def on_ask(socket):
            return translation.get_language()

    else:

        @router.route("ASK", concurrent=concurrent)
        async def on_ask(socket):
            return translation.get_language()

    async with client_of(router) as client:
        assert (await client.ask({"type": "ASK", "ref": 1}))["data"] == "de"


@pytest.mark.parametrize("colour", ["def", "async def"])
async def test_concurrent_answers_come_when_they_are_ready_and_ordered_ones_in_their_order(colour):
    router = SocketRouter()
    gate = threading.Event()

    if colour == "def":

        @router.route("BESIDE", concurrent=True)
        def on_beside(socket, ref):
            gate.wait(5)
            return ref

    else:

        @router.route("BESIDE", concurrent=True)
        async def on_beside(socket, ref):
            while not gate.is_set():
                await asyncio.sleep(0.005)
            return ref

    @router.route("ORDERED")
    async def on_ordered(socket, ref):
        await asyncio.sleep(0.01 if ref % 2 else 0)
        return ref

    async with client_of(router) as client:
        await client.send_json_to({"type": "BESIDE", "ref": "first"})
        for ref in range(6):
            await client.send_json_to({"type": "ORDERED", "ref": ref})
        assert [(await client.receive_json_from())["ref"] for _ in range(6)] == list(range(6))
        gate.set()
        assert (await client.receive_json_from())["ref"] == "first"


def waiting(**options):
    """A router whose WAIT sleeps and notes when it was stopped."""
    router = SocketRouter()
    stopped = []

    @router.route("WAIT", **options)
    async def on_wait(socket):
        try:
            await asyncio.sleep(5)
        finally:
            stopped.append(time.monotonic())

    router.route("NEXT")(lambda socket: "next")
    return router, stopped


@pytest.mark.parametrize("concurrent", [False, True])
async def test_cancel_stops_an_async_handler_at_once(concurrent):
    router, stopped = waiting(concurrent=concurrent)
    async with client_of(router) as client:
        await client.send_json_to({"type": "WAIT", "ref": 1})
        await asyncio.sleep(0.02)
        cancelled = time.monotonic()
        error = await client.ask({"type": "CANCEL", "ref": 1})
        assert (error["status"], error["ref"]) == (499, 1)
        await until(lambda: stopped)
        assert stopped[0] - cancelled < 0.1
        await client.send_json_to({"type": "CANCEL", "ref": 1})
        assert (await client.ask({"type": "NEXT", "ref": 1}))["data"] == "next"


async def test_cancel_of_a_waiting_message_means_it_never_runs():
    router, stopped = waiting()
    async with client_of(router) as client:
        for ref in (1, 2, 3):
            await client.send_json_to({"type": "WAIT", "ref": ref})
        assert (await client.ask({"type": "CANCEL", "ref": 2}))["ref"] == 2
        assert (await client.ask({"type": "CANCEL", "ref": 1}))["ref"] == 1
        await until(lambda: len(stopped) == 1)
        assert (await client.ask({"type": "CANCEL", "ref": 3}))["ref"] == 3
        await until(lambda: len(stopped) == 2)
        assert await client.receive_nothing()


@pytest.mark.parametrize("concurrent", [False, True])
async def test_a_time_out_stops_an_async_handler_within_a_tenth_of_a_second(concurrent):
    router, stopped = waiting(timeout=0.2, concurrent=concurrent)
    async with client_of(router) as client:
        started = time.monotonic()
        error = await client.ask({"type": "WAIT", "ref": 1})
        assert (error["status"], error["ref"]) == (504, 1)
        await until(lambda: stopped)
        assert 0.2 <= stopped[0] - started < 0.4
        assert (await client.ask({"type": "NEXT", "ref": 1}))["data"] == "next"


async def test_a_route_without_time_out_goes_before_the_handlers():
    class Hasty(RoutedSocketHandler):
        timeout = 0.05

    router = SocketRouter(handler=Hasty)

    async def sleep(socket):
        await asyncio.sleep(0.2)
        return "slept"

    router.route("PATIENT", timeout=None)(sleep)
    router.route("HASTY")(sleep)
    async with client_of(router) as client:
        assert (await client.ask({"type": "PATIENT", "ref": 1}))["data"] == "slept"
        assert (await client.ask({"type": "HASTY", "ref": 1}))["status"] == 504


async def test_a_handler_that_swallows_its_cancellation_is_not_answered_twice():
    router = SocketRouter()

    @router.route("STUBBORN", timeout=0.05)
    async def on_stubborn(socket):
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            socket.reply("never")
        await asyncio.sleep(0.1)
        return "never"

    router.route("NEXT")(lambda socket: "next")
    async with client_of(router) as client:
        assert (await client.ask({"type": "STUBBORN", "ref": 1}))["status"] == 504
        assert (await client.ask({"type": "NEXT", "ref": 2}))["data"] == "next"


@pytest.mark.parametrize("ended_by", ["CANCEL", "time-out"])
async def test_a_cancelled_thread_runs_on_unseen_and_the_next_message_waits_for_it(ended_by):
    order = []
    router = SocketRouter()

    @router.route("WORK", timeout=0.05 if ended_by == "time-out" else None)
    def on_work(socket):
        time.sleep(0.2)
        socket.send_json("unseen")
        socket.close(4001)
        order.append("worked")
        return "unseen"

    @router.route("NEXT")
    async def on_next(socket):
        order.append("next")
        return "next"

    async with client_of(router) as client:
        await client.send_json_to({"type": "WORK", "ref": 1})
        await asyncio.sleep(0.02)
        if ended_by == "CANCEL":
            await client.send_json_to({"type": "CANCEL", "ref": 1})
        assert (await client.receive_json_from())["status"] in (499, 504)
        assert order == []
        assert (await client.ask({"type": "NEXT", "ref": 2}))["data"] == "next"
    assert order == ["worked", "next"]


async def test_cancel_frees_a_thread_that_waits_for_the_client():
    ended = []
    router = SocketRouter()

    @router.route("ASK")
    def on_ask(socket):
        try:
            socket.call("Q", timeout=60)
        finally:
            ended.append(True)

    async with client_of(router) as client:
        await client.ask({"type": "ASK", "ref": 1})
        assert (await client.ask({"type": "CANCEL", "ref": 1}))["status"] == 499
        await until(lambda: ended, timeout=0.5)


async def test_a_handlers_own_timeout_and_subtasks_stay_its_own():
    router = SocketRouter()

    @router.route("OWN")
    async def on_own(socket):
        try:
            async with asyncio.timeout(0.02):
                await asyncio.sleep(5)
        except TimeoutError:
            pass
        task = asyncio.create_task(asyncio.sleep(5))
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "own"

    async with client_of(router) as client:
        for ref in range(2):
            assert (await client.ask({"type": "OWN", "ref": ref}))["data"] == "own"


async def test_a_handler_that_cancels_its_own_task_as_it_ends_does_not_harm_the_next():
    router = SocketRouter()

    @router.route("LAST")
    async def on_last(socket):
        await asyncio.sleep(0.01)
        asyncio.current_task().cancel()
        return "last"

    @router.route("NEXT")
    async def on_next(socket):
        await asyncio.sleep(0.01)
        return "next"

    async with client_of(router) as client:
        for ref in (1, 3):
            await client.send_json_to({"type": "LAST", "ref": ref})
            await client.send_json_to({"type": "NEXT", "ref": ref + 1})
            assert (await client.receive_json_from())["data"] == "last"
            assert (await client.receive_json_from())["data"] == "next"


async def test_a_task_that_is_cancelled_while_its_client_reads_slowly_holds_up_nobody():
    workers = []

    class Slow(Server):
        async def send(self, event):
            await super().send(event)
            await asyncio.sleep(0.01)

    class Wide(RoutedSocketHandler):
        outbox_frames = 4

        async def on_many(self):
            workers.append(asyncio.current_task())
            for number in range(12):
                self.send_json({"number": number})

        async def on_next(self):
            return "next"

        routes = (("MANY", "on_many"), ("NEXT", "on_next"))

    server = Slow(Wide())
    server.put({"type": "MANY"}, {"type": "NEXT", "ref": 1})
    await until(lambda: len(server.frames) == 2)
    workers[0].cancel()
    await until(lambda: {"type": "NEXT", "ref": 1, "status": 200, "data": "next"} in server.frames)
    server.leave()
    await server.application


async def test_tasks_of_a_handler_may_outlive_it_and_its_connection():
    tasks = []
    router = SocketRouter()

    @router.route("SPAWN")
    async def on_spawn(socket):
        async def work():
            await asyncio.sleep(0.05)
            socket.send_json("late")
            socket.close()
            await socket.accept()
            return await asyncio.shield(asyncio.sleep(0.01, "done"))

        tasks.append(asyncio.create_task(work()))

    async with client_of(router) as client:
        await client.ask({"type": "SPAWN", "ref": 1})
    assert await tasks[0] == "done"


async def test_a_wait_behind_a_shield_goes_on_after_a_cancel():
    done = []
    router = SocketRouter()

    @router.route("SHIELD")
    async def on_shield(socket):
        async def work():
            await asyncio.sleep(0.05)
            done.append(True)

        await asyncio.shield(work())

    async with client_of(router) as client:
        await client.send_json_to({"type": "SHIELD", "ref": 1})
        assert (await client.ask({"type": "CANCEL", "ref": 1}))["status"] == 499
        await until(lambda: done)


async def test_a_task_group_that_fails_is_the_message_alone(caplog):
    router = SocketRouter()

    @router.route("GROUP")
    async def on_group(socket):
        async def fail():
            raise LookupError

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.sleep(5)
        except* LookupError:
            pass
        return "failed"

    async with client_of(router) as client:
        for ref in range(3):
            assert (await client.ask({"type": "GROUP", "ref": ref}))["data"] == "failed"


async def test_a_value_set_by_one_message_is_found_by_the_next_and_by_no_concurrent_one():
    router = SocketRouter()

    @router.connect
    def on_open(socket):
        translation.activate("de")

    @router.route("SPEAK")
    async def on_speak(socket, content):
        await asyncio.sleep(content["seconds"])
        translation.activate(content["language"])

    @router.route("LANGUAGE")
    async def on_language(socket):
        return translation.get_language()

    router.route("BESIDE", concurrent=True)(on_language)
    async with client_of(router) as client:
        for seconds, language in ((0, "fr"), (0.01, "it")):
            await client.send_json_to({"type": "SPEAK", "seconds": seconds, "language": language})
            assert (await client.ask({"type": "LANGUAGE", "ref": 1}))["data"] == language
            assert (await client.ask({"type": "BESIDE", "ref": 2}))["data"] == "de"


async def test_no_task_is_left_when_the_client_is_gone():
    before = asyncio.all_tasks()
    router, _ = waiting(concurrent=True)
    async with client_of(router) as client:
        for ref in range(5):
            await client.send_json_to({"type": "WAIT", "ref": ref})
        await asyncio.sleep(0.02)
        assert len(asyncio.all_tasks()) > len(before) + 5
    assert asyncio.all_tasks() == before
    assert not [t for t in threading.enumerate() if "sockets-lane" in t.name and t.is_alive()]


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("concurrent", [False, True])
async def test_a_protocol_that_fails_holds_up_no_later_message(concurrent, waits, caplog):
    class Mute(Native):
        def error(self, error, message):
            raise RuntimeError("no words for it")

    router = SocketRouter(protocols=(Mute(),))

    @router.route("FAIL", concurrent=concurrent)
    async def on_fail(socket):
        if waits:
            await asyncio.sleep(0)
        raise ValueError("never told")

    router.route("NEXT")(lambda socket: "next")
    async with client_of(router) as client:
        await client.send_json_to({"type": "FAIL", "ref": 1})
        assert (await client.ask({"type": "NEXT", "ref": 2}))["data"] == "next"
    assert "Handling 'FAIL' failed" in caplog.text
