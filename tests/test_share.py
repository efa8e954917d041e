"""The part of the threads that one connection's concurrent messages may hold at once."""

import asyncio
import threading
import time

import pytest
from asgiref.sync import sync_to_async

from sockets import SocketRouter
from sockets.hub import Hub
from sockets.lane import Lane
from sockets.lanes import Lanes

from .clients import client_of
from .conftest import until


class Work:
    """A concurrent route WORK whose runs keep a thread until the gate opens, and a quick one."""

    def __init__(self, kind="def", **options):
        self.begun, self.ended, self.most = 0, 0, 0
        self.gate, self.lock = threading.Event(), threading.Lock()
        self.router = SocketRouter(max_concurrent=40)
        function = {
            "def": lambda socket: self.run(),
            "async def": self.in_async_def,
            "generator": self.in_generator,
        }[kind]
        self.router.route("WORK", concurrent=True, **options)(function)
        self.router.route("QUICK")(lambda socket: "quick")
        self.router.route("BESIDE", concurrent=True)(lambda socket: "beside")

    def run(self):
        with self.lock:
            self.begun += 1
            self.most = max(self.most, self.begun - self.ended)
        self.gate.wait(5)
        with self.lock:
            self.ended += 1
        return "worked"

    async def in_async_def(self, socket):
        return await sync_to_async(self.run)()

    def in_generator(self, socket):
        yield self.run()

    async def send(self, client, *refs):
        for ref in refs:
            await client.send_json_to({"type": "WORK", "ref": ref})


@pytest.mark.parametrize("kind", ["def", "async def", "generator"])
async def test_one_clients_slow_runs_leave_threads_to_others(kind):
    work = Work(kind)
    async with client_of(work.router) as client, client_of(work.router) as other:
        await work.send(client, *range(32))
        await until(lambda: work.begun == 8)
        started = time.monotonic()
        for ref in range(5):
            assert (await other.ask({"type": "QUICK", "ref": ref}))["data"] == "quick"
            assert (await other.ask({"type": "BESIDE", "ref": ref}))["data"] == "beside"
            assert (await client.ask({"type": "QUICK", "ref": f"q{ref}"}))["data"] == "quick"
        assert time.monotonic() - started < 1
        assert work.begun == 8
        work.gate.set()
        refs = []
        while len(refs) < 32:
            frame = await client.receive_json_from()
            if frame["status"] == 206:
                assert frame["data"] == "worked"
            else:
                refs.append(frame["ref"])
        assert sorted(refs) == list(range(32))
        assert work.most == 8


async def test_each_connection_has_a_share_of_its_own(settings):
    settings.SOCKETS = {"LANES": 4}
    work = Work()
    async with client_of(work.router) as client, client_of(work.router) as other:
        await work.send(client, 1, 2, 3)
        await until(lambda: work.begun == 2)
        await work.send(other, 1, 2, 3)
        await until(lambda: work.begun == 4)
        work.gate.set()
        for each in (client, other):
            assert [(await each.receive_json_from())["data"] for _ in range(3)] == ["worked"] * 3


async def test_who_waits_for_runs_of_their_own_is_not_refused(settings, caplog):
    settings.SOCKETS = {"LANES": 2, "LANE_WAIT": 0.02}
    work = Work()
    async with client_of(work.router) as client:
        await work.send(client, 1, 2, 3)
        await until(lambda: work.begun == 1)
        await asyncio.sleep(0.1)
        work.gate.set()
        assert [(await client.receive_json_from())["data"] for _ in range(3)] == ["worked"] * 3
    assert not caplog.records


async def test_what_waits_begins_in_its_order(settings):
    settings.SOCKETS = {"LANES": 2}
    work = Work()
    async with client_of(work.router) as client:
        await work.send(client, *range(10))
        work.gate.set()
        assert [(await client.receive_json_from())["ref"] for _ in range(10)] == list(range(10))


async def test_runs_that_only_wait_for_a_query_now_and_then_hold_nothing():
    work = Work("async def")
    work.gate.set()
    paused = asyncio.Event()

    @work.router.route("PAUSE", concurrent=True)
    async def on_pause(socket):
        await sync_to_async(work.run)()
        await paused.wait()

    async with client_of(work.router) as client:
        for ref in range(20):
            await client.send_json_to({"type": "PAUSE", "ref": ref})
        await until(lambda: work.ended == 20)
        assert (await client.ask({"type": "WORK", "ref": "w"}))["data"] == "worked"
        paused.set()
        for _ in range(20):
            assert (await client.receive_json_from())["status"] == 204


@pytest.mark.parametrize("ended_by", ["CANCEL", "a time-out"])
async def test_a_run_that_is_ended_while_it_waits_never_begins_and_holds_nothing(
    settings, ended_by
):
    settings.SOCKETS = {"LANES": 4}
    sockets = []
    work = Work(timeout=0.2 if ended_by == "a time-out" else None)
    work.router.connect(lambda socket: sockets.append(socket))
    async with client_of(work.router) as client:
        await work.send(client, 1, 2)
        await until(lambda: work.begun == 2)
        await work.send(client, 3, 4)
        if ended_by == "CANCEL":
            for ref in (3, 4):
                assert (await client.ask({"type": "CANCEL", "ref": ref}))["status"] == 499
        else:
            assert [(await client.receive_json_from())["status"] for _ in range(4)] == [504] * 4
        await until(lambda: len(sockets[0]._mailbox._beside) == 2)
        work.gate.set()
        await until(lambda: not sockets[0]._mailbox._beside)
        assert work.begun == 2
        expected = 2 if ended_by == "CANCEL" else 0
        answers = [(await client.receive_json_from())["data"] for _ in range(expected)]
        assert answers == ["worked"] * expected
        await work.send(client, 5, 6, 7)
        assert [(await client.receive_json_from())["data"] for _ in range(3)] == ["worked"] * 3


async def test_a_client_that_leaves_takes_what_waits_with_it(settings):
    settings.SOCKETS = {"LANES": 4}
    work = Work()
    async with client_of(work.router) as other:
        async with client_of(work.router) as client:
            await work.send(client, *range(6))
            await until(lambda: work.begun == 2)
            asyncio.get_running_loop().call_later(0.1, work.gate.set)
        assert (work.begun, work.ended) == (2, 2)
        assert (await other.ask({"type": "WORK", "ref": 1}))["data"] == "worked"
        lanes = Hub.current().lanes
        await until(lambda: len(lanes._idle) == len(lanes._threads))


async def test_a_share_is_refused_threads_as_all_are(settings, caplog):
    settings.SOCKETS = {"LANES": 2, "LANE_WAIT": 0.05}
    work = Work()
    async with client_of(work.router) as first, client_of(work.router) as second:
        await work.send(first, 1)
        await work.send(second, 1)
        await until(lambda: work.begun == 2)
        async with client_of(work.router) as third:
            for _ in range(2):  # what was refused holds no part of the share
                await work.send(third, 1)
                assert (await third.receive_json_from())["status"] == 503
            work.gate.set()
            for client in (first, second):
                assert (await client.receive_json_from())["data"] == "worked"
            await work.send(third, 1)
            assert (await third.receive_json_from())["data"] == "worked"
    assert "2 lanes free within 0.05 s" in caplog.text


async def test_lanes_beside_one_of_few_threads_have_at_least_one():
    lanes = Lanes(asyncio.get_running_loop(), size=1, wait=1)
    lane = Lane(lanes)
    names = [
        asyncio.wrap_future(lane.beside().submit(lambda: threading.current_thread().name))
        for _ in range(3)
    ]
    assert set(await asyncio.gather(*names)) == {"sockets-lane-0"}
    await lanes.stop(1)


async def test_a_lane_goes_on_with_its_next_call_after_the_others_had_their_turn():
    lanes = Lanes(asyncio.get_running_loop(), size=2, wait=1)
    lane, order, gate = Lane(lanes), [], threading.Event()
    first, second = lane.beside(), lane.beside()
    first.submit(gate.wait, 5)
    submitted = [
        asyncio.wrap_future(each.submit(order.append, name))
        for each, name in ((first, "a1"), (first, "a2"), (second, "b1"), (second, "b2"))
    ]
    gate.set()
    await asyncio.gather(*submitted)
    assert order == ["b1", "a1", "b2", "a2"]
    await lanes.stop(1)
