"""django-channels-router: its examples, its handler, and its browser client on real servers."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
from channels.layers import get_channel_layer
from channels.routing import URLRouter
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.test import Client as Browser
from django.urls import re_path
from django.views import View

from sockets import RoutedSocketHandler, SocketError, SocketRouter
from sockets.asgi import get_asgi_application
from sockets.compat.original import FAULT, Original, OriginalSocketHandler
from sockets.exceptions import InvalidFrame
from sockets.hub import Hub
from sockets.messages import Answer
from sockets.models import Socket

from .clients import Client, client_of
from .servers import Server, run, serving


def with_rows(test):
    """A test with a database, where connections have rows."""
    test = pytest.mark.usefixtures("closing_connections")(test)
    return pytest.mark.django_db(transaction=True)(test)


def unstamped(frame):
    """The frame without its time, which every one must have."""
    assert 1.7e12 < float(frame.pop("TIMESTAMP")) < 1e13
    return frame


async def asked(client, message):
    """The answer of an original handler, without its time."""
    return unstamped(await client.ask(message))


# The examples of its page, with the imports that they lack

VIEWS = """
import re
from datetime import datetime

from django.views import View
from django.shortcuts import render
from sockets import SocketRouter
from sockets.models import Socket

class MyPage(View):
    socket = SocketRouter()

    def get(self, request):
        return render(request, 'my_page.html')

    def post(self, request):
        ...

    @socket.connect
    def on_open(socket):
        socket.send_json({'connected': True})

    @socket.route('PING')
    def on_ping(socket, content):
        socket.send_json({
            'type': 'PONG',
            'ts': datetime.now().timestamp(),
        })

    @socket.route(re.compile('GAME_ACTION_.+'))
    def on_game_action(socket, content):
        socket.send_json({
            'received_action': content['action'],
            'action_type': content['type'],
        })

    @socket.default_route
    def default_route(socket, content=None):
        socket.send_json({
            'type': 'ERROR',
            'details': 'Got unknown message: {}'.format(content),
        })

    @socket.disconnect
    def on_disconnect(socket, message):
        Socket.objects.all().send_json({
            'type': 'CHAT',
            'recvd_message': 'User {} left chat.'.format(socket.user.username),
        })
"""

HANDLERS = """
import re

class PokerSocketHandler(RoutedSocketHandler):
    login_required = False

    routes = (
        *RoutedSocketHandler.routes,
        ('GET_GAMESTATE', 'on_get_gamestate'),
        (re.compile('ACT_.+'), 'on_game_action'),
    )

    def on_get_gamestate(self, content):
        self.send_action('GAMESTATE', pot=0)

    def on_game_action(self, content):
        self.broadcast_action('ACTED', action=content['type'])
"""


def module_of(source, **names):
    made = ModuleType("examples")
    vars(made).update(names)
    exec(source, vars(made))
    return made


MyPage = module_of(VIEWS).MyPage

urlpatterns = [re_path(r"^mypage/$", MyPage.as_view(), name="Table")]

at_its_page = pytest.mark.urls(__name__)


@asynccontextmanager
async def visit(application: object, **scope: object) -> AsyncIterator[Client]:
    headers = [(b"host", b"testserver"), (b"origin", b"http://testserver")]
    client = Client(application, "/mypage/", headers=headers)
    client.scope.update(scope)
    assert await client.connect() == (True, None)
    assert await client.receive_json_from() == {"connected": True}
    yield client
    await client.disconnect()


def mounted_by_hand():
    return URLRouter([re_path(r"^mypage/$", MyPage.socket.Handler.as_asgi())])


@with_rows
@at_its_page
@pytest.mark.parametrize("mount", [get_asgi_application, mounted_by_hand])
async def test_it_answers_as_it_says(mount):
    async with visit(mount()) as client:
        assert await client.receive_nothing()
        pong = await client.ask({"type": "PING"})
        assert (pong["type"], type(pong["ts"])) == ("PONG", float)
        bet = {"type": "GAME_ACTION_BET", "action": {"chips": 5}}
        answer = {"received_action": {"chips": 5}, "action_type": "GAME_ACTION_BET"}
        assert await client.ask(bet) == answer
        for unknown in ({"type": "NOPE", "x": 1}, {"x": 1}):
            details = f"Got unknown message: {unknown}"
            assert await client.ask(unknown) == {"type": "ERROR", "details": details}
        for no_message in ("[]", "no JSON", '{"type": 5}'):
            await client.send_to(no_message)
            assert (await client.receive_json_from())["status"] == 400
        assert await client.ask(bet) == answer


@with_rows
@at_its_page
@pytest.mark.parametrize("user", [User(username="ann"), AnonymousUser()], ids=["ann", "nobody"])
async def test_who_leaves_is_told_to_those_who_stay(user, caplog):
    if user.username:
        await user.asave()
    async with visit(mounted_by_hand()) as staying:
        async with visit(mounted_by_hand(), user=user):
            pass
        chat = {"type": "CHAT", "recvd_message": f"User {user.username} left chat."}
        assert await staying.receive_json_from() == chat
    assert not caplog.records


@with_rows
@at_its_page
def test_its_page_is_a_page_still(settings):
    template = ("django.template.loaders.locmem.Loader", {"my_page.html": "<h1>My page</h1>"})
    backend = "django.template.backends.django.DjangoTemplates"
    settings.TEMPLATES = [{"BACKEND": backend, "OPTIONS": {"loaders": [template]}}]
    browser = Browser()
    assert browser.get("/mypage/").content == b"<h1>My page</h1>"
    assert browser.head("/mypage/").status_code == 200
    with pytest.raises(ValueError, match=r"didn't return an HttpResponse"):
        browser.post("/mypage/")  # as its example does without a socket, too


def poker(base):
    """The handler of the page, on either base class."""
    return module_of(HANDLERS, RoutedSocketHandler=base).PokerSocketHandler


@pytest.mark.parametrize("base", [RoutedSocketHandler, OriginalSocketHandler])
async def test_its_handler_answers_as_it_says(base):
    class MyPage(View):
        socket = SocketRouter(handler=poker(base))

    async with (
        client_of(MyPage.socket, "/t/1/") as client,
        client_of(MyPage.socket, "/t/2/") as other,
    ):
        hello = await asked(client, {"type": "HELLO"})
        assert (hello["type"], hello["user_id"], hello["path"]) == ("GOT_HELLO", None, "/t/1/")
        gamestate = await client.ask({"type": "GET_GAMESTATE"})
        assert (gamestate["type"], gamestate["pot"]) == ("GAMESTATE", 0)
        await client.send_json_to({"type": "PING"})
        acted = await client.ask({"type": "ACT_FOLD"})
        assert (acted["type"], acted["action"]) == ("ACTED", "ACT_FOLD")
        assert (await client.ask({"type": "REACT_FOLD"}))["type"] == "ERROR"
        assert await other.receive_nothing()


def test_its_fields_of_a_socket_are_there():
    names = "session", "channel_name", "user", "path", "active", "last_ping", "user_ip"
    fields = {field.name: field for field in Socket._meta.get_fields()}
    assert fields.keys() >= set(names)
    assert fields["channel_name"].max_length >= 64
    assert fields["path"].max_length >= 128


# What every frame has


class Table(OriginalSocketHandler):
    routes = (
        *OriginalSocketHandler.routes,
        ("ECHO", "on_echo"),
        ("SHOW", "on_show"),
        ("RETURN", "on_return"),
        ("STREAM", "on_stream"),
        ("RAISE", "on_raise"),
    )

    async def on_echo(self, content):
        self.send_action("ECHOED", content=content)

    async def on_show(self, content):
        self.send_json(content["frame"])

    async def on_return(self, content):
        return content["value"]

    async def on_stream(self, content):
        yield 1

    async def on_raise(self, content):
        raise {
            "fault": ValueError("Out of chips."),
            "refusal": SocketError("Not now.", status=409, errors=["Wait.", "Sit."]),
            "permission": PermissionDenied(),
        }[content["what"]]


async def test_every_object_has_the_time_in_milliseconds_as_text():
    async with client_of(Table) as client:
        for message in (
            {"type": "HELLO"},
            {"type": "TIME_SYNC"},
            {"type": "ECHO"},
            {"type": "SHOW", "frame": {}},
            {"type": "SHOW", "frame": {"a": {"TIMESTAMP": "theirs"}}},
            {"type": "RETURN", "value": 5},
            {"type": "RETURN", "value": 5, "ref": 1},
            {"type": "STREAM"},
            {"type": "NOPE"},
            {"type": 5},
            {"type": "RAISE", "what": "refusal"},
        ):
            await client.send_json_to(message)
            frame = await client.receive_json_from()
            assert type(frame["TIMESTAMP"]) is str
            unstamped(frame)


async def test_routes_on_a_view_have_the_handler_as_base():
    router = SocketRouter(handler=OriginalSocketHandler)

    @router.route("SIT")
    def on_sit(socket, content):
        socket.send_action("SEATED", name=content["USERNAME"])

    async with client_of(router) as client:
        assert (await asked(client, {"type": "HELLO"}))["type"] == "GOT_HELLO"
        assert await asked(client, {"type": "SIT"}) == {"type": "SEATED", "name": None}


async def test_a_time_of_ones_own_is_replaced_and_one_within_is_not():
    async with client_of(Table) as client:
        frame = {"TIMESTAMP": "mine", "within": {"TIMESTAMP": "kept"}}
        await client.send_json_to({"type": "SHOW", "frame": frame})
        text = await client.receive_from()
        assert unstamped(json.loads(text)) == {"within": {"TIMESTAMP": "kept"}}
        assert text.count('"TIMESTAMP"') == 2


async def test_what_is_no_object_has_no_place_for_a_time():
    async with client_of(Table) as client:
        for frame in ([1], "text", 5, None):
            assert await client.ask({"type": "SHOW", "frame": frame}) == frame


@with_rows
async def test_broadcasts_have_the_time_too():
    async with client_of(Table) as client:
        await Socket.objects.asend_json({"a": 1})
        assert unstamped(await client.receive_json_from()) == {"a": 1}
        await Socket.objects.asend_action("CHAT", text="hi")
        assert unstamped(await client.receive_json_from()) == {"type": "CHAT", "text": "hi"}


# Who it is


@pytest.mark.parametrize(
    ("user", "fields"),
    [
        (User(pk=7, username="ann"), {"USER_ID": 7, "USERNAME": "ann"}),
        (AnonymousUser(), {"USER_ID": None, "USERNAME": None}),
    ],
    ids=["ann", "nobody"],
)
@pytest.mark.parametrize("type", ["ECHO", "NOPE"])
async def test_the_content_says_whose_it_is(user, fields, type):
    class Sink(Table):
        async def default_route(self, content):
            self.send_action("ECHOED", content=content)

    async with client_of(Sink, user=user) as client:
        message = {"type": type, "TIMESTAMP": 5, "SEQ_NUM": 0, "a": 1}
        echoed = await asked(client, message)
        assert echoed == {"type": "ECHOED", "content": {**message, **fields}}


@pytest.mark.parametrize("field", ["USER_ID", "USERNAME"])
async def test_a_client_cannot_say_whose_it_is(field):
    async with client_of(Table, user=User(pk=7, username="ann")) as client:
        error = await asked(client, {"type": "ECHO", "ref": 3, field: 1})
        assert (error["type"], error["status"], error["ref"]) == ("ERROR", 400, 3)
        assert (await asked(client, {"type": "ECHO"}))["content"]["USER_ID"] == 7


def test_an_answer_to_a_call_may_have_any_data():
    answer = Original().decode('{"type": "ASK", "ref": "s:1", "USER_ID": 5, "data": 1}')
    assert answer == Answer("s:1", 200, 1)


@pytest.mark.parametrize("frame", ["[]", "", b"{}", '{"type": 5}'])
def test_a_frame_that_is_no_message_is_refused(frame):
    with pytest.raises(InvalidFrame):
        Original().decode(frame)


async def test_events_of_the_channel_layer_stay_as_they_are():
    class Listening(Table):
        groups = ("news",)

        async def news(self, event):
            self.send_json(event)

    async with client_of(Listening, user=User(pk=7, username="ann")) as client:
        await get_channel_layer().group_send("news", {"type": "news", "n": 1})
        assert unstamped(await client.receive_json_from()) == {"type": "news", "n": 1}


# HELLO


@with_rows
async def test_it_says_what_the_page_wants_to_know():
    ann = await User.objects.acreate(username="ann")
    async with client_of(Table, "/t/1/", user=ann, client=["::1", 5]) as client:
        hello = await asked(client, {"type": "HELLO", "page": "Table", "url": "/t/1/"})
        row = await Socket.objects.aget()
        assert hello.pop("last_ping")
        assert hello == {
            "type": "GOT_HELLO",
            "user_id": ann.pk,
            "path": "/t/1/",
            "session_id": str(row.pk),
            "user_ip": "::1",
        }


@with_rows
async def test_the_users_other_sockets_on_the_path_are_asked_for_a_sign_of_life():
    ann, bob = [await User.objects.acreate(username=name) for name in ("ann", "bob")]
    async with (
        client_of(Table, "/t/1/", user=ann) as other,
        client_of(Table, "/t/2/", user=ann) as elsewhere,
        client_of(Table, "/t/1/", user=bob) as somebody,
        client_of(Table, "/t/1/") as nobody,
        client_of(Table, "/t/1/", user=ann) as greeting,
    ):
        assert (await asked(greeting, {"type": "HELLO"}))["type"] == "GOT_HELLO"
        assert unstamped(await other.receive_json_from()) == {"type": "PING"}
        await other.send_json_to({"type": "PING"})
        for client in (other, elsewhere, somebody, nobody, greeting):
            assert (await asked(client, {"type": "TIME_SYNC"}))["type"] == "TIME_SYNC"


@with_rows
async def test_who_does_not_answer_is_closed(monkeypatch):
    asking = Socket.cleanup_stale
    monkeypatch.setattr(Socket, "cleanup_stale", lambda row: asking(row, wait=0))
    ann = await User.objects.acreate(username="ann")
    async with client_of(Table, user=ann) as gone, client_of(Table, user=ann) as client:
        assert (await asked(client, {"type": "HELLO"}))["type"] == "GOT_HELLO"
        assert unstamped(await gone.receive_json_from()) == {"type": "PING"}
        assert await gone.next_close() == 4508


@with_rows
async def test_nobody_else_is_asked_when_nobody_is_logged_in():
    async with client_of(Table) as other, client_of(Table) as client:
        assert (await asked(client, {"type": "HELLO"}))["user_id"] is None
        assert await other.receive_nothing()


@with_rows
async def test_a_subclass_adds_to_it():
    class Greeter(Table):
        def on_hello(self, content):
            super().on_hello(content)
            self.socket.send_action("WELCOME", page=content["page"])

    async with client_of(Greeter) as client:
        assert (await asked(client, {"type": "HELLO", "page": "T"}))["type"] == "GOT_HELLO"
        assert unstamped(await client.receive_json_from()) == {"type": "WELCOME", "page": "T"}


async def test_untracked_sockets_have_no_others():
    async with client_of(Table, user=User(pk=7, username="ann")) as client:
        assert (await asked(client, {"type": "HELLO"}))["user_id"] == 7


async def test_who_said_hello_is_asked_when_it_is_silent():
    async with client_of(Table) as client:
        [member] = Hub.current().members
        assert not member.answers
        assert (await asked(client, {"type": "HELLO"}))["type"] == "GOT_HELLO"
        assert member.answers


async def test_what_a_page_has_kept_may_come_all_at_once():
    class Slow(Table):
        def on_echo(self, content):
            self.send_action("ECHOED", number=content["SEQ_NUM"])

    async with client_of(Slow) as client:
        for number in range(200, 0, -1):
            await client.send_json_to({"type": "ECHO", "SEQ_NUM": number})
        for number in range(200, 0, -1):
            assert unstamped(await client.receive_json_from())["number"] == number


async def test_the_time_is_told_whatever_runs():
    class Slow(Table):
        async def on_echo(self, content):
            await asyncio.sleep(0.1)
            self.send_action("ECHOED")

    async with client_of(Slow) as client:
        await client.send_json_to({"type": "ECHO"})
        assert (await client.ask({"type": "TIME_SYNC"}))["type"] == "TIME_SYNC"
        assert (await client.receive_json_from())["type"] == "ECHOED"


async def test_a_ping_is_not_echoed():
    async with client_of(Table) as client:
        await client.send_json_to({"type": "PING"})
        assert (await asked(client, {"type": "TIME_SYNC"})) == {"type": "TIME_SYNC"}


# Errors


@pytest.mark.parametrize("ref", [{}, {"ref": 1}], ids=["without a ref", "with one"])
@pytest.mark.parametrize(
    ("message", "status", "told"),
    [
        ({"type": "NOPE"}, 404, {"details": "Unknown action: NOPE"}),
        ({"a": 1}, 404, {"details": "Unknown action: None"}),
        (
            {"type": "RAISE", "what": "fault"},
            500,
            {"success": False, "errors": [FAULT], "details": "The server failed."},
        ),
        (
            {"type": "RAISE", "what": "refusal"},
            409,
            {"success": False, "errors": ["Wait.", "Sit."], "details": "Not now."},
        ),
        (
            {"type": "RAISE", "what": "permission"},
            403,
            {
                "success": False,
                "errors": ["You may not do this."],
                "details": "You may not do this.",
            },
        ),
    ],
)
async def test_an_error_is_told_in_its_words(message, status, told, ref):
    async with client_of(Table) as client:
        error = await asked(client, message | ref)
        assert error == {"type": "ERROR", "status": status, **told, **ref}
        assert (await asked(client, {"type": "ECHO"}))["type"] == "ECHOED"


async def test_under_debug_the_details_are_the_traceback(settings):
    settings.DEBUG = True
    async with client_of(Table) as client:
        error = await asked(client, {"type": "RAISE", "what": "fault"})
        assert error["errors"] == ["ValueError: Out of chips."]
        assert error["details"].startswith("Traceback (most recent call last):")
        assert error["details"].rstrip().endswith("ValueError: Out of chips.")


async def test_a_long_key_is_not_repeated_as_a_whole():
    async with client_of(Table) as client:
        error = await asked(client, {"type": "x" * 3000})
        assert error["details"] == f"Unknown action: {'x' * 80}"


async def test_a_subclass_leaves_the_rest_to_the_default_route():
    class Strict(Table):
        def default_route(self, content):
            if content["USER_ID"] is None:
                return self.send_action("ERROR", details="Log in first.")
            return super().default_route(content)

    async with client_of(Strict) as client:
        assert await asked(client, {"type": "NOPE"}) == {
            "type": "ERROR",
            "details": "Log in first.",
        }
    async with client_of(Strict, user=User(pk=7, username="ann")) as client:
        assert (await asked(client, {"type": "NOPE"}))["details"] == "Unknown action: NOPE"


async def test_who_must_log_in_is_told_so_whatever_it_sends():
    class Members(Table):
        login_required = True

    async with client_of(Members) as client:
        assert (await asked(client, {"type": "HELLO"}))["type"] == "RECONNECT"
        assert await client.next_close() == 4401


async def test_hooks_may_pass_their_arguments_on():
    told = []

    class Hooked(Table):
        def connect(self, message=None, **kwargs):
            super().connect(message=message, **kwargs)
            self.send_action("UPDATE_GAMESTATE")

        def disconnect(self, message, **kwargs):
            super().disconnect(message, **kwargs)
            told.append(message["code"])

    async with client_of(Hooked) as client:
        assert unstamped(await client.receive_json_from()) == {"type": "UPDATE_GAMESTATE"}
    assert told == [1000]


# Its browser client, by what it does with the frames


class Page:
    """What a page's SocketRouter of django-channels-router does, as far as a server can tell.

    It says HELLO, keeps what it is to send until GOT_HELLO and then sends the newest first; it
    answers PING, sets its clock by `TIMESTAMP` and shows `errors`.
    """

    def __init__(self, server: Server, path: str, cookie: str = "") -> None:
        self._opening = server.client(path, cookie=cookie)
        self._queue = []
        self._seq_num = -1
        self.ready = False
        self.reloads = 0
        self.notifications = []
        self.actions = asyncio.Queue()
        self.last_timestamp = 0.0

    async def __aenter__(self):
        self._client = await self._opening.__aenter__()
        self._reading = asyncio.create_task(self._read())
        await self._send(self._action("HELLO", page="Table", url="/"))
        return self

    async def __aexit__(self, *fault):
        self._reading.cancel()
        await self._opening.__aexit__(*fault)

    def _action(self, type, **fields):
        self._seq_num += 1
        return {"type": type, "TIMESTAMP": 1795167602259, "SEQ_NUM": self._seq_num, **fields}

    async def _send(self, action):
        await self._client.send(action)

    async def dispatch(self, type, **fields):
        action = self._action(type, **fields)
        if self.ready:
            await self._send(action)
        else:
            self._queue.append(action)

    async def _read(self):
        async for text in self._client.connection:
            frame = json.loads(text)
            timestamp = float(frame["TIMESTAMP"])
            assert timestamp >= self.last_timestamp
            self.last_timestamp = timestamp
            for error in frame.get("errors", ()):
                self.notifications.append(error if isinstance(error, str) else error["text"])
            match frame["type"]:
                case "PING":
                    await self._send(self._action("PING"))
                case "RECONNECT":
                    self.reloads += 1
                case "GOT_HELLO":
                    self.ready = True
                    while self._queue:
                        await self._send(self._queue.pop())
            self.actions.put_nowait(frame)

    async def next(self):
        """The next frame that was dispatched; what the reader failed with is raised."""
        getting = asyncio.ensure_future(self.actions.get())
        await asyncio.wait({getting, self._reading}, timeout=8, return_when="FIRST_COMPLETED")
        if not getting.done():
            getting.cancel()
            await asyncio.wait_for(self._reading, 0)
        return getting.result()


LIVE_SETTINGS = """
INSTALLED_APPS.append("sockets")
MIDDLEWARE.remove("django.middleware.csrf.CsrfViewMiddleware")  # which sets a cookie of its own
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
"""

LIVE_VIEWS = """
from django.views import View
from sockets import SocketRouter
from sockets.compat.original import OriginalSocketHandler as RoutedSocketHandler

class TableHandler(RoutedSocketHandler):
    routes = (*RoutedSocketHandler.routes, ("CHAT", "on_chat"), ("FAIL", "on_fail"))

    def on_chat(self, content):
        self.broadcast_action("CHATTED", **{key: content[key] for key in ("text", "USERNAME")})

    def on_fail(self, content):
        raise ValueError("Out of chips.")

class TablePage(View):
    socket = SocketRouter(handler=TableHandler)

class MembersPage(View):
    socket = SocketRouter(handler=TableHandler, login_required=True)
"""

LIVE_URLS = """
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.urls import path
from .views import MembersPage, TablePage

def log_in(request):
    login(request, User.objects.get_or_create(username="ann")[0])
    return HttpResponse()

urlpatterns = [
    path("log-in/", log_in),
    path("table/<slug:name>/", TablePage.as_view()),
    path("members/", MembersPage.as_view()),
]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    run("-m", "django", "startproject", "mysite", str(folder))
    settings, asgi = folder / "mysite" / "settings.py", folder / "mysite" / "asgi.py"
    settings.write_text(settings.read_text() + LIVE_SETTINGS)
    asgi.write_text(asgi.read_text().replace("django.core.asgi", "sockets.asgi"))
    (folder / "mysite" / "views.py").write_text(LIVE_VIEWS)
    (folder / "mysite" / "urls.py").write_text(LIVE_URLS)
    run("manage.py", "migrate", "--verbosity=0", cwd=folder)
    return folder


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(request, site) -> Iterator[Server]:
    log = site / f"{request.param}.log"
    with serving(request.param, "mysite.asgi:application", log, cwd=site) as server:
        yield server


async def test_its_page_sends_what_it_kept_once_it_was_greeted(server):
    async with Page(server, "/table/oak/") as page:
        for text in ("first", "second"):
            await page.dispatch("CHAT", text=text)
        hello = await page.next()
        assert (hello["type"], hello["user_id"], hello["path"]) == (
            "GOT_HELLO",
            None,
            "/table/oak/",
        )
        chatted = [await page.next() for _ in range(2)]
        assert [frame["text"] for frame in chatted] == ["second", "first"]
        assert {frame["USERNAME"] for frame in chatted} == {None}
        await page.dispatch("TIME_SYNC")
        assert (await page.next())["type"] == "TIME_SYNC"


async def test_its_page_shows_what_went_wrong_and_goes_on(server):
    async with Page(server, "/table/oak/") as page:
        await page.next()
        await page.dispatch("FAIL")
        error = await page.next()
        assert (error["type"], page.notifications) == ("ERROR", [FAULT])
        assert "chips" not in json.dumps(error)
        await page.dispatch("SING")
        assert (await page.next())["details"] == "Unknown action: SING"
        assert page.notifications == [FAULT]
        await page.dispatch("CHAT", text="hi")
        assert (await page.next())["text"] == "hi"


async def test_its_page_answers_for_the_users_other_tabs(server):
    cookie = await server.get_cookie("/log-in/")
    async with Page(server, "/table/oak/", cookie) as tab:
        assert (await tab.next())["user_id"] == 1
        async with Page(server, "/table/oak/", cookie) as page:
            assert (await page.next())["type"] == "GOT_HELLO"
            assert (await tab.next())["type"] == "PING"
            await tab.dispatch("CHAT", text="still here")
            assert (await tab.next())["USERNAME"] == "ann"
            assert (await page.next())["text"] == "still here"


async def test_its_page_reloads_where_it_must_log_in(server):
    async with Page(server, "/members/") as page:
        assert (await page.next())["type"] == "RECONNECT"
        assert page.reloads == 1
        assert await page._client.close_code() == 4401
    cookie = await server.get_cookie("/log-in/")
    async with Page(server, "/members/", cookie) as page:
        assert (await page.next())["type"] == "GOT_HELLO"
