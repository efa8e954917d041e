"""Holding back a server that never does, by what its clients answer."""

import asyncio
import json
from typing import ClassVar

import daphne.server  # noqa: F401, which has a reactor, with a loop of its own
import pytest

from sockets import RoutedSocketHandler, groups
from sockets.hub import Hub
from sockets.window import Window, pushes_back

from .conftest import until
from .test_outbox import Server

QUESTION = {"type": "websocket.send", "text": "?"}


def event(size):
    return {"type": "websocket.send", "text": "x" * size}


class Client:
    """The client of a window of ten bytes, which answers only when it is told to."""

    def __init__(self):
        self.got = []
        self.window = Window(self.take, 10, "?")
        self.window.counts = True

    async def take(self, event):
        self.got.append("?" if event == QUESTION else len(event.get("text", "")))

    def begin(self, size):
        return asyncio.ensure_future(self.window.send(event(size)))


async def test_who_is_not_known_to_answer_is_sent_all():
    client = Client()
    client.window.counts = False
    for _ in range(5):
        await client.window.send(event(8))
    assert client.got == [8] * 5


async def test_the_client_is_asked_when_half_of_the_window_is_used():
    client = Client()
    await client.window.send(event(5))
    assert client.got == [5]
    await client.window.send(event(1))
    assert client.got == [5, 1, "?"]
    await client.window.send(event(4))
    assert client.got == [5, 1, "?", 4]


async def test_beyond_the_window_nothing_is_sent_before_the_answer():
    client = Client()
    await client.window.send(event(6))
    await client.window.send(event(4))
    more = client.begin(1)
    await asyncio.sleep(0)
    assert client.got == [6, "?", 4]
    client.window.hear()
    await more
    assert client.got == [6, "?", 4, 1]


async def test_an_answer_counts_for_what_was_sent_before_its_question():
    client = Client()
    await client.window.send(event(6))
    await client.window.send(event(4))
    more = client.begin(7)
    await asyncio.sleep(0)
    client.window.hear()  # 4 of 10 are unanswered now
    await until(lambda: client.got == [6, "?", 4, "?"])
    client.window.hear()
    await more
    assert client.got == [6, "?", 4, "?", 7, "?"]


async def test_an_answer_to_nothing_opens_nothing():
    client = Client()
    await client.window.send(event(5))
    client.window.hear()
    await client.window.send(event(5))
    more = client.begin(1)
    await asyncio.sleep(0)
    assert client.got == [5, 5, "?"]
    client.window.hear()
    await more


async def test_a_frame_larger_than_the_window_is_sent_alone():
    client = Client()
    await client.window.send(event(100))
    more = client.begin(1)
    await asyncio.sleep(0)
    assert client.got == [100, "?"]
    client.window.hear()
    await more
    assert client.got == [100, "?", 1]


async def test_what_is_no_frame_waits_for_nothing():
    client = Client()
    await client.window.send(event(100))
    await client.window.send({"type": "websocket.close", "code": 1000})
    assert client.got == [100, "?", 0]


def test_a_loop_that_no_reactor_drives_is_of_a_server_that_pushes_back():
    async def main():

        return pushes_back(asyncio.get_running_loop())

    assert asyncio.run(main())


# Through handlers


class Listening(RoutedSocketHandler):
    outbox_bytes = 1000
    codes: ClassVar[list] = []

    async def connect(self):
        self.join("red")

    def disconnect(self, code):
        self.codes.append(code)


class WithPing(Listening):
    """A handler whose PING is no answer, but a message."""

    def on_ping(self):
        return "PONG"

    routes = (("PING", "on_ping"),)


class Loop(RoutedSocketHandler):
    """Its connection begins the hub."""


async def flooded(server, handler, says):
    """Run a connection that says these things, and is then sent ten broadcasts of 202 bytes."""
    Listening.codes.clear()
    first = Server()
    hub_kept = asyncio.create_task(first.run(Loop))
    await until(lambda: first.sent)
    Hub.current().pushes_back = False
    running = asyncio.create_task(server.run(handler))
    await until(lambda: server.sent)
    for type in says:
        server.say(json.dumps({"type": type}))
    await until(server.events.empty)
    await asyncio.sleep(0.01)
    server.sent.clear()
    for number in range(10):
        await groups.asend_json("red", f"{number}" * 200)
    await asyncio.sleep(0.01)
    return running, first, hub_kept


async def ended(server, running, first, hub_kept):
    for one in (server, first):
        one.leave()
    await asyncio.wait_for(asyncio.gather(running, hub_kept), 5)


def frames(server):
    texts = [text for text in server.sent if isinstance(text, str)]
    return ["PING" if "PING" in text else text[1] for text in texts]


@pytest.mark.parametrize("first", ["PING", "HELLO"])
async def test_a_client_that_answers_is_sent_no_more_than_the_window(first):
    server = Server()
    others = await flooded(server, Listening, [first])
    assert frames(server) == ["0", "1", "2", "PING", "3"]
    server.say('{"type":"PING"}')
    await until(lambda: len(frames(server)) > 5)
    assert "9" not in frames(server)
    await until(lambda: "9" in frames(server) or server.say('{"type":"PING"}'))
    assert [text for text in frames(server) if text != "PING"] == list("0123456789")
    await ended(server, *others)


async def test_who_never_showed_that_it_answers_is_sent_all():
    for handler, says in ((Listening, []), (WithPing, ["PING", "HELLO"])):
        server = Server()
        others = await flooded(server, handler, says)
        assert frames(server) == list("0123456789")
        await ended(server, *others)


async def test_a_client_that_does_not_answer_is_closed_as_slow_and_told_so():
    server = Server()
    others = await flooded(server, Listening, ["PING"])
    for _ in range(10):
        await groups.asend_json("red", "x" * 200)
    await until(lambda: Listening.codes == [4513])
    await until(lambda: server.sent[-1] == 4513)
    assert frames(server) == ["0", "1", "2", "PING", "3"]
    await ended(server, *others)
