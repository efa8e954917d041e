"""The names of channels-websocket-utils, on consumers of ours and of Channels."""

import asyncio
import logging
import time
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import sync_to_async
from channels.consumer import AsyncConsumer, SyncConsumer
from channels.exceptions import StopConsumer
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)
from channels.routing import URLRouter
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import PermissionDenied, SynchronousOnlyOperation
from django.urls import path

from sockets import SocketRouter
from sockets.compat.replykey import (
    Consumer,
    aget_websocket_token,
    auto_route,
    avalidate_websocket_token,
    get_websocket_token,
    require_perms,
    validate_websocket_token,
)
from sockets.encoding import decode_json
from sockets.exceptions import DeclarationError
from sockets.tokens import TicketMiddleware

from . import websocket_utils as examples
from .clients import Client, client_of

STAFF = "auth.change_user"


@asynccontextmanager
async def client_as(consumer, user=None, path="/"):
    async with client_of(consumer, path, user=user or AnonymousUser()) as client:
        yield client


async def is_silent(client, message):
    """Whether nothing comes for a message before the answer to the next."""
    await client.send_json_to(message)
    answer = await client.ask({"type": "alive", "reply_key": "alive"})
    return answer == {"key": "alive"}


class Alive(Consumer):
    @auto_route
    def alive(self, event):
        return {}


def looked_up(self, content, **kwargs):
    """The `receive_json` that the page of channels-websocket-utils shows."""
    target_method = getattr(self, content["type"])
    target_method(content)


async def looked_up_and_awaited(self, content, **kwargs):
    await getattr(self, content["type"])(content)


# Its examples


@pytest.mark.parametrize("consumer", [examples.Routed, examples.RoutedByName])
async def test_the_example_of_routing(consumer):
    async with client_of(consumer) as client:
        message = {"type": "your_method", "key": "value", "reply_key": "r2"}
        assert await client.ask(message) == {"key": "r2"}
        for name in ("close", "connect", "disconnect", "__class__", "receive_json", "scope"):
            await client.send_json_to({"type": name})
        await client.send_json_to({"type": "your_method", "key": "value"})
        assert await client.ask({**message, "reply_key": "r3"}) == {"key": "r3"}
        assert await client.receive_nothing()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("closing_connections")
async def test_the_example_of_tokens_admits_nobody_as_it_does_not_accept(rf, settings, caplog):
    loader = "django.template.loaders.locmem.Loader", {"main.html": "{{ token }}"}
    engine = "django.template.backends.django.DjangoTemplates"
    settings.TEMPLATES = [{"BACKEND": engine, "OPTIONS": {"loaders": [loader]}}]
    request = rf.get("/")
    request.user = await User.objects.acreate(username="ann")
    token = (await sync_to_async(examples.your_view)(request)).content.decode()
    routes = URLRouter(examples.urlpatterns)
    for shown in (token, "null"):
        client = Client(routes, f"/path/{shown}")
        client.scope["user"] = request.user
        assert await client.connect() == (False, 4403)
        [record] = caplog.records
        assert (record.levelno, "self.accept()" in record.message) == (logging.WARNING, True)
        caplog.clear()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("closing_connections")
async def test_the_example_of_permissions():
    for user, may in await users():
        async with client_as(examples.Guarded, user) as client:
            await client.send_json_to({"type": "top_secret", "reply_key": "r1"})
            if may:
                assert await client.receive_json_from() == {"key": "secret"}
            assert await client.receive_nothing()


@sync_to_async
def users():
    """Whom the tests know, each with whether they may change users."""
    ann = User.objects.create(username="ann")
    ann.user_permissions.add(Permission.objects.get(codename="change_user"))
    bob = User.objects.create(username="bob")
    return [(ann, True), (bob, False), (AnonymousUser(), False)]


# Decorated methods on every kind of consumer


def methods(colour):
    """Decorated methods of one colour, with the event and without."""
    if colour == "def":

        def find(self, event):
            return {"found": event["name"]}

        def count(self):
            return {"n": 1}

    else:

        async def find(self, event):
            return {"found": event["name"]}

        async def count(self):
            return {"n": 1}

    guard = require_perms([STAFF])
    return {
        "find": auto_route(find),
        "count": auto_route(count),
        "answer_guarded": auto_route(guard(find)),
        "guard_answered": guard(auto_route(find)),
        "nothing": auto_route(lambda self, event: None),
        "falsy": auto_route(lambda self, event: []),
        "alive": auto_route(lambda self, event: {}),
        "denied": auto_route(denied),
        "broken": auto_route(lambda self: 1 / 0),
        "unsendable": auto_route(lambda self: {"x": object()}),
        "created": auto_route(lambda self: ({"id": 1}, 201)),
    }


def denied(self):
    raise PermissionDenied("Members only.")


class BareSync(SyncConsumer):
    def websocket_connect(self, event):
        self.send({"type": "websocket.accept"})

    def websocket_receive(self, event):
        self.receive_json(decode_json(event["text"]))

    def websocket_disconnect(self, event):
        raise StopConsumer


class BareAsync(AsyncConsumer):
    async def websocket_connect(self, event):
        await self.send({"type": "websocket.accept"})

    async def websocket_receive(self, event):
        await self.receive_json(decode_json(event["text"]))

    async def websocket_disconnect(self, event):
        raise StopConsumer


class TextSync(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        self.receive_json(decode_json(text_data))


class TextAsync(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        await self.receive_json(decode_json(text_data))


KINDS = {
    "ours": (Consumer, None),
    "ours with receive_json": (Consumer, looked_up),
    "ours with async receive_json": (Consumer, looked_up_and_awaited),
    "JsonWebsocketConsumer": (JsonWebsocketConsumer, looked_up),
    "AsyncJsonWebsocketConsumer": (AsyncJsonWebsocketConsumer, looked_up_and_awaited),
    "WebsocketConsumer": (TextSync, looked_up),
    "AsyncWebsocketConsumer": (TextAsync, looked_up_and_awaited),
    "SyncConsumer": (BareSync, looked_up),
    "AsyncConsumer": (BareAsync, looked_up_and_awaited),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture(params=["def", "async def"])
def consumer(request, kind):
    base, receive_json = kind
    own = {} if receive_json is None else {"receive_json": receive_json}
    return type("Consumer", (base,), {**methods(request.param), **own})


FAILED = {"status": 500, "details": "The server failed.", "success": False}


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ({"type": "find", "name": "ann"}, {"found": "ann"}),
        ({"type": "count"}, {"n": 1}),
        ({"type": "alive"}, {}),
        ({"type": "falsy"}, {"data": []}),
        ({"type": "created"}, {"status": 201, "id": 1}),
        ({"type": "denied"}, {"status": 403, "details": "Members only.", "success": False}),
        ({"type": "broken"}, FAILED),
        ({"type": "unsendable"}, FAILED),
    ],
)
async def test_what_a_method_returns_or_raises_is_the_answer(consumer, message, answer):
    async with client_as(consumer) as client:
        assert await client.ask({**message, "reply_key": "r1"}) == {**answer, "key": "r1"}
        assert await is_silent(client, message)


async def test_none_is_no_answer(consumer):
    async with client_as(consumer) as client:
        assert await is_silent(client, {"type": "nothing", "reply_key": "r1"})


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("closing_connections")
async def test_the_decorators_stack_in_either_order(consumer):
    for user, may in await users():
        async with client_as(consumer, user) as client:
            for name in ("answer_guarded", "guard_answered"):
                message = {"type": name, "name": "ann", "reply_key": "r1"}
                if may:
                    assert await client.ask(message) == {"key": "r1", "found": "ann"}
                else:
                    assert await is_silent(client, message)


# The decorators by themselves


def test_a_method_without_a_loop_is_called():
    class Recorder:
        def __init__(self):
            self.scope, self.sent = {}, []
            self.send_json = self.sent.append

        @auto_route
        def find(self, event):
            return {"found": event["name"]}

        @require_perms([STAFF])
        def guarded(self):
            return "secret"

    recorder = Recorder()
    recorder.find({"name": "ann"})
    recorder.find({"name": "ann", "reply_key": "r1"})
    assert recorder.sent == [{"found": "ann", "key": "r1"}]
    assert recorder.guarded() is None
    assert Recorder.find.__name__ == "find"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("closing_connections")
async def test_only_permissions_leave_value_and_faults_alone():
    root = await User.objects.acreate(username="root", is_superuser=True)

    class Page:
        @property
        def scope(self):
            return {"user": root}

        @require_perms([STAFF])
        def double(self, number, *, by):
            return number * by

        @require_perms([STAFF])
        async def broken(self):
            return 1 / 0

    assert await Page().double(2, by=3) == 6
    with pytest.raises(ZeroDivisionError):
        await Page().broken()


async def test_decorators_of_others_may_stand_between():
    calls = []

    def logged(method):
        def call(*args, **kwargs):
            calls.append(method.__name__)
            return method(*args, **kwargs)

        return call

    class Page(Consumer):
        @auto_route
        @logged
        @auto_route
        def find(self, event):
            return {"found": event["name"]}

    async with client_as(Page) as client:
        message = {"type": "find", "name": "ann", "reply_key": "r1"}
        assert await client.ask(message) == {"key": "r1", "found": "ann"}
        assert await client.receive_nothing()
    assert calls == ["find"]


@pytest.mark.parametrize("reply_key", [None, [], {}])
async def test_what_is_no_reply_key_gets_no_answer(reply_key):
    class Page(JsonWebsocketConsumer):
        receive_json = looked_up
        alive = auto_route(lambda self, event: {})

    async with client_of(Page) as client:
        assert await is_silent(client, {"type": "alive", "reply_key": reply_key})


async def test_a_method_may_stop_its_consumer():
    class Page(AsyncJsonWebsocketConsumer):
        receive_json = looked_up_and_awaited

        @auto_route
        def stop(self):
            raise StopConsumer

    client = Client(Page.as_asgi(), "/")
    await client.connect()
    await client.send_json_to({"type": "stop", "reply_key": "r1"})
    assert await client.receive_nothing()
    await client.wait()


async def test_events_of_the_channel_layer_come_to_decorated_methods_too():
    class Page(Alive):
        uses_channel_layer = True

        @auto_route
        def room_said(self, event):
            self.send_json({"key": "said", "text": event["text"]})
            return {"text": event["text"]}

        @auto_route
        async def tell(self, event):
            await self.channel_layer.send(self.channel_name, {"type": "room.said", "text": "hi"})

    async with client_of(Page) as client:
        assert await client.ask({"type": "tell"}) == {"key": "said", "text": "hi"}
        assert await is_silent(client, {})


@pytest.mark.parametrize("decorate", [auto_route, require_perms([STAFF])])
def test_generators_are_refused(decorate):
    def parts(self):
        yield 1

    with pytest.raises(DeclarationError, match="got a generator"):
        decorate(parts)


@pytest.mark.parametrize("permissions", [STAFF, [5], ["staff"]])
def test_permissions_are_a_list_of_names(permissions):
    with pytest.raises(DeclarationError, match="expected a list of names"):
        require_perms(permissions)


# The consumer


async def test_only_decorated_methods_are_for_clients_without_receive_json():
    called = []

    class Page(Alive):
        def plain(self, event=None):
            called.append(event)

    async with client_as(Page) as client:
        answer = await client.ask({"type": "plain", "reply_key": "r1"})
        assert (answer["key"], answer["status"]) == ("r1", 404)
    assert not called


@pytest.mark.parametrize("receive_json", [looked_up, looked_up_and_awaited])
async def test_receive_json_finds_the_methods_of_its_class_and_nothing_else(receive_json, caplog):
    called = []

    class Page(Alive):
        alive = auto_route(lambda self, event: {})
        helper = called.append

        def connect(self):
            self.made_in_connect = called.append
            return super().connect()

        def plain(self, event):
            called.append(event["type"])
            return asyncio.sleep(0) if receive_json is looked_up_and_awaited else None

        def _private(self, event):
            called.append(event)

        def send_json(self, content):
            return super().send_json(content)

        class Meta:
            def __init__(self, content):
                called.append(content)

    Page = type("Page", (Page,), {"receive_json": receive_json})
    async with client_as(Page) as client:
        assert await is_silent(client, {"type": "plain"})
        assert called == ["plain"]
        for name in [
            *("close", "connect", "disconnect", "receive_json", "default_route", "send_json"),
            *("__class__", "__init__", "_private", "helper", "made_in_connect", "Meta", "nope"),
            *("scope", "user", "row", "join", "routes", "__dict__", "channel_layer_alias"),
        ]:
            assert await is_silent(client, {"type": name})
            answer = await client.ask({"type": name, "reply_key": "r1", "code": 4000})
            assert (answer["key"], answer["status"]) == ("r1", 404), name
        assert called == ["plain"]
    assert not caplog.records


@pytest.mark.parametrize("name", ["join", "leave", "reply", "call", "state"])
async def test_a_method_may_have_a_name_of_ours_that_channels_does_not_have(name, caplog):
    class Page(Alive):
        receive_json = looked_up

    page = type("Page", (Page,), {name: lambda self, event: self.send_json({"key": name})})
    async with client_of(page) as client:
        assert await client.ask({"type": name}) == {"key": name}
    page = type("Page", (Alive,), {name: auto_route(lambda self, event: {"room": event["room"]})})
    async with client_of(page) as client:
        assert await client.ask({"type": name, "room": 5, "reply_key": 1}) == {"key": 1, "room": 5}
    assert not caplog.records


@pytest.mark.parametrize("name", ["close", "accept", "send", "default_route"])
async def test_a_method_that_channels_has_stays_closed_though_it_is_overridden(name):
    class Page(Alive):
        receive_json = looked_up

    page = type("Page", (Page,), {name: lambda self, *given: getattr(Consumer, name)(self, *given)})
    async with client_of(page) as client:
        assert await is_silent(client, {"type": name})
        assert (await client.ask({"type": name, "reply_key": 1}))["status"] == 404


@pytest.mark.parametrize("name", ["id", "path", "row", "user_ip"])
def test_a_method_in_the_place_of_what_a_row_is_made_of_is_refused(name):
    with pytest.raises(DeclarationError, match=f"Page.{name} would replace a handler's own"):
        type("Page", (Alive,), {name: auto_route(lambda self, event: {})})


async def test_receive_json_may_mean_by_type_what_it_likes():
    class Page(Alive):
        def receive_json(self, content, **kwargs):
            if content["type"] == "echo":
                self.send_json({"key": "echoed", "text": content["text"]})
            else:
                self.alive(content)

    async with client_of(Page) as client:
        echoed = await client.ask({"type": "echo", "text": "hi"})
        assert echoed == {"key": "echoed", "text": "hi"}
        assert await is_silent(client, {"type": "alive"})


@pytest.mark.parametrize(
    "content", [{}, {"type": None}, {"type": 5}, {"type": ["close"]}, {"type": {}}, {"type": ""}]
)
async def test_odd_types_leave_the_connection_open(content):
    class Page(Alive):
        receive_json = looked_up

    async with client_of(Page) as client:
        assert await is_silent(client, content)
        answer = await client.ask({**content, "reply_key": "r1"})
        assert answer["status"] in (400, 404, 500)


async def test_an_attribute_error_within_a_method_is_a_fault(caplog):
    class Page(Consumer):
        receive_json = looked_up

        def plain(self, event):
            self.missing()

    async with client_of(Page) as client:
        assert (await client.ask({"type": "plain", "reply_key": "r1"}))["status"] == 500
    assert "no attribute 'missing'" in caplog.text


class Kitchen(Consumer):
    @auto_route
    def cook(self, event):
        return {"number": event["number"]}


class KitchenWithReceiveJson(Kitchen):
    receive_json = looked_up


@pytest.mark.parametrize("consumer", [Kitchen, KitchenWithReceiveJson])
async def test_a_page_may_ask_for_everything_at_once(consumer):
    async with client_as(consumer) as client:
        for number in range(200):
            await client.send_json_to({"type": "cook", "number": number, "reply_key": number})
        for number in range(200):
            assert await client.receive_json_from() == {"key": number, "number": number}


async def test_what_comes_after_a_time_out_is_not_seen():
    class Page(Alive):
        receive_json = looked_up
        timeout = 0.05

        @auto_route
        def slow(self):
            time.sleep(0.3)
            return {"late": True}

    async with client_of(Page) as client:
        assert (await client.ask({"type": "slow", "reply_key": "r1"}))["status"] == 504
        assert await client.receive_nothing(timeout=0.5)


@pytest.mark.parametrize("receive_json", [None, looked_up])
async def test_a_method_with_a_word_of_ours_gets_the_event(receive_json):
    class Page(Consumer):
        @auto_route
        def join(self, message):
            return {"joined": message["room"]}

        @auto_route
        def whois(self, user):
            return {"asked": user["name"]}

    own = {} if receive_json is None else {"receive_json": receive_json}
    async with client_of(type("Page", (Page,), own)) as client:
        answer = await client.ask({"type": "join", "room": "a", "reply_key": 1})
        assert answer == {"key": 1, "joined": "a"}
        answer = await client.ask({"type": "whois", "name": "ann", "reply_key": 2})
        assert answer == {"key": 2, "asked": "ann"}


async def test_a_subclass_may_change_methods():
    class Page(Alive):
        @auto_route
        def alive(self, event):
            return {"n": 1, **super().alive.function(self, event)}

        @auto_route
        def gone(self, event):
            return {}

    class Later(Page):
        gone = None

    async with client_of(Later) as client:
        assert await client.ask({"type": "alive", "reply_key": 1}) == {"key": 1, "n": 1}
        assert (await client.ask({"type": "gone", "reply_key": 2}))["status"] == 404


async def test_receive_json_of_a_subclass_takes_what_its_parent_routed():
    seen = []

    class Page(Alive):
        def receive_json(self, content):
            seen.append(content["type"])
            self.alive(content)

    async with client_of(Page) as client:
        assert await client.ask({"type": "alive", "reply_key": 1}) == {"key": 1}
    assert seen == ["alive"]


@pytest.mark.parametrize("name", ["receive", "websocket_receive", "decode_json"])
def test_other_methods_of_channels_consumers_are_refused(name):
    with pytest.raises(DeclarationError, match=f"Page.{name} would never be called"):
        type("Page", (Alive,), {name: lambda self: None})


async def test_routes_stand_beside_the_methods():
    router = SocketRouter(handler=Alive)
    router.route("alive")(lambda socket: {"routed": True})
    router.route("more")(lambda socket: {"more": True})
    async with client_of(router) as client:
        assert await client.ask({"type": "alive", "reply_key": 1}) == {"key": 1, "routed": True}
        assert await client.ask({"type": "more", "reply_key": 2}) == {"key": 2, "more": True}
    async with client_of(Alive) as client:
        assert await client.ask({"type": "alive", "reply_key": 1}) == {"key": 1}


# Begin and end


def accepted(self):
    self.accept()


async def accepted_and_awaited(self):
    await self.accept()


def inherited(self):
    return Consumer.connect(self)


@pytest.mark.parametrize("connect", [accepted, accepted_and_awaited, inherited])
async def test_connect_accepts(connect, caplog):
    async with client_of(type("Page", (Alive,), {"connect": connect})) as client:
        assert await is_silent(client, {})
    assert not caplog.records


def closed(self):
    self.close()


async def closed_and_awaited(self):
    await self.close(4000)


def accepted_and_closed(self):
    self.accept()
    self.close(4001)


@pytest.mark.parametrize(("connect", "code"), [(closed, 1000), (closed_and_awaited, 4000)])
async def test_connect_refuses(connect, code, caplog):
    client = Client(type("Page", (Alive,), {"connect": connect}).as_asgi(), "/")
    assert await client.connect() == (False, code)
    assert not caplog.records


async def test_connect_accepts_and_closes():
    client = Client(type("Page", (Alive,), {"connect": accepted_and_closed}).as_asgi(), "/")
    assert (await client.connect())[0]
    assert await client.next_close() == 4001


def undecided(self):
    pass


async def undecided_coroutine(self):
    pass


@require_perms([STAFF])
def unasked(self):
    self.accept()


@pytest.mark.parametrize("connect", [undecided, undecided_coroutine, unasked])
async def test_connect_that_decides_nothing_refuses_at_once_with_one_warning(connect, caplog):
    client = Client(type("Page", (Alive,), {"connect": connect}).as_asgi(), "/")
    begun = time.monotonic()
    assert await client.connect() == (False, 4403)
    assert time.monotonic() - begun < 1
    [record] = caplog.records
    assert "has neither accepted the client nor closed" in record.message


@pytest.mark.parametrize("colour", ["def", "async def"])
async def test_disconnect_gets_the_code_whatever_it_calls_it(colour):
    codes = []

    class Page(Alive):
        if colour == "def":

            def disconnect(self, close_code):
                codes.append(close_code)
        else:

            async def disconnect(self, close_code):
                codes.append(close_code)

    class Later(Page):
        def disconnect(self, why):
            codes.append("later")
            return super().disconnect(why)

    for page in (Page, Later):
        client = Client(page.as_asgi(), "/")
        await client.connect()
        await client.disconnect(code=1001)
    assert codes == [1001, "later", 1001]


async def test_a_url_pattern_may_have_the_class_itself():
    routes = URLRouter([path("rooms/<str:token>", Alive)])
    async with client_of(Alive, "/rooms/null") as by_as_asgi:
        client = Client(routes, "/rooms/null")
        assert (await client.connect())[0]
        for one in (client, by_as_asgi):
            assert await one.ask({"type": "alive", "reply_key": 1}) == {"key": 1}
        await client.disconnect()


# Tokens


class Locked(Alive):
    def connect(self):
        if validate_websocket_token(self.scope):
            self.accept()
        else:
            self.close()


class LockedAsync(Alive):
    async def connect(self):
        if await avalidate_websocket_token(self.scope):
            await self.accept()
        else:
            await self.close()


LOCKED = pytest.mark.parametrize("consumer", [Locked, LockedAsync])


def locked(consumer):
    return URLRouter([path("locked/<str:token>", consumer)])


async def opens(application, token, user, session=None):
    client = Client(application, f"/locked/{token}")
    client.scope |= {"user": user} | ({"session": session} if session else {})
    connected, _ = await client.connect()
    if connected:
        await client.disconnect()
    return connected


@LOCKED
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("closing_connections")
async def test_a_fresh_token_of_ones_own_opens_once(consumer, caplog):
    ann, bob = [await User.objects.acreate(username=name) for name in ("ann", "bob")]
    application = locked(consumer)
    token = await aget_websocket_token(ann)
    assert not await opens(application, token, AnonymousUser())
    assert await opens(application, token, ann)
    assert not await opens(application, token, ann)
    assert not await opens(application, await aget_websocket_token(bob), ann)
    assert not await opens(application, await aget_websocket_token(AnonymousUser()), ann)
    for malformed in ("null", "undefined", "x", f"{token}x", "0" * 36, "%00", "é"):
        assert not await opens(application, malformed, ann)
    assert not caplog.records


@LOCKED
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("closing_connections")
async def test_behind_the_middleware_the_token_is_used_once_too(consumer):
    ann = await User.objects.acreate(username="ann")
    application = TicketMiddleware(locked(consumer))
    token = await aget_websocket_token(ann)
    assert await opens(application, token, AnonymousUser())
    assert not await opens(application, token, ann)
    assert not await opens(application, "null", ann)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("closing_connections")
async def test_of_simultaneous_uses_one_is_admitted():
    ann = await User.objects.acreate(username="ann")
    token = await aget_websocket_token(ann)
    application = locked(Locked)
    admitted = await asyncio.gather(*(opens(application, token, ann) for _ in range(8)))
    assert sorted(admitted) == [False] * 7 + [True]


async def test_in_a_coroutine_the_twin_is_named():
    with pytest.raises(SynchronousOnlyOperation, match="await avalidate_websocket_token"):
        validate_websocket_token({"type": "websocket"})


@pytest.mark.django_db
def test_the_token_is_that_of_sockets():
    token = get_websocket_token(User.objects.create(username="ann"))
    scope = {"user": User.objects.get(), "url_route": {"kwargs": {"token": token}}}
    assert validate_websocket_token(scope) is True
    assert validate_websocket_token(scope) is False
