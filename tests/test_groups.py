"""Named groups of connections, and sending to them from anywhere."""

import asyncio
from contextlib import AsyncExitStack
from typing import ClassVar

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import transaction
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from sockets import RoutedSocketHandler, SocketRouter, groups
from sockets.hub import Hub
from sockets.models import Socket

from .clients import Client, client_of, frames_of
from .conftest import until


class Tab(RoutedSocketHandler):
    """A connection that joins whatever group it is told to."""

    def connect(self):
        for name in self.kwargs.get("groups", ()):
            self.join(name)

    def on_enter(self, group):
        self.join(group["name"])

    async def on_exit(self, group):
        self.leave(group["name"])

    async def on_joined(self):
        return self.joined

    routes = (
        ("ENTER", "on_enter"),
        ("EXIT", "on_exit"),
        ("JOINED", "on_joined"),
        ("NOW", "on_joined"),
    )


def tab(*names, path="/", handler=Tab):
    """A client in these groups from the beginning."""
    return client_of(handler, path, url_route={"kwargs": {"groups": names}})


async def joined(client):
    return (await client.ask({"type": "JOINED", "ref": 1}))["data"]


# Who gets it


async def test_the_members_of_a_group_get_it_and_nobody_else():
    async with (
        tab("red") as red,
        tab("blue") as blue,
        tab("blue", "red") as both,
        tab("red", path="/elsewhere/") as elsewhere,
        tab() as alone,
    ):
        await groups.asend_json("red", {"n": 1})
        await groups.asend_json("none", {"n": 2})
        await groups.asend_action("blue", "CHAT", text="hi")
        assert await frames_of(red) == [{"n": 1}]
        assert await frames_of(elsewhere) == [{"n": 1}]
        assert await frames_of(blue) == [{"type": "CHAT", "text": "hi"}]
        assert await frames_of(both) == [{"n": 1}, {"type": "CHAT", "text": "hi"}]
        assert await frames_of(alone) == []


async def test_who_joins_is_in_and_who_leaves_is_out():
    async with tab() as client:
        assert (await client.ask({"type": "ENTER", "ref": 1, "name": "red"}))["status"] == 204
        await groups.asend_json("red", 1)
        assert await frames_of(client) == [1]
        assert (await client.ask({"type": "EXIT", "ref": 1, "name": "red"}))["status"] == 204
        await groups.asend_json("red", 2)
        assert await frames_of(client) == []


async def test_joined_names_the_groups_in_their_order():
    async with tab("b", "a", "c", "a") as client:
        assert await joined(client) == ["b", "a", "c"]
        await client.ask({"type": "EXIT", "ref": 1, "name": "a"})
        await client.ask({"type": "EXIT", "ref": 1, "name": "never joined"})
        assert await joined(client) == ["b", "c"]


async def test_who_joined_twice_gets_it_once_and_leaves_at_once():
    async with tab("a", "a") as client:
        await groups.asend_json("a", 1)
        assert await frames_of(client) == [1]
        await client.ask({"type": "EXIT", "ref": 1, "name": "a"})
        await groups.asend_json("a", 2)
        assert await frames_of(client) == []


@pytest.mark.parametrize("colour", ["def", "async def"])
async def test_joined_is_true_at_once(colour):
    router = SocketRouter()
    seen = []

    def change(socket):
        socket.join("red")
        seen.append(socket.joined)
        socket.leave("red")
        seen.append(socket.joined)

    if colour == "def":
        router.route("GO")(lambda socket: change(socket))
    else:

        @router.route("GO")
        async def on_go(socket):
            change(socket)
            await socket.join("blue")
            await socket.leave("blue")

    async with client_of(router) as client:
        await client.ask({"type": "GO", "ref": 1})
    assert seen == [("red",), ()]


async def test_who_is_gone_is_in_no_group():
    sockets = []

    class Kept(Tab):
        def connect(self):
            super().connect()
            sockets.append(self)

    async with tab() as other:
        async with tab("red", handler=Kept):
            assert sockets[0].joined == ("red",)
        assert sockets[0].joined == ()
        await groups.asend_json("red", 1)
        assert await frames_of(other) == []
        members = Hub.current().members
        assert len(list(members)) == 1
        assert list(members._by_place) == [("path", "/")]


async def test_nothing_of_any_member_is_left_when_all_are_gone():
    async with tab("red", "blue"), tab("red"):
        members = Hub.current().members
        assert members._by_place
    assert not members._by_id
    assert not members._by_place


NAMES = [
    *("", " ", "a b", "a-b", "a_b", "A B", "a b ", "é", "e\u0301", "房间 🎲", "%s\0\n", "a" * 5000),
    *("path", "group", "sockets", "sockets.broadcast", '"', "1"),
]


async def test_any_string_is_a_name_and_names_never_collide():
    async with AsyncExitStack() as stack:
        clients = {name: await stack.enter_async_context(tab(name)) for name in NAMES}
        for name in NAMES:
            await groups.asend_json(name, name)
        for name, client in clients.items():
            assert await frames_of(client) == [name]


async def test_a_group_has_nothing_to_do_with_the_path_of_its_name():
    async with tab(path="/red/") as client:
        await groups.asend_json("/red/", 1)
        assert await frames_of(client) == []


@pytest.mark.parametrize("name", [None, 5, b"red", ["red"], ("red",), gettext_lazy("red")])
async def test_what_is_no_string_is_no_name(name):
    faults = []

    class Trying(Tab):
        def connect(self):
            for change in (self.join, self.leave):
                with pytest.raises(TypeError, match="expected the name of a group, got") as fault:
                    change(name)
                faults.append(fault)

    async with tab(handler=Trying) as client:
        assert await joined(client) == []
    assert len(faults) == 2
    for send in (groups.asend_json, groups.asend_action):
        with pytest.raises(TypeError, match="expected the name of a group, got"):
            await send(name, "x")
    with pytest.raises(TypeError, match="expected the name of a group, got"):
        await groups.aclose(name)


async def test_a_name_that_cannot_be_encoded_is_refused():
    class Trying(Tab):
        def connect(self):
            with pytest.raises(ValueError):
                self.join("\ud800")

    async with tab(handler=Trying) as client:
        assert await joined(client) == []
    with pytest.raises(ValueError):
        await groups.asend_json("\ud800", 1)


async def test_a_safe_string_is_the_name_that_its_text_is():
    async with tab(mark_safe("red")) as client:
        await groups.asend_json("red", 1)
        await groups.asend_json(mark_safe("red"), 2)
        assert await frames_of(client) == [1, 2]


# Whom it spares


class Known(Tab):
    """Remembers its handlers by their groups."""

    sockets: ClassVar[dict] = {}

    def connect(self):
        super().connect()
        self.sockets[self.joined[-1]] = self


@pytest.mark.parametrize(
    ("exclude", "spared"),
    [
        (lambda a, b: a, "a"),
        (lambda a, b: a.row, "a"),
        (lambda a, b: a.id, "a"),
        (lambda a, b: [a, b.row], "ab"),
        (lambda a, b: (a.id, [b.id]), "ab"),
        (lambda a, b: {a.id}, "a"),
        (lambda a, b: (one for one in (a, b)), "ab"),
        (lambda a, b: [], ""),
        (lambda a, b: None, ""),
        (lambda a, b: [None, a], "a"),
    ],
)
async def test_exclude_spares_sockets_rows_ids_and_lists_of_them(exclude, spared):
    async with tab("all", "a", handler=Known) as a, tab("all", "b", handler=Known) as b:
        given = exclude(Known.sockets["a"], Known.sockets["b"])
        await groups.asend_json("all", 1, exclude=given)
        assert await frames_of(a) == ([] if "a" in spared else [1])
        assert await frames_of(b) == ([] if "b" in spared else [1])


@pytest.mark.parametrize("exclude", ["a", 5, b"a", object(), ["a"], {"a": 1}])
async def test_what_cannot_be_excluded_is_refused_and_nothing_sent(exclude):
    async with tab("red") as client:
        with pytest.raises(TypeError, match="expected a socket, a row, an id of one or a list"):
            await groups.asend_json("red", 1, exclude=exclude)
        assert await frames_of(client) == []


async def test_a_close_spares_the_excluded():
    async with tab("all", "a", handler=Known) as a, tab("all", "b", handler=Known) as b:
        await groups.aclose("all", 4000, exclude=Known.sockets["a"])
        assert await b.next_close() == 4000
        assert await frames_of(a) == []


# From where


SENDERS = {
    "awaited": lambda *given: groups.asend_json(*given),
    "a thread": lambda *given: asyncio.to_thread(groups.send_json, *given),
    "another loop": lambda *given: asyncio.to_thread(asyncio.run, groups.asend_json(*given)),
    "async_to_sync": lambda *given: asyncio.to_thread(async_to_sync(groups.asend_json), *given),
    "sync_to_async": lambda *given: sync_to_async(groups.send_json)(*given),
}


@pytest.mark.parametrize("send", SENDERS.values(), ids=SENDERS)
async def test_a_group_is_sent_to_from_anywhere(send):
    async with tab("red") as client:
        for number in range(20):
            await send("red", number)
        assert await frames_of(client) == list(range(20))


HANDLERS = {}


def handler(function):
    HANDLERS[function.__name__] = function
    return function


@handler
def in_def(socket):
    socket.send_json(1)
    groups.send_json("red", 2)
    socket.send_json(3)
    groups.send_action("red", "FOUR")
    socket.broadcast_json(5)
    return 6


@handler
async def in_async_def(socket):
    socket.send_json(1)
    await groups.asend_json("red", 2)
    socket.send_json(3)
    await groups.asend_action("red", "FOUR")
    socket.broadcast_json(5)
    return 6


@handler
def through_async_to_sync(socket):
    socket.send_json(1)
    async_to_sync(groups.asend_json)("red", 2)
    socket.send_json(3)
    async_to_sync(groups.asend_action)("red", "FOUR")
    socket.broadcast_json(5)
    return 6


@pytest.mark.parametrize("function", HANDLERS.values(), ids=HANDLERS)
async def test_a_group_send_keeps_its_place_among_the_handlers_own(function):
    router = SocketRouter(handler=Tab)
    router.route("GO")(function)
    async with tab("red", handler=router.Handler) as client, tab("red") as other:
        await client.send_json_to({"type": "GO", "ref": 1})
        frames = [await client.receive_json_from() for _ in range(6)]
        assert frames[:5] == [1, 2, 3, {"type": "FOUR"}, 5]
        assert frames[5]["data"] == 6
        assert await frames_of(other) == [2, {"type": "FOUR"}, 5]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("send_json", ["red", 1]), ("send_action", ["red", "CHAT"]), ("close", ["red"])],
)
async def test_in_a_coroutine_the_function_names_its_twin(name, arguments):
    async with tab("red") as client:
        with pytest.raises(SynchronousOnlyOperation, match=rf"{name}\(\) .*; await a{name}\(\)"):
            getattr(groups, name)(*arguments)
        assert await frames_of(client) == []


async def test_all_return_none():
    async with tab("red"):
        assert await groups.asend_json("red", 1) is None
        assert await groups.asend_action("red", "CHAT") is None
        assert await asyncio.to_thread(groups.send_json, "red", 1) is None
        assert await asyncio.to_thread(groups.send_action, "red", "CHAT") is None
        assert await asyncio.to_thread(groups.close, "red") is None
        assert await groups.aclose("red") is None


# What is sent


async def test_content_is_any_json():
    content = ["text", 5, 0.5, None, True, [], {}, {"type": "CHAT", "ref": 1, "text": "é 🎲"}]
    async with tab("red") as client:
        for value in content:
            await groups.asend_json("red", value)
        assert await frames_of(client) == content


async def test_what_changes_after_the_call_is_not_seen():
    content = {"n": 1, "list": [1]}

    def send_and_change():
        groups.send_json("red", content)
        groups.send_action("red", "CHAT", **content)
        content["n"] = 2
        content["list"].append(2)

    async with tab("red") as client:
        await asyncio.to_thread(send_and_change)
        expected = {"n": 1, "list": [1]}
        assert await frames_of(client) == [expected, {"type": "CHAT", **expected}]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (object(), TypeError),
        ({"user": object()}, TypeError),
        ({(1, 2): 3}, TypeError),
        ("\ud800", ValueError),
        ({"\udfff": 1}, ValueError),
    ],
)
async def test_what_cannot_be_encoded_is_refused_at_the_call_and_nothing_sent(content, fault):
    async with tab("red") as client:
        with pytest.raises(fault):
            await groups.asend_json("red", content)
        with pytest.raises(fault):
            await groups.asend_action("red", "CHAT", content=content)
        with pytest.raises(fault):
            await asyncio.to_thread(groups.send_json, "red", content)
        assert await frames_of(client) == []


@pytest.mark.parametrize(
    ("type", "fault"), [(5, TypeError), (None, TypeError), ("\ud800", ValueError)]
)
async def test_an_action_without_a_proper_type_is_refused_and_nothing_sent(type, fault):
    async with tab("red") as client:
        with pytest.raises(fault):
            await groups.asend_action("red", type)
        assert await frames_of(client) == []


async def test_an_action_has_no_fields_that_frames_have():
    for taken in ("ref", "type"):
        with pytest.raises(ValueError, match=f"expected fields without '{taken}'"):
            await groups.asend_action("red", "CHAT", **{taken: 1})


async def test_a_field_may_be_called_name():
    async with tab("red") as client:
        await groups.asend_action("red", mark_safe("CHAT"), name="ann", content=1)
        assert await frames_of(client) == [{"type": "CHAT", "name": "ann", "content": 1}]


async def test_content_may_be_huge():
    text = "é" * 3_000_000
    async with tab("red") as client:
        await groups.asend_json("red", text)
        assert await frames_of(client) == [text]


async def test_a_group_is_closed():
    async with tab("red") as red, tab("blue") as blue:
        await groups.aclose("red")
        assert await red.receive_output() == {
            "type": "websocket.close",
            "code": 1000,
            "reason": "",
        }
        await groups.aclose("blue", 4000, gettext_lazy("Yes"))
        event = await blue.receive_output()
        assert (event["code"], event["reason"]) == (4000, "Yes")


@pytest.mark.parametrize("code", [999, 5000, 0, -1, "4000", None, 4000.5])
async def test_what_is_no_close_code_is_refused(code):
    async with tab("red") as client:
        with pytest.raises(ValueError, match="expected a close code from 1000 to 4999, got"):
            await groups.aclose("red", code)
        assert await frames_of(client) == []


# Before a client is accepted


class Hesitating(Tab):
    """Lets its connect hook wait until the test has sent something."""

    sockets: ClassVar[list] = []

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.sockets.append(self)
        self.goes_on = asyncio.Event()
        self.refuses = False

    async def connect(self):
        self.join("red")
        self.send_json("hook")
        await self.goes_on.wait()
        if self.refuses:
            self.close(4403)


@pytest.fixture
async def hesitating():
    """The client and the handler of a connection whose connect hook still runs."""
    client = Client(Hesitating.as_asgi(), "/")
    await client.send_input({"type": "websocket.connect"})
    await until(lambda: Hesitating.sockets and getattr(Hesitating.sockets[-1], "_member", None))
    socket = Hesitating.sockets.pop()
    await until(lambda: socket.joined)
    yield client, socket
    if not client.future.done():
        await client.disconnect()


async def test_what_comes_before_a_client_is_accepted_waits(hesitating):
    client, socket = hesitating
    await groups.asend_json("red", 1)
    socket.goes_on.set()
    assert (await client.receive_output())["type"] == "websocket.accept"
    assert await client.receive_json_from() == "hook"
    assert await client.receive_json_from() == 1
    assert await frames_of(client) == []


async def test_what_came_before_a_client_is_refused_is_dropped(hesitating):
    client, socket = hesitating
    await groups.asend_json("red", 1)
    socket.refuses = True
    socket.goes_on.set()
    assert (await client.receive_output())["type"] == "websocket.accept"
    assert await client.receive_json_from() == "hook"  # sent to this client alone
    assert await client.next_close() == 4403


# Those who do not read


class Stuck:
    """A server whose client never reads: its send never returns."""

    def __init__(self, handler, *names):
        self.events = asyncio.Queue()
        self.events.put_nowait({"type": "websocket.connect"})
        self.sent = []
        self.blocks = False
        scope = {
            "type": "websocket",
            "path": "/",
            "headers": [],
            "url_route": {"kwargs": {"groups": names}},
        }
        self.run = asyncio.create_task(handler.as_asgi()(scope, self.events.get, self.send))

    async def send(self, event):
        if self.blocks:
            await asyncio.Event().wait()
        self.sent.append(event)


async def test_a_broadcast_never_waits_and_closes_who_reads_nothing():
    class Small(Tab):
        outbox_bytes = 1000

    async with tab("red") as reading:
        stuck = Stuck(Small, "red")
        await until(lambda: stuck.sent)
        [socket] = [one._socket for one in Hub.current().members if type(one._socket) is Small]
        stuck.blocks = True
        for _ in range(20):
            await asyncio.wait_for(groups.asend_json("red", "x" * 200), 5)
        assert socket._closed == 4513
        assert await frames_of(reading) == ["x" * 200] * 20
        await asyncio.wait_for(stuck.run, 5)
        assert len(list(Hub.current().members)) == 1


# Inside transactions


@pytest.fixture
def database(transactional_db, closing_connections):
    """A database, and a thread for `sync_to_async` whose connection is closed in the end."""


@pytest.mark.usefixtures("database")
async def test_inside_a_transaction_it_goes_out_on_commit():
    content = {"n": 1}

    def send():
        with transaction.atomic():
            groups.send_json("red", content)
            groups.send_action("red", "CHAT")
            content["n"] = 2
            groups.send_json("red", "at once", immediate=True)

    async with tab("red") as client:
        await sync_to_async(send)()
        assert await frames_of(client) == ["at once", {"n": 1}, {"type": "CHAT"}]


@pytest.mark.usefixtures("database")
async def test_a_close_goes_out_on_commit():
    def close():
        with transaction.atomic():
            groups.close("red", 4000)
            groups.send_json("red", "before", immediate=True)

    async with tab("red") as client:
        await sync_to_async(close)()
        assert await client.receive_json_from() == "before"
        assert await client.next_close() == 4000


@pytest.mark.usefixtures("database")
async def test_what_is_rolled_back_is_never_sent():
    def send():
        with transaction.atomic():
            groups.send_json("red", "rolled back")
            transaction.set_rollback(True)
        with transaction.atomic():
            groups.send_json("red", 1)
            with transaction.atomic():
                groups.send_json("red", 2)
            with transaction.atomic():
                groups.send_json("red", "rolled back to the savepoint")
                transaction.set_rollback(True)

    async with tab("red") as client:
        await sync_to_async(send)()
        assert await frames_of(client) == [1, 2]


@pytest.mark.usefixtures("database")
async def test_beneath_async_to_sync_the_waiting_threads_transaction_counts():
    def send():
        with transaction.atomic():
            async_to_sync(groups.asend_json)("red", "on commit")
            async_to_sync(groups.asend_json)("red", "at once", immediate=True)

    async with tab("red") as client:
        await sync_to_async(send)()
        assert await frames_of(client) == ["at once", "on commit"]


@pytest.mark.parametrize("colour", ["def", "through async_to_sync"])
@pytest.mark.usefixtures("database")
async def test_the_transaction_of_a_handler_counts(colour):
    router = SocketRouter(handler=Tab)
    send = groups.send_json if colour == "def" else async_to_sync(groups.asend_json)

    @router.route("GO")
    def on_go(socket):
        with transaction.atomic():
            send("red", "on commit")
            socket.send_json("at the call")

    async with tab("red", handler=router.Handler) as client:
        await client.send_json_to({"type": "GO"})
        assert await client.receive_json_from() == "at the call"
        assert await client.receive_json_from() == "on commit"


@pytest.mark.usefixtures("database")
async def test_an_awaited_send_does_not_wait_for_a_transaction_elsewhere():
    entered, done = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold():
        with transaction.atomic():
            loop.call_soon_threadsafe(entered.set)
            asyncio.run_coroutine_threadsafe(done.wait(), loop).result()

    async with tab("red") as client:
        holding = asyncio.create_task(sync_to_async(hold)())
        await entered.wait()
        await groups.asend_json("red", 1)
        assert await client.receive_json_from() == 1
        done.set()
        await holding


# Rows to exclude


SELECTIONS = [
    lambda rows: rows,
    lambda rows: [None, rows],
    lambda rows: (one for one in (rows, rows)),
    lambda rows: rows.values_list("pk", flat=True),
]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("exclude", SELECTIONS)
async def test_exclude_takes_a_selection_of_rows_in_every_colour(exclude):
    async with tab("all", "a", handler=Known) as a, tab("all", "b", handler=Known) as b:
        rows = Socket.objects.filter(pk=Known.sockets["a"].id)
        await groups.asend_json("all", 1, exclude=exclude(rows.all()))
        await groups.asend_action("all", "CHAT", exclude=exclude(rows.all()))
        await sync_to_async(groups.send_json)("all", 2, exclude=exclude(rows.all()))
        beneath = async_to_sync(groups.asend_json)
        await sync_to_async(beneath)("all", 3, exclude=exclude(rows.all()))
        assert await frames_of(a) == []
        assert await frames_of(b) == [1, {"type": "CHAT"}, 2, 3]


@pytest.mark.usefixtures("database")
async def test_a_close_spares_a_selection_of_rows():
    async with tab("all", "a", handler=Known) as a, tab("all", "b", handler=Known) as b:
        await groups.aclose("all", 4000, exclude=Socket.objects.filter(pk=Known.sockets["a"].id))
        assert await b.next_close() == 4000
        assert await frames_of(a) == []
