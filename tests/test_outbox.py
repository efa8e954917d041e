"""What waits to be written to one connection."""

import asyncio
import time
from typing import ClassVar

import pytest

from sockets import RoutedSocketHandler, SocketRouter, groups
from sockets.backlog import Backlog, broadcast_of
from sockets.exceptions import LanesBusy
from sockets.hub import Hub
from sockets.lanes import Lanes
from sockets.outbox import Outbox

from .conftest import until

ACCEPT = {"type": "websocket.accept"}


class Server:
    """The server's end of one connection, whose client may stop reading."""

    def __init__(self):
        self.sent = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.gone = False
        self.events = asyncio.Queue()
        self.events.put_nowait({"type": "websocket.connect"})

    async def send(self, event):
        await self.reads.wait()
        if self.gone:
            raise OSError("the client is gone")
        if event.get("code", 1000) not in (1000, *range(3000, 5000)):
            raise ValueError("invalid code")
        self.sent.append(event.get("text", event.get("code", event["type"])))

    async def run(self, handler):
        scope = {"type": "websocket", "path": "/", "headers": []}
        await handler.as_asgi()(scope, self.events.get, self.send)

    def say(self, text):
        self.events.put_nowait({"type": "websocket.receive", "text": text})

    def leave(self):
        self.events.put_nowait({"type": "websocket.disconnect", "code": 1001})


@pytest.fixture
async def server():
    return Server()


@pytest.fixture
async def outbox(server):
    return make_outbox(server)


def make_outbox(server, *, max_bytes=10, max_frames=100, lagged=None, on_slow=pytest.fail):
    lanes = Lanes(asyncio.get_running_loop(), 4, 1)
    return Outbox(lanes, server.send, Backlog(max_bytes, max_frames, lagged), on_slow)


async def test_frames_wait_for_accept_and_go_in_order(server, outbox):
    for text in "abc":
        await outbox.send(text)
    assert server.sent == []
    outbox.open(ACCEPT)
    outbox.send("d")
    await until(lambda: len(server.sent) == 5)
    assert server.sent == ["websocket.accept", "a", "b", "c", "d"]


async def test_silence_is_sent_as_nothing(server, outbox):
    outbox.open(ACCEPT)
    await outbox.send(None)
    assert server.sent == ["websocket.accept"]


async def test_awaiting_a_send_to_a_full_outbox_waits_for_the_client(server, outbox):
    outbox.open(ACCEPT)
    server.reads.clear()
    for text in ("blocked", "fits", "12345"):
        await asyncio.wait_for(outbox.send(text), 0.1)
    full = outbox.send("too much")
    assert outbox.full
    waiter, other = asyncio.ensure_future(full), asyncio.ensure_future(full)
    other.cancel()
    assert await asyncio.wait([waiter], timeout=0.05) == (set(), {waiter})
    server.reads.set()
    await asyncio.wait_for(waiter, 1)
    await until(lambda: server.sent[-1] == "too much")
    assert server.sent[1:] == ["blocked", "fits", "12345", "too much"]


async def test_a_forgotten_send_to_a_full_outbox_is_not_lost(server, outbox):
    outbox.open(ACCEPT)
    server.reads.clear()
    texts = [f"{number:04}" for number in range(50)]
    for text in texts:
        outbox.send(text)
    server.reads.set()
    await until(lambda: len(server.sent) == 51)
    assert server.sent[1:] == texts


async def test_close_comes_after_the_frames_and_nothing_after_it(server, outbox):
    outbox.open(ACCEPT)
    server.reads.clear()
    outbox.send("a")
    outbox.send("b")
    outbox.close(4000, "")
    outbox.send("c")
    server.reads.set()
    await outbox.stop(1)
    assert server.sent == ["websocket.accept", "a", "b", 4000]


async def test_close_before_open_refuses(server, outbox):
    outbox.send("never")
    outbox.close(4401, "")
    assert server.sent == [4401]


async def test_stopping_gives_up_on_a_client_that_does_not_read(server, outbox):
    outbox.open(ACCEPT)
    server.reads.clear()
    outbox.send("a")
    started = time.monotonic()
    await outbox.stop(0.05)
    assert 0.05 <= time.monotonic() - started < 1


def flooding(colour, progress):
    router = SocketRouter(outbox_bytes=1000)

    if colour == "def":

        @router.route("FLOOD")
        def on_flood(socket):
            for _ in range(20):
                socket.send_json("x" * 200)
                progress.append(1)

    else:

        @router.route("FLOOD")
        async def on_flood(socket):
            for _ in range(20):
                await socket.send_json("x" * 200)
                progress.append(1)

    return router.Handler


@pytest.mark.parametrize("colour", ["def", "async def"])
async def test_a_slow_client_slows_its_own_handlers_only(server, colour):
    progress = []
    handler = flooding(colour, progress)
    running = asyncio.create_task(server.run(handler))
    await until(lambda: server.sent)
    server.reads.clear()
    server.say('{"type":"FLOOD"}')
    await asyncio.sleep(0.1)
    assert 1 <= len(progress) < 10
    server.reads.set()
    await until(lambda: len(progress) == 20)
    server.leave()
    await running
    assert len(server.sent) == 21


@pytest.mark.parametrize("colour", ["def", "async def"])
async def test_a_handler_that_waits_for_a_client_that_leaves_goes_on(server, colour):
    progress = []
    running = asyncio.create_task(server.run(flooding(colour, progress)))
    await until(lambda: server.sent)
    server.reads.clear()
    server.say('{"type":"FLOOD"}')
    await asyncio.sleep(0.05)
    server.leave()
    await asyncio.wait_for(running, 2)
    assert len(progress) == 20 or colour == "async def"


async def test_the_next_message_waits_until_forgotten_sends_are_taken(server):
    handled = []

    class Forgetful(RoutedSocketHandler):
        outbox_bytes = 100
        routes = (("GO", "on_go"),)

        async def on_go(self):
            handled.append(1)
            self.send_json("x" * 200)

    running = asyncio.create_task(server.run(Forgetful))
    await until(lambda: server.sent)
    server.reads.clear()
    for _ in range(5):
        server.say('{"type":"GO"}')
    await asyncio.sleep(0.05)
    assert len(handled) == 2  # the first frame is with the server, the second waits
    server.reads.set()
    await until(lambda: len(handled) == 5)
    server.leave()
    await running


async def test_a_client_that_reads_no_errors_is_closed_as_slow(server):
    codes = []

    class Small(RoutedSocketHandler):
        outbox_bytes = 10_000

        def disconnect(self, code):
            codes.append(code)

    running = asyncio.create_task(server.run(Small))
    await until(lambda: server.sent)
    server.reads.clear()
    for number in range(1000):
        server.say(f'{{"type":"NOPE","ref":{number}}}')
    await asyncio.wait_for(running, 3)
    assert codes == [4513]
    assert not server.events.empty()


async def test_a_time_out_frees_a_thread_that_waits_for_a_slow_client(server):
    freed = []
    router = SocketRouter(outbox_bytes=1000)

    @router.route("FLOOD", timeout=0.1)
    def on_flood(socket):
        for _ in range(20):
            socket.send_json("x" * 200)
        freed.append(True)

    running = asyncio.create_task(server.run(router.Handler))
    await until(lambda: server.sent)
    server.reads.clear()
    server.say('{"type":"FLOOD","ref":1}')
    await until(lambda: freed, timeout=1)
    server.reads.set()
    server.leave()
    await running


async def test_slow_clients_take_no_threads_from_calls(server, settings):
    settings.SOCKETS = {"LANES": 4}
    refused = []
    router = SocketRouter(outbox_bytes=1000)

    @router.route("FLOOD", concurrent=True)
    def on_flood(socket):
        try:
            for _ in range(50):
                socket.send_json("x" * 200)
        except LanesBusy:
            refused.append(True)

    running = asyncio.create_task(server.run(router.Handler))
    await until(lambda: server.sent)
    server.reads.clear()
    for _ in range(2):
        server.say('{"type":"FLOOD"}')
    await until(lambda: refused)
    server.reads.set()
    server.leave()
    await running


@pytest.mark.parametrize("frame", [{"text_data": 5}, {"bytes_data": "x"}, {"text_data": "\ud800"}])
async def test_a_frame_that_cannot_be_sent_is_the_callers_fault(server, frame):
    router = SocketRouter()
    router.route("X")(lambda socket: socket.send(**frame))
    running = asyncio.create_task(server.run(router.Handler))
    await until(lambda: server.sent)
    server.say('{"type":"X","ref":1}')
    await until(lambda: '"status":500' in str(server.sent[-1]))
    server.leave()
    await running


async def test_a_client_is_told_to_go_though_it_does_not_take_what_waits(server, outbox):
    outbox.open(ACCEPT)
    take = server.send

    async def send(event):
        if event["type"] == "websocket.send":
            await asyncio.Event().wait()
        await take(event)

    outbox._send = send
    outbox.send("never")
    outbox.send("neither")
    outbox.close(4000, "")
    await outbox.stop(0.01)
    assert server.sent[1:] == [4000]


# What is held back for a moment


async def test_what_is_held_goes_first(server, outbox):
    outbox.open(ACCEPT)
    outbox.hold(broadcast_of("a"))
    outbox.send("b")
    outbox.queue(broadcast_of("c"))
    outbox.close(4000, "")
    assert server.sent[1:] == []
    assert outbox.release(2) == 2
    assert server.sent[1:] == ["a", "b"]
    assert outbox.release(100) == 2
    assert server.sent[1:] == ["a", "b", "c", 4000]
    assert outbox.release(100) == 0


async def test_after_its_release_an_outbox_is_as_before(server, outbox):
    outbox.open(ACCEPT)
    outbox.hold(broadcast_of("a"))
    outbox.release(1)
    outbox.send("b")
    assert server.sent[1:] == ["a", "b"]


async def test_what_is_held_makes_no_client_slow(server, outbox):
    outbox.open(ACCEPT)
    outbox.hold(broadcast_of("0"))
    texts = [f"{number:04}" for number in range(20)]
    for text in texts:
        outbox.queue(broadcast_of(text))
        await asyncio.wait_for(outbox.send("own"), 0.1)
    outbox.release()
    assert [text for text in server.sent if text in texts] == texts
    assert len(server.sent) == 42


async def test_held_frames_are_written_before_they_are_too_many(server, outbox):
    outbox.open(ACCEPT)
    outbox.hold(broadcast_of("12345"))
    for _ in range(3):
        outbox.queue(broadcast_of("12345"))
    assert server.sent[1:] == []
    outbox.queue(broadcast_of("12345"))
    assert server.sent[1:] == ["12345"] * 5
    outbox.release()
    assert len(server.sent) == 6


async def test_a_client_that_reads_no_more_keeps_what_was_held_in_its_order(server, outbox):
    outbox.open(ACCEPT)
    server.reads.clear()
    outbox.hold(broadcast_of("a"))
    outbox.queue(broadcast_of("b"))
    outbox.release()
    outbox.send("c")
    server.reads.set()
    await until(lambda: len(server.sent) == 4)
    assert server.sent[1:] == ["a", "b", "c"]


async def test_stopping_writes_what_is_held(server, outbox):
    outbox.open(ACCEPT)
    outbox.hold(broadcast_of("a"))
    outbox.close(4000, "")
    await outbox.stop(1)
    assert server.sent[1:] == ["a", 4000]


async def test_a_client_that_is_gone_is_sent_nothing_that_was_held(server, outbox):
    outbox.open(ACCEPT)
    outbox.hold(broadcast_of("a"))
    outbox.abandon()
    assert outbox.release() == 0
    assert server.sent[1:] == []


# What is sent to others too


@pytest.mark.parametrize(("texts", "frames"), [(["12345"] * 5, 100), ([""] * 7, 3)])
async def test_a_client_behind_by_twice_the_limits_is_slow(server, texts, frames):
    slow = []
    outbox = make_outbox(server, max_frames=frames, on_slow=lambda: slow.append(1))
    outbox.open(ACCEPT)
    server.reads.clear()
    outbox.send("blocked")
    for text in texts:
        outbox.queue(broadcast_of(text))
    assert not slow
    outbox.queue(broadcast_of("one more"))
    assert slow
    outbox.abandon()


async def test_a_client_that_may_miss_broadcasts_is_told_how_many(server):
    outbox = make_outbox(server, max_frames=4, lagged=lambda missed: f"missed {missed}")
    outbox.open(ACCEPT)
    server.reads.clear()
    outbox.send("own 1")
    dropped = sum(outbox.queue(broadcast_of(text)) for text in "0123")
    outbox.send("!")
    dropped += sum(outbox.queue(broadcast_of(text)) for text in "456789")
    server.reads.set()
    await until(lambda: server.sent[-1] == "9")
    received = [text for text in server.sent[1:] if text.isdecimal()]
    assert server.sent[1:4] == ["own 1", f"missed {dropped}", "!"]
    assert received == list("0123456789")[dropped:]
    assert 0 < len(received) == 10 - dropped


async def test_a_broadcast_keeps_its_place(server, outbox):
    outbox.send("a")
    outbox.queue(broadcast_of("b"))
    outbox.send("c")
    outbox.open(ACCEPT)
    assert server.sent[1:] == ["a", "b", "c"]
    server.reads.clear()
    outbox.send("d")
    outbox.queue(broadcast_of("e"))
    outbox.send("f")
    server.reads.set()
    await until(lambda: len(server.sent) == 7)
    assert server.sent[4:] == ["d", "e", "f"]


async def test_who_is_refused_is_sent_no_broadcasts(server, outbox):
    outbox.queue(broadcast_of("all"))
    outbox.send("own")
    outbox.queue(broadcast_of("all"))
    outbox.drop_broadcasts()
    outbox.open(ACCEPT)
    assert server.sent[1:] == ["own"]
    assert not outbox.full


class Listening(RoutedSocketHandler):
    outbox_bytes = 1000
    closed: ClassVar[list] = []

    def connect(self):
        self.join("red")

    def disconnect(self, code):
        self.closed.append(code)


@pytest.fixture
async def listening(server):
    """The server's end of a connection in the group "red"."""
    Listening.closed.clear()
    running = asyncio.create_task(server.run(Listening))
    await until(lambda: server.sent)
    yield server
    server.reads.set()
    server.leave()
    await asyncio.wait_for(running, 10)


async def test_broadcasts_to_a_slow_client_wait_in_their_order(listening):
    listening.reads.clear()
    for number in range(10):
        await groups.asend_json("red", number)
    listening.reads.set()
    await until(lambda: len(listening.sent) == 11)
    assert listening.sent[1:] == [str(number) for number in range(10)]


async def test_a_client_that_reads_no_broadcasts_is_closed_as_slow(listening):
    listening.reads.clear()
    [member] = Hub.current().members
    for _ in range(20):
        await groups.asend_json("red", "x" * 200)
    assert member.outbox._backlog.bytes == 0  # given back before all has ended
    await until(lambda: Listening.closed, timeout=10)
    assert Listening.closed == [4513]


async def test_one_huge_broadcast_closes_nobody(listening):
    listening.reads.clear()
    await groups.asend_json("red", "x")
    await groups.asend_json("red", "x" * 10_000)
    listening.reads.set()
    await until(lambda: len(listening.sent) == 3)
    await groups.asend_json("red", "y")
    await until(lambda: len(listening.sent) == 4)
    assert listening.sent[3] == '"y"'
    assert not Listening.closed
