"""Whatever runs, and however it ends: one answer, one `finally`, and nothing that stays."""

import asyncio
import threading
import time

import pytest

from sockets import SocketError, SocketRouter
from sockets.hub import Hub

from .clients import client_of
from .conftest import until

STEP = 0.01
"""Seconds between two steps of a run."""
LONG = 50
"""Steps of a run that a test ends; a thread cannot be stopped and makes them all."""

KINDS = ["async generator", "generator", "async def", "def"]
ANSWERS = {
    "the end": 200,
    "an exception": 410,
    "CANCEL": 499,
    "a time-out": 504,
    "a disconnect": None,
    "a close": None,
}
"""The status with which a run is answered, by what ends it."""


class Run:
    """A route RUN of one kind, and what becomes of it."""

    def __init__(self, kind, ended_by, concurrent):
        self.begun, self.ended = [], []
        self.fails = ended_by == "an exception"
        self.steps = 3 if ended_by == "the end" else LONG
        self.router = SocketRouter()
        functions = (self.async_generator, self.generator, self.async_def, self.plain_def)
        function = dict(zip(KINDS, functions, strict=True))[kind]
        timeout = 0.1 if ended_by == "a time-out" else None
        self.router.route("RUN", concurrent=concurrent, timeout=timeout)(function)

    async def async_generator(self, socket):
        self.begun.append(socket)
        try:
            for number in range(self.steps):
                yield number
                await asyncio.sleep(STEP)
                self.fail()
        finally:
            self.ended.append(threading.current_thread().name)

    def generator(self, socket):
        self.begun.append(socket)
        try:
            for number in range(self.steps):
                yield number
                time.sleep(STEP)
                self.fail()
        finally:
            self.ended.append(threading.current_thread().name)

    async def async_def(self, socket):
        self.begun.append(socket)
        try:
            for _ in range(self.steps):
                await asyncio.sleep(STEP)
                self.fail()
        finally:
            self.ended.append(threading.current_thread().name)
        return "done"

    def plain_def(self, socket):
        self.begun.append(socket)
        try:
            for _ in range(self.steps):
                time.sleep(STEP)
                self.fail()
        finally:
            self.ended.append(threading.current_thread().name)
        return "done"

    def fail(self):
        if self.fails:
            raise SocketError("No more.", status=410)


async def answer_of(client):
    """The frame that ends the message with the ref `run`, which are parts until then."""
    while (frame := await client.receive_json_from())["status"] == 206:
        assert frame["ref"] == "run"
    assert frame["ref"] == "run"
    return frame["status"]


async def close_of(client):
    """The code with which the server closes; parts until then are skipped."""
    while (event := await client.receive_output())["type"] != "websocket.close":
        assert '"status":206' in event["text"]
    return event["code"]


def lanes_are_free():
    lanes = Hub.current().lanes
    return len(lanes._idle) == len(lanes._threads) and not any(t.held for t in lanes._threads)


@pytest.mark.parametrize("ended_by", ANSWERS)
@pytest.mark.parametrize("concurrent", [False, True], ids=["ordered", "concurrent"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_has_one_answer_and_one_end(kind, concurrent, ended_by):
    run = Run(kind, ended_by, concurrent)
    async with client_of(SocketRouter()):  # stays, so that nothing is freed with the last one
        tasks = asyncio.all_tasks()
        async with client_of(run.router) as client:
            await client.send_json_to({"type": "RUN", "ref": "run"})
            await until(lambda: run.begun)
            [socket] = run.begun
            if ended_by == "CANCEL":
                await client.send_json_to({"type": "CANCEL", "ref": "run"})
            elif ended_by == "a close":
                socket.close(4000)
                assert await close_of(client) == 4000
            if ANSWERS[ended_by]:
                assert await answer_of(client) == ANSWERS[ended_by]
                await until(lambda: run.ended)
                await until(lambda: not socket._mailbox._beside and not socket._mailbox._running)
                await until(lanes_are_free)
                assert await client.receive_nothing(0.02)
        assert len(run.begun) == len(run.ended) == 1
        assert ("sockets-lane" in run.ended[0]) == (kind in ("generator", "def"))
        assert asyncio.all_tasks() == tasks
        await until(lanes_are_free)
