"""Taking in what one client sends, in whichever task of the connection need not wait."""

import asyncio
import gc
import sys
import weakref
from contextlib import suppress

import pytest
from django.contrib.auth.models import AnonymousUser

from sockets import CloseCode, RoutedSocketHandler
from sockets.exceptions import LoginRequired
from sockets.messages import Message
from sockets.protocols.native import Native

from .clients import Server, client_of
from .conftest import until


class Watched(RoutedSocketHandler):
    """Notes what runs and what has ended."""

    def __init__(self):
        self.seen = []

    def disconnect(self, code):
        self.seen.append(code)

    async def on_quick(self):
        return "quick"

    async def on_wait(self):
        self.seen.append("waits")
        try:
            await asyncio.sleep(1)
            self.seen.append("goes on")
        finally:
            self.seen.append("ended")

    async def on_name(self):
        before = asyncio.current_task().get_name()
        await asyncio.sleep(0)
        return [before, asyncio.current_task().get_name()]

    async def on_close(self):
        await asyncio.sleep(0.01)
        self.close(4000)

    async def on_raise(self):
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    async def on_cancel_itself(self):
        asyncio.current_task().cancel()
        return "quick"

    routes = (
        ("QUICK", "on_quick"),
        ("WAIT", "on_wait"),
        ("NAME", "on_name"),
        ("CLOSE", "on_close"),
        ("RAISE", "on_raise"),
        ("CANCEL_ITSELF", "on_cancel_itself"),
        *RoutedSocketHandler.routes,
    )


async def opened(handler):
    """A server whose client was accepted."""
    server = Server(handler)
    await until(lambda: server.sent)
    return server


async def is_cancelled(server):
    async with asyncio.timeout(3):
        with pytest.raises(asyncio.CancelledError):
            await server.application


def cancel_all_but(others):
    """What the end of a loop does, which cancels all tasks together."""
    for task in asyncio.all_tasks() - others:
        task.cancel()


# Which task runs what


async def test_a_message_is_handled_in_one_task_whatever_it_waits_for():
    async with client_of(Watched()) as client:
        names = [(await client.ask({"type": "NAME", "ref": 1}))["data"] for _ in range(3)]
    assert all(before == after for before, after in names)
    assert len(set(names[0] + names[1] + names[2])) == 3  # the task that reads on is the next


async def test_messages_that_wait_for_nothing_cost_no_task():
    async with client_of(Watched()) as client:
        tasks = asyncio.all_tasks()
        for _ in range(3):
            assert (await client.ask({"type": "QUICK", "ref": 1}))["data"] == "quick"
        assert asyncio.all_tasks() == tasks


async def test_others_have_their_turn_however_much_one_client_sends():
    class Generous(Watched):
        max_waiting = 100_000

    server = await opened(Generous())
    server.put(*[{"type": "QUICK"}] * 1000)
    turns = 0
    while not server.events.empty():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 1000 // 64
    server.leave()
    await server.application


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks begin eagerly from Python 3.12 on")
async def test_a_loop_that_begins_its_tasks_eagerly():
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    async with client_of(Watched()) as client:
        for _ in range(3):
            before, after = (await client.ask({"type": "NAME", "ref": 1}))["data"]
            assert before == after


# Cancelling is of the one message


async def test_a_handler_that_cancels_its_task_and_waits_no_more_loses_nothing():
    async with client_of(Watched()) as client:
        for _ in range(3):
            assert (await client.ask({"type": "CANCEL_ITSELF", "ref": 1}))["data"] == "quick"
            await asyncio.sleep(0.01)
        assert (await client.ask({"type": "QUICK", "ref": 1}))["data"] == "quick"


async def test_a_handlers_task_may_be_cancelled_after_it():
    tasks = []

    class Kept(Watched):
        async def on_quick(self):
            tasks.append(asyncio.current_task())
            return "quick"

    async with client_of(Kept()) as client:
        for _ in range(3):
            assert (await client.ask({"type": "QUICK", "ref": 1}))["data"] == "quick"
            tasks[-1].cancel()
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("steps", range(10))
async def test_tasks_cancelled_while_the_connection_begins_are_not_its_end(steps, caplog):
    others = asyncio.all_tasks()
    socket = Watched()
    server = Server(socket)
    for _ in range(steps):
        await asyncio.sleep(0)
    cancel_all_but({*others, server.application})
    server.put({"type": "QUICK", "ref": 1})
    await until(lambda: server.frames)
    assert server.frames[0]["data"] == "quick"
    server.leave()
    await server.application
    assert socket.seen == [1001]
    assert not caplog.records


# What is kept


@pytest.mark.parametrize("key", ["QUICK", "NAME", "THREAD", "PARTS", "TIME_SYNC", "NONE"])
async def test_an_idle_client_keeps_nothing_of_its_messages_alive(key):
    messages = []

    class Watchable(Message, weakref=True):
        """A message that tells when it is gone."""

    class Keeping(Native):
        def decode(self, frame):
            message = super().decode(frame)
            watchable = Watchable(message.key, message.content, message.ref)
            messages.append(weakref.ref(watchable))
            return watchable

    class Kept(Watched):
        protocols = (Keeping(),)

        def on_thread(self):
            return "thread"

        async def on_parts(self):
            yield "part"

        routes = (*Watched.routes, ("THREAD", "on_thread"), ("PARTS", "on_parts"))

    server = await opened(Kept())
    gc.collect()
    gc.disable()
    try:
        server.put({"type": "QUICK", "ref": 1}, {"type": key, "ref": 2})
        await until(lambda: len(messages) == 2 and not any(message() for message in messages))
    finally:
        gc.enable()
    server.leave()
    await server.application


# However it ends


async def test_a_client_that_is_gone_before_it_asks_for_the_connection_reaches_no_hook():
    socket = Watched()
    server = Server(socket)
    server.events.get_nowait()
    server.leave()
    async with asyncio.timeout(3):
        await server.application
    assert server.sent == socket.seen == []


@pytest.mark.parametrize("steps", range(14))
@pytest.mark.parametrize("state", ["asking", "ticket", "opening", "waiting", "idle"])
def test_a_loop_that_ends_at_any_step_ends_all_and_says_nothing(state, steps, caplog):
    class Opening(Watched):
        login_required = state == "ticket"

        async def connect(self):
            self.seen.append("waits")
            try:
                await asyncio.sleep(1 if state == "opening" else 0)
            finally:
                self.seen.append("ended")

    socket = Opening()

    async def serve():
        server = Server(socket, ticket=None, user=AnonymousUser())
        if state == "asking":
            server.events.get_nowait()
        elif state != "ticket":
            server.put({"type": "WAIT" if state == "waiting" else "QUICK"})
        for _ in range(steps):
            await asyncio.sleep(0)

    asyncio.run(serve())
    gc.collect()  # what was never awaited or retrieved is told by its end
    assert not caplog.records
    assert "goes on" not in socket.seen
    assert socket.seen.count("waits") == socket.seen.count("ended")
    assert ("waits" in socket.seen) == (CloseCode.ABNORMAL in socket.seen)


async def test_an_application_that_had_survived_a_cancellation_serves_as_any_other(caplog):
    socket = Watched()

    async def serve(*arguments):
        asyncio.current_task().cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        await socket(*arguments)

    server = Server(serve)
    for _ in range(2):
        server.put({"type": "RAISE", "ref": 1})
        await until(lambda: server.frames)
        assert server.frames.pop()["status"] == 500
        server.sent.clear()
    server.leave()
    await server.application
    assert socket.seen == [1001]


@pytest.mark.parametrize("steps", range(10))
async def test_nothing_runs_on_when_the_end_meets_a_message_that_begins_to_wait(steps):
    class Impatient(Watched):
        max_waiting = 2

    socket = Impatient()
    server = await opened(socket)
    server.application.cancel()
    for _ in range(steps):
        await asyncio.sleep(0)
    server.put({"type": "QUICK"}, {"type": "WAIT"})
    await is_cancelled(server)
    await asyncio.sleep(0.01)
    assert socket.seen in (["waits", "ended", 1006], [1006])


async def test_all_tasks_cancelled_while_the_connection_ends_still_call_the_hooks(caplog):
    others = asyncio.all_tasks()

    class Slow(Watched):
        async def on_wait(self):
            try:
                await asyncio.sleep(1)
            finally:
                await asyncio.sleep(0.02)

    socket = Slow()
    server = await opened(socket)
    server.put({"type": "WAIT"})
    server.leave(1001)
    await asyncio.sleep(0.01)
    cancel_all_but(others)
    await is_cancelled(server)
    assert socket.seen == [1001]
    assert not caplog.records


async def test_a_server_that_fails_ends_the_connection_and_is_told_its_fault():
    socket = Watched()
    server = await opened(socket)
    server.events.put_nowait(OSError)
    with pytest.raises(OSError):
        await server.application
    assert socket.seen == [CloseCode.ABNORMAL]


@pytest.mark.parametrize("end", ["close", "cancel"])
async def test_a_server_that_fails_for_being_asked_no_more_is_no_fault(end, caplog):
    class Failing(Server):
        async def receive(self):
            try:
                return await super().receive()
            except asyncio.CancelledError:
                raise OSError from None

    server = Failing(Watched())
    await until(lambda: server.sent)
    if end == "close":
        server.put({"type": "CLOSE"})
        await server.application
        assert server.close_code == 4000
    else:
        server.application.cancel()
        await is_cancelled(server)
    gc.collect()
    await asyncio.sleep(0)
    assert not caplog.records


async def test_a_server_whose_receive_was_cancelled_by_itself_has_no_client_any_more():
    socket = Watched()
    server = await opened(socket)
    server.events.put_nowait(asyncio.CancelledError)
    await server.application
    assert socket.seen == [CloseCode.ABNORMAL]


async def test_a_hook_that_asks_for_a_login_when_the_client_is_gone_sends_nothing():
    class Asking(Watched):
        async def connect(self):
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                raise LoginRequired from None

    server = Server(Asking())
    server.leave()
    await server.application
    assert server.sent == []


async def test_a_hook_that_fails_after_it_closed_has_closed(caplog):
    class Closing(Watched):
        async def connect(self):
            await self.accept()
            self.send_json("first")
            self.close(4321)
            raise RuntimeError

    class Slow(Server):
        async def send(self, event):
            await super().send(event)
            await asyncio.sleep(0.01)

    server = Slow(Closing())
    await server.application
    assert server.frames == ["first"]
    assert server.close_code == 4321
    assert "A connect hook of" in caplog.text


@pytest.mark.parametrize("end", ["failing", "cancelled", "cancelled twice", "loop"])
async def test_a_connection_is_gone_without_the_garbage_collector_however_it_ends(end):
    class Slow(Watched):
        async def disconnect(self, code):
            await asyncio.sleep(0.01)

    gc.collect()
    gc.disable()
    try:
        others = asyncio.all_tasks()
        server = await opened(Slow())
        [socket] = [weakref.ref(one) for one in gc.get_objects() if type(one) is Slow]
        if end == "failing":
            server.events.put_nowait(OSError)
        elif end == "loop":
            cancel_all_but(others)
        else:
            server.application.cancel()
            if end == "cancelled twice":
                await asyncio.sleep(0.005)
                server.application.cancel()
        await asyncio.wait([server.application])
        if end == "failing":
            assert isinstance(server.application.exception(), OSError)
        else:
            assert server.application.cancelled()
        server.application = None
        await until(lambda: socket() is None)
    finally:
        gc.enable()
