"""What docs/consumers.md says of consumers and of handlers, seen on both."""

import asyncio
import datetime
import json
import re
import threading
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.consumer import AsyncConsumer
from channels.exceptions import DenyConnection
from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from channels.routing import URLRouter
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, logout
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest
from django.urls import path
from websockets.exceptions import InvalidStatus

from sockets import RoutedSocketHandler, groups
from sockets.asgi import get_asgi_application
from sockets.declaration import NEVER_CALLED
from sockets.exceptions import DeclarationError
from sockets.models import Socket

from .clients import Client
from .conftest import until
from .servers import ROOT, serving

PAGE = (ROOT / "docs" / "consumers.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SOURCES = {block.partition("\n")[0][2:]: block for kind, block in BLOCKS if kind == "python"}
[MOVE] = [block for kind, block in BLOCKS if kind == "diff"]

LONG = 60
"""Seconds for which no test waits."""

with_rows = pytest.mark.django_db(transaction=True)


def run_block(file, source=None):
    """What a block of the page defines; `file` is the name in its first line."""
    made = ModuleType(file.removesuffix(".py").replace("/", "."))
    exec(compile(source or SOURCES[file], file, "exec"), vars(made))
    return made


def table(corner):
    """The rows of the table whose first header this is."""
    lines = PAGE.partition(f"\n| {corner} |")[2].split("\n\n")[0].splitlines()[2:]
    return [line.strip("| ").split(" | ") for line in lines]


class Press:
    """Has PRINT of the archives take as long as a test wants: it stands for their `time`."""

    def __init__(self):
        self.began, self.go_on = threading.Event(), threading.Event()

    def sleep(self, seconds):
        self.began.set()
        assert self.go_on.wait(LONG)

    def stop(self):
        self.began.clear()
        self.go_on.clear()


@pytest.fixture
def press():
    made = Press()
    yield made
    made.go_on.set()


@pytest.fixture
def archives(press):
    """The page's archives: the consumer and the handler."""
    module = run_block("archive.py")
    module.time = press
    return [module.Archive, module.archive.Handler]


@pytest.fixture
def rooms():
    """The page's rooms: the consumer and the handler."""
    return [run_block(f"chat/{kind}.py").Room for kind in ("consumers", "handlers")]


@asynccontextmanager
async def client_of(kind, **scope):
    """A client connected to a consumer or a handler, in the room `blue`; either may have ended."""
    client = Client(URLRouter([path("<slug:room>/", kind.as_asgi())]), "/blue/")
    client.scope.update(scope)
    assert await client.connect() == (True, None)
    try:
        yield client
    finally:
        if not client.future.done():
            await client.disconnect()


async def ended_by(client):
    """The name of the exception that ended the application."""
    with pytest.raises(Exception) as raised:
        await client.wait()
    return raised.type.__name__


def is_consumer(kind):
    return not issubclass(kind, RoutedSocketHandler)


# The same socket twice


async def answered(client, sent, cell):
    """Whether what the page says in a cell is what happens to a client that sends this."""
    await client.send_to(text_data=sent)
    if cell == "silence":
        return await client.receive_nothing()
    if cell.startswith("ends: "):
        return await ended_by(client) == cell[6:].strip("`")
    answer = await client.receive_json_from()
    if cell.startswith("ERROR "):
        ref = re.search(r'"ref": (\d)', sent)
        told = (answer["type"], answer["status"], answer.get("ref"))
        return told == ("ERROR", int(cell[6:]), ref and int(ref[1]))
    return answer == json.loads(cell.strip("`"))


@with_rows
@pytest.mark.usefixtures("closing_connections")
@pytest.mark.parametrize(("sent", "consumer", "handler"), table("the client sends"))
async def test_the_same_frames_are_answered_as_the_page_says(rooms, sent, consumer, handler):
    await User.objects.acreate(pk=1, username="ann")
    cells = [consumer, consumer if handler == "the same" else handler]
    for room, cell in zip(rooms, cells, strict=True):
        async with client_of(room) as client:
            assert await answered(client, sent.strip("`"), cell)


async def test_what_is_said_reaches_all_in_the_room_and_nobody_who_has_left(rooms):
    for room in rooms:
        async with client_of(room) as first, client_of(room) as second:
            async with client_of(room):
                pass
            await first.send_json_to({"type": "SAY", "text": "hi"})
            for client in (first, second):
                assert await client.receive_json_from() == {"type": "SAID", "text": "hi"}


# Begin and end


async def handshake(kind):
    """The events that answer a client who has sent nothing yet."""
    client = Client(kind.as_asgi(), "/")
    await client.send_input({"type": "websocket.connect"})
    events = []
    while not await client.receive_nothing():
        event = await client.receive_output()
        events.append((event["type"].removeprefix("websocket."), event.get("code")))
    client.future.cancel()
    await client.wait()
    return events


async def test_accept_follows_a_connect_that_returns():
    class Consumer(AsyncJsonWebsocketConsumer):
        async def connect(self): ...

    class Handler(RoutedSocketHandler):
        async def connect(self): ...

    assert await handshake(Consumer) == []
    assert await handshake(Handler) == [("accept", None)]


@pytest.mark.parametrize(("fault", "code"), [(PermissionDenied, 4403), (RuntimeError, 4500)])
async def test_a_connect_that_raises_refuses(fault, code, caplog):
    class Consumer(AsyncJsonWebsocketConsumer):
        async def connect(self):
            raise fault

    class Handler(RoutedSocketHandler):
        async def connect(self):
            raise fault

    with pytest.raises(fault):
        await handshake(Consumer)
    assert await handshake(Handler) == [("accept", None), ("close", code)]
    assert ("RuntimeError" in caplog.text) == (fault is RuntimeError)


async def test_a_browser_sees_the_code_of_a_refusal():
    class Consumer(AsyncJsonWebsocketConsumer):
        async def connect(self):
            await self.close(4403)

    class Handler(RoutedSocketHandler):
        async def connect(self):
            await self.close(4403)

    class AtHandshake(Handler):
        refuse_at_handshake = True

    refused = [("close", 4403)]
    assert await handshake(Consumer) == await handshake(AtHandshake) == refused
    assert await handshake(Handler) == [("accept", None), *refused]


def noting(kind, codes):
    """The class, with the codes noted that its `disconnect` is told."""

    async def disconnect(self, code):
        codes.append(code)

    return type(kind.__name__, (kind,), {"disconnect": disconnect})


async def test_disconnect_runs_after_a_fault_too(rooms):
    codes = [[], []]
    for room, noted in zip(rooms, codes, strict=True):
        async with client_of(noting(room, noted)) as client:
            await client.send_json_to({"type": "SAY"})
            if is_consumer(room):
                assert await ended_by(client) == "KeyError"
            else:
                assert (await client.receive_json_from())["status"] == 400
    assert codes == [[], [1000]]


async def test_disconnect_runs_where_the_server_ends_the_application_too(archives):
    codes = [[], []]
    for archive, noted in zip(archives, codes, strict=True):
        async with client_of(noting(archive, noted)) as client:
            await client.send_json_to({"type": "EXPORT", "ref": 1, "seconds": LONG})
            assert await client.receive_nothing()
            client.future.cancel()
            await client.wait()
    assert codes == [[], [1006]]


SERVED = """
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.urls import path
from sockets import RoutedSocketHandler
from sockets.asgi import get_asgi_application

class Consumer(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content):
        raise RuntimeError

class Handler(RoutedSocketHandler):
    tracked = False

    async def default_route(self, content):
        raise RuntimeError

class Refusing(AsyncJsonWebsocketConsumer):
    async def connect(self):
        raise RuntimeError

class Closing(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.close(4403)

kinds = (Consumer, Handler, Refusing, Closing)
application = get_asgi_application([path(f"{kind.__name__}/", kind.as_asgi()) for kind in kinds])
"""


@pytest.mark.parametrize(("kind", "code"), [("daphne", 1011), ("uvicorn", 1006)])
async def test_what_servers_make_of_a_fault(kind, code, tmp_path):
    (tmp_path / "served.py").write_text(SERVED)
    settings = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    with serving(kind, "served:application", tmp_path / "log", **settings) as server:
        async with server.client("/Consumer/") as client:
            await client.send({"type": "X"})
            assert await client.close_code() == code
        async with server.client("/Handler/") as client:
            for _ in range(2):
                assert (await client.ask("X"))["status"] == 500
        for name, status in (("Refusing", 500), ("Closing", 403)):
            with pytest.raises(InvalidStatus) as refused:
                async with server.client(f"/{name}/"):
                    pass
            assert refused.value.response.status_code == status


def session_of(user):
    """A stored session, in which the user is logged in."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return session


@with_rows
@pytest.mark.usefixtures("closing_connections")
async def test_a_logout_ends_the_connections_of_handlers(archives):
    user = await User.objects.acreate(username="ann")
    for archive in archives:
        session = await sync_to_async(session_of)(user)
        request = HttpRequest()
        request.session = SessionStore(session.session_key)
        async with client_of(archive, session=session, user=user) as client:
            await sync_to_async(logout)(request)
            if is_consumer(archive):
                assert await client.ask(export(1)) == {"type": "EXPORT", "ref": 1}
            else:
                assert (await client.receive_json_from())["type"] == "RECONNECT"
                assert await client.next_close() == 4401


@with_rows
@pytest.mark.usefixtures("closing_connections")
async def test_what_a_function_changes_in_the_session_is_saved_before_its_answer():
    class Consumer(AsyncJsonWebsocketConsumer):
        async def receive_json(self, content):
            self.scope["session"]["seen"] = True
            await self.send_json({})

    class Handler(RoutedSocketHandler):
        async def default_route(self, content):
            self.session["seen"] = True
            return {}

    user = await User.objects.acreate(username="ann")
    saved = []
    for kind in (Consumer, Handler):
        session = await sync_to_async(session_of)(user)
        async with client_of(kind, session=session) as client:
            await client.ask({"type": "X"})
            saved.append(await SessionStore(session.session_key).aget("seen"))
    assert saved == [None, True]


# What takes long


def export(ref, seconds=0):
    return {"type": "EXPORT", "ref": ref, "seconds": seconds}


def printing(ref):
    return {"type": "PRINT", "ref": ref, "seconds": LONG}


async def test_a_clients_messages_are_handled_one_after_another(archives, press):
    for archive in archives:
        press.stop()
        async with client_of(archive) as client:
            await client.send_json_to(printing(1))
            await client.send_json_to(printing(2))
            await until(press.began.is_set)
            assert await client.receive_nothing()
            press.go_on.set()
            assert [(await client.receive_json_from())["ref"] for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("first", [export(1, LONG), printing(1)], ids=["EXPORT", "PRINT"])
async def test_a_message_beside_a_concurrent_route_does_not_wait(archives, press, first):
    consumer, handler = archives
    async with client_of(handler) as client:
        await client.send_json_to(first)
        assert (await client.ask(export(2)))["ref"] == 2
        await client.send_json_to(printing(3))
        await until(press.began.is_set)
        press.go_on.set()
    press.stop()
    async with client_of(consumer) as client:
        await client.send_json_to(first)
        await client.send_json_to(export(2))
        assert await client.receive_nothing()
        press.go_on.set()
        client.future.cancel()


@pytest.mark.parametrize("message", [export(1, LONG), printing(1)], ids=["EXPORT", "PRINT"])
async def test_a_cancellation_is_read_while_a_message_is_handled(archives, press, message):
    cancel = {"type": "CANCEL", "ref": 1}
    for archive in archives:
        press.stop()
        async with client_of(archive) as client:
            await client.send_json_to(message)
            if message == printing(1):
                await until(press.began.is_set)
            await client.send_json_to(cancel)
            if is_consumer(archive):
                assert await client.receive_nothing()
                client.future.cancel()
            else:
                error = await client.receive_json_from()
                assert (error["type"], error["ref"], error["status"]) == ("ERROR", 1, 499)
            press.go_on.set()


async def test_a_client_that_leaves_is_noticed_while_a_message_is_handled(archives):
    codes = [[], []]
    for archive, noted in zip(archives, codes, strict=True):
        async with client_of(noting(archive, noted)) as client:
            await client.send_json_to(export(1, LONG))
            await client.send_input({"type": "websocket.disconnect", "code": 1001})
            if is_consumer(archive):
                assert await client.receive_nothing()
                assert not client.future.done()
                client.future.cancel()
            await client.wait()
    assert codes == [[], [1001]]


async def test_what_a_group_is_sent_waits_for_no_handler(archives):
    class Consumer(archives[0]):
        groups = ("news",)

        async def news(self, event):
            await self.send_json(event["text"])

    class Handler(archives[1]):
        def connect(self):
            self.join("news")

    async with client_of(Consumer) as consumer, client_of(Handler) as handler:
        for client in (consumer, handler):
            await client.send_json_to(export(1, LONG))
            assert await client.receive_nothing()
        await get_channel_layer().group_send("news", {"type": "news", "text": "extra"})
        await groups.asend_json("news", "extra")
        assert await handler.receive_json_from() == "extra"
        assert await consumer.receive_nothing()
        consumer.future.cancel()


async def waits_for_print(press, application, kind):
    """Whether a client waits while another one prints."""
    press.stop()
    printer, other = Client(application, f"/{kind}/"), Client(application, f"/{kind}/")
    for client in (printer, other):
        assert (await client.connect())[0]
    await printer.send_json_to(printing(1))
    await until(press.began.is_set)
    await other.send_json_to(export(2))
    waits = await other.receive_nothing()
    press.go_on.set()
    for client, ref in ((printer, 1), (other, 2)):
        assert (await client.receive_json_from())["ref"] == ref
        await client.disconnect()
    return waits


async def test_a_slow_thread_delays_consumers_unless_they_stand_beside_handlers(archives, press):
    consumer, handler = archives
    mounts = [path("consumer/", consumer.as_asgi()), path("handler/", handler.as_asgi())]
    assert await waits_for_print(press, URLRouter(mounts), "consumer")
    assert not await waits_for_print(press, URLRouter(mounts), "handler")
    assert not await waits_for_print(press, get_asgi_application(mounts), "consumer")


async def test_a_consumer_has_one_colour():
    class Consumer(AsyncJsonWebsocketConsumer):
        def receive_json(self, content):
            """Nothing to await."""

    async with client_of(Consumer) as client:
        await client.send_json_to({})
        assert await ended_by(client) == "TypeError"


# Sending


async def test_a_send_that_nobody_awaits_is_lost_by_a_consumer_only():
    class Consumer(AsyncJsonWebsocketConsumer):
        async def receive_json(self, content):
            self.send_json("sent")

    class Handler(RoutedSocketHandler):
        async def default_route(self, content):
            self.send_json("sent")

    async with client_of(Consumer) as consumer, client_of(Handler) as handler:
        with pytest.warns(RuntimeWarning, match="send_json' was never awaited"):
            await consumer.send_json_to({})
            assert await consumer.receive_nothing()
        assert await handler.ask({}) == "sent"


async def test_a_date_is_encoded():
    class Consumer(AsyncJsonWebsocketConsumer):
        async def receive_json(self, content):
            await self.send_json(datetime.date(2026, 1, 2))

    class Handler(RoutedSocketHandler):
        async def default_route(self, content):
            await self.send_json(datetime.date(2026, 1, 2))

    async with client_of(Consumer) as consumer, client_of(Handler) as handler:
        await consumer.send_json_to({})
        assert await ended_by(consumer) == "TypeError"
        assert await handler.ask({}) == "2026-01-02"


@with_rows
@pytest.mark.usefixtures("closing_connections")
async def test_all_connections_of_a_user_are_sent_to(archives):
    ann, bob = [await User.objects.acreate(username=name) for name in ("ann", "bob")]
    [sent] = re.findall(r"`(Socket\..*?)`", PAGE)
    async with (
        client_of(archives[1], user=ann) as first,
        client_of(archives[1], user=ann) as second,
        client_of(archives[1], user=bob) as other,
    ):
        await sync_to_async(eval)(sent, {"Socket": Socket, "ann": ann})
        for client in (first, second):
            assert await client.receive_json_from() == {"type": "PAID"}
        assert await other.receive_nothing()


@pytest.fixture
def members():
    """A consumer and a handler in a group of the layer, the handler in one of its own as well."""

    class Consumer(AsyncJsonWebsocketConsumer):
        groups = ("news",)

        async def receive_json(self, content):
            await self.may_answer.wait()
            await self.send_json("answer")

        async def news(self, event):
            await self.send_json(event["text"])

    class Handler(RoutedSocketHandler):
        groups = ("news",)

        def connect(self):
            self.join("own")

        async def default_route(self, content):
            await self.may_answer.wait()
            self.send_json("answer")

        def news(self, event):
            self.send_json(event["text"])

    Consumer.may_answer = Handler.may_answer = asyncio.Event()
    return [Consumer, Handler]


async def test_the_groups_of_the_two_worlds_do_not_reach_each_other(rooms):
    consumer, handler = rooms
    async with client_of(consumer) as old, client_of(handler) as new:
        await old.send_json_to({"type": "SAY", "text": "old"})
        await new.send_json_to({"type": "SAY", "text": "new"})
        assert (await old.receive_json_from())["text"] == "old"
        assert (await new.receive_json_from())["text"] == "new"
        assert await old.receive_nothing()
        assert await new.receive_nothing()


@pytest.mark.parametrize(
    ("name", "fits"), [("a-b_c.D9", 1), ("x" * 99, 1), ("x" * 100, 0), ("é", 0)]
)
async def test_any_string_names_a_group_of_handlers(name, fits):
    class Handler(RoutedSocketHandler):
        def connect(self):
            self.join(name)

    layer = get_channel_layer()
    if fits:
        await layer.group_add(name, await layer.new_channel())
    else:
        with pytest.raises(TypeError, match="Group name"):
            await layer.group_add(name, await layer.new_channel())
    async with client_of(Handler) as client:
        await groups.asend_json(name, "sent")
        assert await client.receive_json_from() == "sent"


async def test_a_channel_of_the_layer_holds_100_events_and_loses_the_next(members):
    consumer, handler = members
    async with client_of(consumer) as behind, client_of(handler) as other:
        await behind.send_json_to({})
        await other.send_json_to({})
        assert await behind.receive_nothing()
        for number in range(150):
            await get_channel_layer().group_send("news", {"type": "news", "text": number})
            await groups.asend_json("own", -number)
        for number in range(150):
            assert await other.receive_json_from() == -number
        consumer.may_answer.set()
        assert await behind.receive_json_from() == "answer"
        for number in range(101):  # the consumer has taken one already
            assert await behind.receive_json_from() == number
        assert await behind.receive_nothing()


@with_rows
@pytest.mark.usefixtures("closing_connections")
async def test_what_a_transaction_sends_to_handlers_waits_for_its_commit(members):
    def send_in_vain():
        with transaction.atomic():
            event = {"type": "news", "text": "in vain"}
            async_to_sync(get_channel_layer().group_send)("news", event)
            groups.send_json("own", "in vain")
            transaction.set_rollback(True)
        groups.send_json("own", "in earnest")

    consumer, handler = members[0], type("Own", (members[1],), {"groups": None})
    async with client_of(consumer) as at_once, client_of(handler) as waiting:
        await sync_to_async(send_in_vain)()
        assert await at_once.receive_json_from() == "in vain"
        assert await waiting.receive_json_from() == "in earnest"


async def test_groups_of_handlers_need_no_channel_layer(rooms, settings):
    settings.CHANNEL_LAYERS = {}
    consumer, handler = rooms
    client = Client(URLRouter([path("<slug:room>/", consumer.as_asgi())]), "/blue/")
    await client.send_input({"type": "websocket.connect"})
    assert await ended_by(client) == "AttributeError"
    async with client_of(handler) as client:
        assert (await client.ask({"type": "SAY", "text": "hi"}))["text"] == "hi"


async def test_events_of_the_layer_come_in_order_with_messages(members):
    for kind in members:
        kind.may_answer.clear()
        async with client_of(kind) as client:
            await client.send_json_to({})
            assert await client.receive_nothing()
            await get_channel_layer().group_send("news", {"type": "news", "text": "event"})
            assert await client.receive_nothing()
            kind.may_answer.set()
            assert [await client.receive_json_from() for _ in range(2)] == ["answer", "event"]


async def test_an_event_calls_any_method_of_a_consumer_and_only_ones_own_of_a_handler(
    members, caplog
):
    consumer, handler = members
    async with client_of(consumer) as old, client_of(handler) as new:
        await get_channel_layer().group_send("news", {"type": "send.json", "secret": 1})
        assert await old.receive_json_from() == {"type": "send.json", "secret": 1}
        await get_channel_layer().group_send("news", {"type": "unknown"})
        assert await ended_by(old) == "ValueError"
        await get_channel_layer().group_send("news", {"type": "news", "text": "alive"})
        assert await new.receive_json_from() == "alive"
    for kind in ("send.json", "unknown"):
        assert f"no method for the layer's event {kind!r}" in caplog.text


# Moving


def moved():
    """The page's consumer as a handler, with the changes that the page shows."""
    source = SOURCES["chat/consumers.py"]
    for old, new in re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)+)", MOVE, re.MULTILINE):
        old, new = (re.sub(r"^.", "", lines, flags=re.MULTILINE) for lines in (old, new))
        assert source.count(old) == 1
        source = source.replace(old, new)
    return run_block("chat/moved.py", source).Room


@with_rows
@pytest.mark.usefixtures("closing_connections")
@pytest.mark.parametrize(("sent", "consumer", "handler"), table("the client sends"))
async def test_a_moved_consumer_answers_as_before_and_survives_its_faults(sent, consumer, handler):
    await User.objects.acreate(pk=1, username="ann")
    sent, fails = sent.strip("`"), consumer.startswith("ends: ")
    async with client_of(moved()) as client:
        if consumer.startswith("`"):
            assert await answered(client, sent, consumer)
        else:
            await client.send_to(text_data=sent)
        if fails or '"ref"' in sent:
            end = await client.receive_json_from()
            assert end["type"] == "ERROR" if fails else end["status"] == 204
        await client.send_json_to({"type": "SAY", "text": "alive"})
        assert await client.receive_json_from() == {"type": "SAID", "text": "alive"}


def names_to_change(found):
    rows = [instead for instead, _, when in table("instead of") if when == found]
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


def test_what_is_found_at_import_is_what_no_handler_calls():
    assert set(names_to_change("at import")) == set(NEVER_CALLED)


@pytest.mark.parametrize("name", names_to_change("at import"))
def test_overriding_it_is_refused(name):
    type("Consumer", (AsyncJsonWebsocketConsumer,), {name: lambda self: None})
    with pytest.raises(DeclarationError, match=f"{name} would never be called; "):
        type("Handler", (RoutedSocketHandler,), {name: lambda self: None})


async def call_super(self):
    await super(type(self), self).connect()


async def test_a_connect_that_calls_super_may_stay():
    handler = type("Handler", (RoutedSocketHandler,), {"connect": call_super})
    assert await handshake(handler) == [("accept", None)]


async def deny(self):
    raise DenyConnection


async def accept_with_headers(self):
    await self.accept(headers=[(b"x-room", b"blue")])


def assigning(name):
    async def assign(self):
        setattr(self, name, None)
        await self.accept()

    return assign


@pytest.mark.parametrize(
    ("connect", "before"),
    [
        (deny, "close"),
        (accept_with_headers, "accept"),
        *((assigning(name), "accept") for name in ("user", *names_to_change("when it runs"))),
    ],
)
async def test_a_connect_that_needs_a_change_is_refused_when_it_runs(connect, before, caplog):
    consumer = type("Consumer", (AsyncJsonWebsocketConsumer,), {"connect": connect})
    handler = type("Handler", (RoutedSocketHandler,), {"connect": connect})
    assert await handshake(consumer) == [(before, None)]
    assert await handshake(handler) == [("accept", None), ("close", 4500)]
    assert "A connect hook of" in caplog.text


async def test_closing_with_a_send_takes_two_calls():
    class Consumer(AsyncJsonWebsocketConsumer):
        async def receive_json(self, content):
            await self.send_json("bye", close=True)

    class Handler(RoutedSocketHandler):
        async def default_route(self, content):
            if "close" in content:
                await self.send_json("bye", close=True)
            await self.send_json("bye")
            await self.close()

    async with client_of(Consumer) as consumer, client_of(Handler) as handler:
        assert (await handler.ask({"close": 1}))["status"] == 500
        for client in (consumer, handler):
            assert await client.ask({}) == "bye"
            assert (await client.receive_output())["type"] == "websocket.close"


# Where a consumer does more


async def test_a_consumer_takes_any_frame():
    class Bytes(AsyncWebsocketConsumer):
        async def receive(self, text_data=None, bytes_data=None):
            await self.send(text_data=json.dumps("taken"))

    class Consumer(AsyncJsonWebsocketConsumer):
        async def receive_json(self, content):
            await self.send_json("taken")

    class Handler(RoutedSocketHandler):
        async def default_route(self, content):
            return "taken"

    async with client_of(Bytes) as client:
        await client.send_to(bytes_data=b"\x00")
        assert await client.receive_json_from() == "taken"
    async with client_of(Consumer) as consumer, client_of(Handler) as handler:
        await handler.send_to(bytes_data=b"\x00")
        assert (await handler.receive_json_from())["status"] == 400
        for frame, status in ((["PING"], 400), ({"x": "x" * 2**16}, 413)):
            assert await consumer.ask(frame) == "taken"
            assert (await handler.ask(frame))["status"] == status
        assert await consumer.ask({"type": "PING"}) == "taken"
        await handler.send_json_to({"type": "PING"})
        assert await handler.receive_nothing()
        assert (await handler.ask({"type": "JOIN", "group": "x", "ref": 1}))["status"] == 403


def test_a_handler_is_a_consumer_but_none_of_the_generic_ones(rooms):
    consumer, handler = rooms
    assert issubclass(handler, AsyncConsumer)
    assert issubclass(consumer, AsyncConsumer)
    assert not issubclass(handler, AsyncWebsocketConsumer)
    for room in rooms:
        assert room.as_asgi().consumer_class is room


@with_rows
@pytest.mark.usefixtures("closing_connections")
async def test_a_handler_has_a_row_unless_it_is_not_tracked(archives):
    consumer, handler = archives
    untracked = type("Untracked", (handler,), {"tracked": False})
    for kind, rows in ((consumer, 0), (handler, 1), (untracked, 0)):
        async with client_of(kind):
            assert await Socket.objects.acount() == rows


def test_its_links_lead_somewhere():
    reference = (ROOT / "docs" / "reference.md").read_text().lower()
    links = re.findall(r"\]\(reference\.md#([\w-]+)\)", PAGE)
    assert len(links) == PAGE.count("](")
    for anchor in links:
        assert re.search(f"^#+ {anchor.replace('-', ' ')}$", reference, re.MULTILINE), anchor
