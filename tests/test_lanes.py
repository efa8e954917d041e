"""The threads that run synchronous code."""

import asyncio
import threading
import time

import pytest
from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.db import connection, connections

from sockets import SocketRouter
from sockets import lanes as lanes_module
from sockets.hub import connection as entered
from sockets.lane import Lane, lane_of
from sockets.lanes import Lanes

from .clients import client_of


def thread_name():
    return threading.current_thread().name


async def test_a_thread_is_lent_per_call_and_the_last_used_first():
    async with entered():
        names = [await sync_to_async(thread_name)() for _ in range(5)]
    assert set(names) == {"sockets-lane-0"}


async def test_what_one_connection_submits_runs_one_at_a_time():
    running, most = 0, 0

    def work():
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.01)
        running -= 1

    async with entered():
        await asyncio.gather(*(sync_to_async(work)() for _ in range(8)))
    assert most == 1


async def test_connections_use_threads_side_by_side_up_to_the_limit(settings):
    settings.SOCKETS = {"LANES": 3}
    running, most = 0, 0
    lock = threading.Lock()

    def work():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    async def connect():
        async with entered():
            await sync_to_async(work)()

    await asyncio.gather(*(asyncio.create_task(connect()) for _ in range(9)))
    assert most == 3


async def test_a_call_that_finds_no_thread_in_time_is_refused_and_counted(settings, caplog):
    settings.SOCKETS = {"LANES": 1, "LANE_WAIT": 0.05}
    router = SocketRouter()

    @router.route("WORK")
    def on_work(socket):
        time.sleep(0.3)
        return "worked"

    async with client_of(router) as first, client_of(router) as second, client_of(router) as third:
        await first.send_json_to({"type": "WORK", "ref": 1})
        await asyncio.sleep(0.02)
        for client in (second, third):
            await client.send_json_to({"type": "WORK", "ref": 1})
        for client in (second, third):
            assert (await client.receive_json_from())["status"] == 503
        assert (await first.receive_json_from())["data"] == "worked"
    assert "1 lanes free within 0.05 s" in caplog.text


async def test_a_later_call_is_refused_in_its_own_time():
    lanes = Lanes(asyncio.get_running_loop(), size=1, wait=0.1)
    gate = threading.Event()
    first, second, third = Lane(lanes), Lane(lanes), Lane(lanes)
    started = time.monotonic()
    first.submit(gate.wait)
    waiting = [asyncio.wrap_future(second.submit(print))]
    await asyncio.sleep(0.05)
    waiting.append(asyncio.wrap_future(third.submit(print)))
    for number, future in enumerate(waiting):
        with pytest.raises(Exception, match="No thread was free"):
            await future
        assert time.monotonic() - started >= 0.1 + 0.05 * number
    assert lanes.refused == 2
    gate.set()
    await lanes.stop(1)


async def test_a_call_cancelled_while_it_waits_never_runs():
    ran = []

    async def connect():
        async with entered():
            first = asyncio.create_task(sync_to_async(time.sleep)(0.05))
            await asyncio.sleep(0.01)
            second = asyncio.create_task(sync_to_async(ran.append)(1))
            await asyncio.sleep(0.01)
            second.cancel()
            await first
            await sync_to_async(ran.append)(2)

    await connect()
    assert ran == [2]


async def test_a_thread_keeps_working_after_a_fault():
    async with entered():
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await sync_to_async(lambda: 1 / 0)()
            assert await sync_to_async(thread_name)() == "sockets-lane-0"


async def test_nested_calls_run_on_the_thread_that_waits_for_them():
    def outer():
        return thread_name(), async_to_sync(inner)()

    async def inner():
        return await sync_to_async(thread_name)()

    async with entered():
        assert await sync_to_async(outer)() == ("sockets-lane-0", "sockets-lane-0")


async def test_a_sleeping_handler_delays_no_other_connection():
    router = SocketRouter()
    router.route("SLEEP")(lambda socket: time.sleep(0.3))
    router.route("QUICK")(lambda socket: "quick")

    @router.route("ASYNC")
    async def on_async(socket):
        return "quick"

    async with client_of(router) as sleeper, client_of(router) as other:
        await sleeper.send_json_to({"type": "SLEEP", "ref": 1})
        await asyncio.sleep(0.02)
        started = time.monotonic()
        for ref in range(5):
            await other.ask({"type": "QUICK", "ref": ref})
            await other.ask({"type": "ASYNC", "ref": ref})
        assert time.monotonic() - started < 0.25
        assert (await sleeper.receive_json_from())["status"] == 204


@pytest.mark.django_db(transaction=True)
async def test_handlers_that_made_a_query_and_now_wait_keep_no_thread():
    router = SocketRouter(max_concurrent=32)
    gate = asyncio.Event()

    @router.route("QUERY", concurrent=True)
    async def on_query(socket):
        count = await User.objects.acount()
        await gate.wait()
        return count

    router.route("QUICK")(lambda socket: "quick")
    async with client_of(router) as waiting, client_of(router) as other:
        for ref in range(32):
            await waiting.send_json_to({"type": "QUERY", "ref": ref})
        await asyncio.sleep(0.2)
        started = time.monotonic()
        assert (await other.ask({"type": "QUICK", "ref": 1}))["data"] == "quick"
        assert time.monotonic() - started < 0.2
        gate.set()
        for _ in range(32):
            assert (await waiting.receive_json_from())["data"] == 0


@pytest.fixture
def six_users(transactional_db):
    User.objects.bulk_create(User(username=str(number)) for number in range(6))


async def test_an_async_iterator_goes_on_across_threads_and_idleness(monkeypatch, six_users):
    monkeypatch.setattr(lanes_module, "IDLE", 0.02)
    router = SocketRouter()

    @router.route("NAMES")
    async def on_names(socket):
        async for user in User.objects.order_by("pk").aiterator(chunk_size=2):
            await asyncio.sleep(0.05)
            yield user.username

    async with client_of(router) as client:
        await client.send_json_to({"type": "NAMES", "ref": 1})
        parts = [await client.receive_json_from() for _ in range(7)]
    assert [part.get("data") for part in parts] == [*"012345", None]


@pytest.mark.django_db(transaction=True)
async def test_an_idle_thread_applies_djangos_rules_to_its_connections(monkeypatch):
    monkeypatch.setattr(lanes_module, "IDLE", 0.05)
    opened = []
    router = SocketRouter()

    @router.route("QUERY")
    def on_query(socket):
        User.objects.count()
        opened.append(connection.connection)

    @router.route("OPEN")
    def on_open(socket):
        return connections["default"].connection is not None

    async with client_of(router) as client:
        await client.ask({"type": "QUERY", "ref": 1})
        assert (await client.ask({"type": "OPEN", "ref": 2}))["data"] is True
        await asyncio.sleep(0.2)
        assert (await client.ask({"type": "OPEN", "ref": 3}))["data"] is False


@pytest.mark.django_db(transaction=True)
async def test_a_connection_that_met_an_error_is_looked_at_before_the_next_call():
    def fail():
        connection.ensure_connection()
        connection.errors_occurred = True

    async with entered():
        await sync_to_async(fail)()
        assert await sync_to_async(getattr)(connection, "errors_occurred") is False


async def test_stopping_gives_up_on_a_thread_that_does_not_return():
    lanes = Lanes(asyncio.get_running_loop(), size=1, wait=1)
    gate = threading.Event()
    future = asyncio.wrap_future(Lane(lanes).submit(gate.wait, 2))
    started = time.monotonic()
    await lanes.stop(0.05)
    assert time.monotonic() - started < 1
    gate.set()
    assert await future


async def test_what_waits_behind_a_thread_that_did_not_return_in_time_runs_all_the_same():
    lanes = Lanes(asyncio.get_running_loop(), size=1, wait=0.05)
    lane, gate = Lane(lanes), threading.Event()
    lane.submit(gate.wait, 2)
    late = asyncio.wrap_future(lane.submit(thread_name))
    await lanes.stop(0.05)
    gate.set()
    assert "sockets-lane" in await asyncio.wait_for(late, 1)


async def test_a_message_cancelled_while_it_waits_for_a_thread_holds_up_no_other(settings):
    settings.SOCKETS = {"LANES": 1}
    gate = threading.Event()
    router = SocketRouter()
    router.route("WORK")(lambda socket: gate.wait(5))

    @router.route("NEXT")
    async def on_next(socket):
        return "next"

    async with client_of(router) as first, client_of(router) as second:
        await first.send_json_to({"type": "WORK", "ref": 1})
        await asyncio.sleep(0.02)
        await second.send_json_to({"type": "WORK", "ref": 1})
        await asyncio.sleep(0.02)
        assert (await second.ask({"type": "CANCEL", "ref": 1}))["status"] == 499
        assert (await second.ask({"type": "NEXT", "ref": 2}))["data"] == "next"
        gate.set()


def test_the_threads_of_a_loop_that_was_closed_end():
    async def begin():
        lanes = Lanes(asyncio.get_running_loop(), size=1, wait=1)
        await asyncio.wrap_future(Lane(lanes).submit(thread_name))
        return lanes

    lanes = asyncio.run(begin())
    lanes.abandon()
    for thread in lanes._threads:
        thread.join(1)
        assert not thread.is_alive()


async def test_a_task_that_outlives_its_lane_is_lent_threads_that_nothing_holds():
    lanes = Lanes(asyncio.get_running_loop(), 1, 1.0)
    over = asyncio.Event()

    async def later():
        await over.wait()
        return await sync_to_async(thread_name)()

    with lane_of(lanes) as lane:
        task = asyncio.create_task(later())
        await asyncio.sleep(0)
    over.set()
    assert await task == "sockets-lane-0"
    assert not lane.used
    await lanes.stop(1)


async def test_lanes_within_one_another_take_the_calls_of_their_own_blocks():
    lanes = Lanes(asyncio.get_running_loop(), 2, 1.0)
    with lane_of(lanes) as outer:
        with lane_of(lanes) as inner:
            await sync_to_async(int)()
            assert inner.used
            assert not outer.used
        await sync_to_async(int)()
        assert outer.used
    assert SyncToAsync.thread_sensitive_context.get(None) is None
    await lanes.stop(1)
