"""Whatever comes in whatever order: the promises to every message, on random schedules."""

import asyncio
import gc
import random
import sys
import time
from contextlib import suppress
from contextvars import ContextVar

import pytest
import uvloop
from asgiref.sync import sync_to_async

from sockets import Route, RoutedSocketHandler, SocketError

from .clients import Server

SCHEDULES = 60
"""How many are tried on each kind of event loop."""
STEPS = 40
"""What happens on each, before its end."""

last_run: ContextVar[object] = ContextVar("last_run", default=None)


class Watched(RoutedSocketHandler):
    """Notes what runs, and finds fault with what must not be."""

    max_waiting, max_concurrent, max_strikes = 4, 3, 1000

    def __init__(self):
        self.begun, self.ended, self.faults = [], [], []
        self.last_run = "hook"
        self.over = False

    async def connect(self):
        last_run.set("hook")
        for _ in range(self.scope["patience"]):
            await asyncio.sleep(0)

    def disconnect(self, code):
        self.ended.append("connection")

    def begin(self, number, *, ordered=True):
        expected = self.last_run if ordered else "hook"
        if last_run.get() != expected:
            self.faults.append(f"{number} found {last_run.get()!r}, expected {expected!r}")
        if ordered and any(n not in self.ended for n in self.begun_in_order):
            self.faults.append(f"{number} began before the one before it had ended")
        if self.over:
            self.faults.append(f"{number} began after the end")
        self.begun.append((number, ordered))

    @property
    def begun_in_order(self):
        return [number for number, ordered in self.begun if ordered]

    async def run(self, number, steps, *, ordered=True):
        self.begin(number, ordered=ordered)
        last_run.set(number)
        if ordered:
            self.last_run = number
        task = asyncio.current_task()
        try:
            for _ in range(steps):
                await asyncio.sleep(0)
            if asyncio.current_task() is not task or last_run.get() != number:
                self.faults.append(f"{number} became another one")
        finally:
            self.ended.append(number)
        return number

    async def on_run(self, content):
        return await self.run(content["n"], content["steps"])

    async def on_beside(self, content):
        return await self.run(content["n"], content["steps"], ordered=False)

    async def on_group(self, content):
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
            return await self.run(content["n"], content["steps"])

    async def on_fail(self, content):
        await self.run(content["n"], content["steps"])
        raise SocketError("No.", status=410)

    async def on_cancel_itself(self, content):
        await self.run(content["n"], content["steps"])
        await asyncio.sleep(0)
        asyncio.current_task().cancel()
        return content["n"]

    async def on_half(self, content):
        await self.run(content["n"], content["steps"])
        await sync_to_async(time.sleep)(0.0005)

    def on_thread(self, content):
        self.begin(content["n"])
        time.sleep(0.0005)
        self.ended.append(content["n"])
        return content["n"]

    async def on_close(self, content):
        self.begin(content["n"])
        self.close(4000)
        self.ended.append(content["n"])

    routes = (
        ("RUN", "on_run"),
        ("GROUP", "on_group"),
        ("FAIL", "on_fail"),
        ("CANCEL_ITSELF", "on_cancel_itself"),
        ("HALF", "on_half"),
        ("THREAD", "on_thread"),
        ("CLOSE", "on_close"),
        Route.of(("BESIDE",), on_beside, concurrent=True),
        *RoutedSocketHandler.routes,
    )


KINDS = ("RUN", "RUN", "GROUP", "FAIL", "CANCEL_ITSELF", "HALF", "THREAD", "BESIDE")
STATUSES = {200, 204, 410, 429, 499}
EVENT = Route.of(("EVENT",), Watched.on_run)


class Schedule:
    """One connection, what happens to it, and what must be true of it then."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.number = 0

    async def run(self):
        self.socket = Watched()
        self.server = Server(self.socket, patience=self.random.choice((0, 0, 1, 7)))
        for _ in range(STEPS):
            self.step()
            for _ in range(self.random.choice((0, 0, 0, 1, 2, 5, 30))):
                await asyncio.sleep(0)
        await self.end()

    def step(self):
        if self.random.random() < 0.15:
            self.server.put({"type": "CANCEL", "ref": self.random.randint(0, self.number)})
        elif self.random.random() < 0.1 and hasattr(self.socket, "_mailbox"):
            self.number += 1
            content = {"n": self.number, "steps": self.random.randint(0, 3)}
            self.socket._post_event(content, EVENT)
        else:
            self.post(self.random.choice(KINDS))

    def post(self, kind):
        self.number += 1
        steps = self.random.choice((0, 0, 1, 3))
        self.server.put({"type": kind, "ref": self.number, "n": self.number, "steps": steps})

    async def end(self):
        how = self.random.choice(("idle", "leave", "close", "CLOSE", "cancel", "fail", "loop"))
        if how == "idle":
            await self.is_answered()
        if how == "close":
            self.socket.close(4001)
        elif how == "CLOSE":
            self.post("CLOSE")
        elif how == "cancel":
            self.server.application.cancel()
        elif how == "fail":
            self.server.events.put_nowait(OSError)
        elif how == "loop":
            return  # which cancels all tasks together
        self.server.leave()
        with suppress(asyncio.CancelledError, OSError):
            await self.server.application
        self.socket.over = True
        await asyncio.sleep(0.002)

    async def is_answered(self):
        async with asyncio.timeout(5):
            while not self.refs() >= set(self.answers_due()):
                await asyncio.sleep(0.001)

    def answers_due(self):
        return [frame["ref"] for frame in self.server.put_in if frame["type"] != "CANCEL"]

    def refs(self):
        return {frame["ref"] for frame in self.server.frames}

    def check(self):
        socket, frames = self.socket, self.server.frames
        assert not socket.faults
        answered = [frame["ref"] for frame in frames]
        assert len(answered) == len(set(answered))
        assert {frame["status"] for frame in frames} <= STATUSES
        begun = [number for number, _ in socket.begun]
        assert len(begun) == len(set(begun))
        assert sorted(begun) == sorted(set(socket.ended) - {"connection"})
        in_order = [n for n in socket.begun_in_order if n in self.answers_due()]
        assert in_order == sorted(in_order)
        refused = {frame["ref"] for frame in frames if frame["status"] == 429}
        assert not refused & set(begun)
        assert socket.ended.count("connection") <= 1
        if self.server.sent:
            assert socket.ended[-1] == "connection"


@pytest.mark.parametrize(
    "tasks",
    [
        *("asyncio", "uvloop", "tasks in Python"),
        pytest.param(
            "eager tasks",
            marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="they are of Python 3.12"),
        ),
    ],
)
def test_every_message_is_handled_in_turn_and_answered_once_until_the_end(
    tasks, monkeypatch, caplog
):
    loop_factory = uvloop.new_event_loop if tasks == "uvloop" else None
    if tasks == "tasks in Python":
        monkeypatch.setattr(asyncio.tasks, "Task", asyncio.tasks._PyTask)
        monkeypatch.setattr(asyncio, "Task", asyncio.tasks._PyTask)
    first = random.randrange(1_000_000)
    for seed in range(first, first + SCHEDULES):
        schedule = Schedule(seed)
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            if tasks == "eager tasks":
                runner.get_loop().set_task_factory(asyncio.eager_task_factory)
            runner.run(schedule.run())
        try:
            schedule.check()
            assert not caplog.records
        except AssertionError as fault:
            fault.add_note(f"It was schedule {seed}.")
            raise
    gc.collect()  # what was never awaited, or never retrieved, is told here
    assert not caplog.records
