"""The life of one connection: connect, receive, handle, reply, disconnect."""

import asyncio
import gc
import logging
import re
import threading
import time
import weakref
from typing import ClassVar

import pytest
from channels.routing import URLRouter
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.http import Http404
from django.test import override_settings
from django.urls import path
from django.views import View

from sockets import (
    CloseCode,
    Reply,
    Route,
    RoutedSocketHandler,
    SocketError,
    SocketRouter,
    StatusCodes,
    entrance,
)
from sockets import handlers as handlers_module
from sockets import strikes as strikes_module
from sockets.exceptions import LoginRequired

from .clients import Client, client_of
from .conftest import until

BAD_FRAMES = {
    "bad JSON": '{"type": ',
    "list": '[{"type": "GOOD"}]',
    "number": "42",
    "null": "null",
    "JSON string": '"GOOD"',
    "text": "hello",
    "missing type": '{"a": 1}',
    "type is a number": '{"type": 5}',
    "type is null": '{"type": null}',
    "type is a list": '{"type": ["GOOD"]}',
    "type is an object": '{"type": {}}',
    "ref is a list": '{"type": "GOOD", "ref": []}',
    "ref is a float": '{"type": "GOOD", "ref": 1.5}',
    "ref is a boolean": '{"type": "GOOD", "ref": true}',
    "escaped lone surrogate": '{"type": "\\ud800"}',
    "lone surrogate": '{"type": "\ud800"}',
    "depth": "[" * 100_000,
    "deep object": '{"type":' * 20_000,
    "1e400": '{"type": "GOOD", "x": 1e400}',
    "long integer": '{"type": "GOOD", "x": ' + "9" * 5000 + "}",
    "NaN": '{"type": "GOOD", "x": NaN}',
    "byte order mark": '\ufeff{"type": "GOOD"}',
    "empty": "",
    "binary": b'{"type": "GOOD"}',
    "empty binary": b"",
}


class Good(RoutedSocketHandler):
    """Answers GOOD, whatever came before."""

    max_frame_bytes = 1_000_000
    routes = (("GOOD", "on_good"),)

    async def on_good(self):
        return "good"


async def send_frame(client: Client, frame: str | bytes) -> None:
    kind = "text" if isinstance(frame, str) else "bytes"
    await client.send_input({"type": "websocket.receive", kind: frame})


@pytest.mark.parametrize("frame", BAD_FRAMES.values(), ids=BAD_FRAMES)
async def test_a_frame_that_is_no_message_is_told_so_and_the_next_is_answered(frame):
    async with client_of(Good) as client:
        await send_frame(client, frame)
        error = await client.receive_json_from()
        assert (error["type"], error["status"], error["success"]) == ("ERROR", 400, False)
        assert error["errors"] == [{"text": error["details"]}]
        assert (await client.ask({"type": "GOOD", "ref": 1}))["data"] == "good"


@pytest.mark.parametrize("key", ["NOPE", "x" * 3000, "__class__", "_handle", "on_good", ""])
async def test_an_unknown_key_is_a_404_with_its_ref(key):
    async with client_of(Good) as client:
        error = await client.ask({"type": key, "ref": "r"})
        assert (error["type"], error["status"], error["ref"]) == ("ERROR", 404, "r")
        assert len(error["details"]) < 120
        assert "GOOD" not in error["details"]


async def test_a_frame_over_the_limit_is_a_413_naming_the_limit():
    class Small(Good):
        max_frame_bytes = 100

    async with client_of(Small) as client:
        for pad in ("x" * 100, "é" * 45):
            error = await client.ask({"type": "GOOD", "pad": pad})
            assert error["status"] == 413
            assert "at most 100 bytes" in error["details"]
            assert "ref" not in error
            assert (await client.ask({"type": "GOOD", "pad": pad, "ref": "r"}))["ref"] == "r"
        await client.send_to(bytes_data=b"x" * 101)
        assert (await client.receive_json_from())["status"] == 413
        exact = '{"type":"GOOD","ref":1,"p":"%s"}'
        await client.send_to(text_data=exact % ("x" * (100 - len(exact % ""))))
        assert (await client.receive_json_from())["data"] == "good"


async def test_the_ref_of_a_message_without_type_comes_back():
    async with client_of(Good) as client:
        assert (await client.ask({"ref": 7}))["ref"] == 7
        assert (await client.ask({"type": 1, "ref": "r"}))["ref"] == "r"


async def test_strikes_end_in_4400_at_the_limit_and_not_before():
    async with client_of(Good) as client:
        for _ in range(19):
            assert (await client.ask([]))["status"] == 400
        assert (await client.ask({"type": "GOOD", "ref": 1}))["data"] == "good"
        assert (await client.ask([]))["status"] == 400
        assert await client.next_close() == CloseCode.BAD_FRAMES


async def test_the_last_strike_names_the_close_code():
    class Small(Good):
        max_frame_bytes, max_strikes = 100, 2

    async with client_of(Small) as client:
        await client.ask([])
        await client.ask({"type": "GOOD", "pad": "x" * 100})
        assert await client.next_close() == CloseCode.TOO_BIG


async def test_strikes_are_forgotten_after_a_while(monkeypatch):
    monkeypatch.setattr(strikes_module, "FORGIVEN", 0.05)

    class Strict(Good):
        max_strikes = 2

    async with client_of(Strict) as client:
        for _ in range(3):
            await client.ask([])
            await asyncio.sleep(0.06)
        assert (await client.ask({"type": "GOOD", "ref": 1}))["data"] == "good"


async def test_an_unknown_key_is_no_strike():
    class Strict(Good):
        max_strikes = 1

    async with client_of(Strict) as client:
        assert (await client.ask({"type": "NOPE"}))["status"] == 404
        assert (await client.ask({"type": "GOOD", "ref": 1}))["data"] == "good"


async def test_the_default_route_takes_unknown_keys_and_objects_without_type():
    router = SocketRouter()

    @router.default_route
    def default_route(socket, content=None):
        return {"got": content}

    async with client_of(router) as client:
        assert (await client.ask({"type": "X", "ref": 1}))["data"] == {
            "got": {"type": "X", "ref": 1}
        }
        assert (await client.ask({"x": 1}))["data"] == {"got": {"x": 1}}
        assert (await client.ask([]))["status"] == 400
        assert (await client.ask({"type": 5}))["status"] == 400


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (None, {"status": 204}),
        ({"a": 1}, {"status": 200, "data": {"a": 1}}),
        ([], {"status": 200, "data": []}),
        (0, {"status": 200, "data": 0}),
        (("made", 201), {"status": 201, "data": "made"}),
        (("made", StatusCodes.CREATED), {"status": 201, "data": "made"}),
        ((None, 200), {"status": 200, "data": None}),
        (({"why": "gone"}, 410), {"status": 410, "data": {"why": "gone"}}),
        ((1, 2), {"status": 200, "data": [1, 2]}),
        (Reply("ok", 202), {"status": 202, "data": "ok"}),
        (Reply(), {"status": 200, "data": None}),
    ],
)
@pytest.mark.parametrize("colour", ["def", "async def"])
async def test_what_a_route_returns_is_its_reply(colour, value, answer):
    router = SocketRouter()

    if colour == "def":

        @router.route("X")
        def on_x(socket):
            return value

    else:

        @router.route("X")
        async def on_x(socket):
            return value

    async with client_of(router) as client:
        assert await client.ask({"type": "X", "ref": 3}) == {"type": "X", "ref": 3, **answer}
        await client.send_json_to({"type": "X"})
        if value is None:
            assert await client.receive_nothing()
        else:
            assert await client.receive_json_from() == {"type": "X", **answer}


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (SocketError("No.", status=418), 418),
        (SocketError("No."), 400),
        (PermissionDenied(), 403),
        (Http404(), 404),
        (ObjectDoesNotExist(), 404),
        (User.DoesNotExist("x"), 404),
        (ValidationError({"name": ["Too long."]}), 400),
        (RuntimeError("secret"), 500),
        (SystemExit(1), 500),
        (TypeError("secret"), 500),
        (asyncio.CancelledError(), 500),
        (TimeoutError("secret"), 500),
    ],
    ids=repr,
)
@pytest.mark.parametrize("colour", ["def", "async def"])
async def test_faults_are_answered_and_the_connection_survives(colour, fault, status, caplog):
    router = SocketRouter()

    if colour == "def":

        @router.route("X")
        def on_x(socket):
            raise fault

    else:

        @router.route("X")
        async def on_x(socket):
            raise fault

    async with client_of(router, "/place/") as client:
        error = await client.ask({"type": "X", "ref": 3})
        assert (error["type"], error["status"], error["ref"]) == ("ERROR", status, 3)
        assert "secret" not in str(error)
        assert (await client.ask({"type": "TIME_SYNC"}))["type"] == "TIME_SYNC"
    logged = [record.getMessage() for record in caplog.records if record.name == "sockets"]
    assert logged == (["'X' of user None at '/place/' failed"] if status == 500 else [])


async def test_faulty_fields_are_listed():
    router = SocketRouter()

    @router.route("MOVE")
    def on_move(socket, *, x: int, y: int = 0):
        return [x, y]

    async with client_of(router) as client:
        error = await client.ask({"type": "MOVE", "ref": 1, "y": "1"})
        assert error["status"] == 400
        assert {fault["field"] for fault in error["errors"]} == {"x", "y"}
        assert (await client.ask({"type": "MOVE", "ref": 1, "x": 2}))["data"] == [2, 0]


@override_settings(DEBUG=True)
async def test_the_traceback_reaches_the_client_under_debug_only():
    router = SocketRouter()

    @router.route("X")
    async def on_x(socket):
        raise RuntimeError("the cause")

    async with client_of(router) as client:
        error = await client.ask({"type": "X", "ref": 3})
        assert error["details"] == "RuntimeError: the cause"
        assert "in on_x" in error["errors"][0]["text"]


async def test_what_cannot_be_encoded_is_a_500_with_its_ref(caplog):
    router = SocketRouter()

    @router.route("X")
    async def on_x(socket):
        return {"rows": [{"user": object()}]}

    @router.route("NAN")
    def on_nan(socket):
        return {"price": float("nan")}

    @router.route("PARTS")
    async def on_parts(socket):
        yield {"price": float("inf")}

    @router.route("Y")
    async def on_y(socket):
        raise SocketError("No.", errors=[{"text": object()}])

    async with client_of(router) as client:
        for key in ("X", "NAN", "PARTS", "Y"):
            error = await client.ask({"type": key, "ref": 3})
            assert (error["status"], error["ref"]) == (500, 3)
    assert "got a builtins.object at data.rows[0].user; " in caplog.text
    assert "got nan at data.price; " in caplog.text
    assert "got inf at data.price; " in caplog.text
    assert "got a builtins.object at errors[0].text; " in caplog.text


async def test_a_ref_in_use_is_a_409_and_may_be_used_again_later():
    router = SocketRouter()
    gate = asyncio.Event()

    @router.route("X")
    async def on_x(socket):
        await gate.wait()
        return "x"

    async with client_of(router) as client:
        await client.send_json_to({"type": "X", "ref": 1})
        error = await client.ask({"type": "X", "ref": 1})
        assert (error["status"], error["ref"]) == (409, 1)
        await client.send_json_to({"type": "X", "ref": "1"})
        gate.set()
        assert (await client.receive_json_from())["ref"] == 1
        assert (await client.receive_json_from())["ref"] == "1"
        assert (await client.ask({"type": "X", "ref": 1}))["data"] == "x"


async def test_the_time_is_told_at_once_and_a_ref_answered():
    router, gate = SocketRouter(), asyncio.Event()

    @router.route("WAIT")
    async def on_wait(socket):
        await gate.wait()

    async with client_of(router) as client:
        await client.send_json_to({"type": "WAIT", "ref": 1})
        assert (await client.ask({"type": "TIME_SYNC", "ref": 2})).keys() == {"type", "TIMESTAMP"}
        answer = {"type": "TIME_SYNC", "ref": 2, "status": 204}
        assert await client.receive_json_from() == answer
        gate.set()
        assert await client.receive_json_from() == {"type": "WAIT", "ref": 1, "status": 204}


async def test_built_in_routes():
    async with client_of(Good, "/place/") as client:
        hello = await client.ask({"type": "HELLO"})
        assert abs(float(hello.pop("TIMESTAMP")) / 1000 - time.time()) < 5
        assert hello == {"type": "GOT_HELLO", "user_id": None, "path": "/place/"}
        assert isinstance((await client.ask({"type": "TIME_SYNC"}))["TIMESTAMP"], str)
        await client.send_json_to({"type": "PING"})
        await client.send_json_to({"type": "CANCEL", "ref": "unknown"})
        await client.send_json_to({"type": "CANCEL"})
        assert await client.receive_nothing()


async def test_hello_tells_the_user():
    user = User(pk=5, username="ann")
    async with client_of(Good, user=user) as client:
        assert (await client.ask({"type": "HELLO"}))["user_id"] == 5


async def test_a_users_own_route_with_a_built_in_key_wins():
    class Own(RoutedSocketHandler):
        routes = (*RoutedSocketHandler.routes, ("PING", "on_ping"))

        def on_ping(self):
            self.send_json({"type": "PONG"})

    async with client_of(Own) as client:
        assert await client.ask({"type": "PING"}) == {"type": "PONG"}


# Connecting


async def test_connect_hooks_run_in_order_and_their_sends_follow_accept():
    router = SocketRouter()

    @router.connect
    def first(socket):
        socket.send_json(1)

    @router.connect
    async def second(socket):
        await socket.send_json(2)

    handler = router.Handler
    client = Client(handler.as_asgi(), "/")
    assert await client.connect() == (True, None)
    assert [await client.receive_json_from() for _ in range(2)] == [1, 2]
    await client.disconnect()


async def test_the_methods_connect_and_disconnect_are_hooks_too():
    seen = []

    class Base(RoutedSocketHandler):
        def connect(self):
            seen.append("base")

        def disconnect(self, code):
            seen.append(code)

    router = SocketRouter(handler=Base)
    router.connect(lambda socket: seen.append("router"))
    async with client_of(router) as client:
        await client.disconnect(code=1001)
    assert seen == ["base", "router", 1001]


async def test_messages_sent_while_a_hook_runs_wait_for_accept():
    gate = asyncio.Event()

    class Slow(Good):
        async def connect(self):
            await gate.wait()

    client = Client(Slow.as_asgi(), "/")
    await client.send_input({"type": "websocket.connect"})
    await client.send_json_to({"type": "GOOD", "ref": 1})
    assert await client.receive_nothing()
    gate.set()
    assert (await client.receive_output())["type"] == "websocket.accept"
    assert (await client.receive_json_from())["data"] == "good"
    await client.disconnect()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (PermissionDenied("Not here."), CloseCode.FORBIDDEN),
        (SocketError("Full.", status=503), CloseCode.FULL),
        (Http404(), CloseCode.FORBIDDEN),
        (RuntimeError(), CloseCode.SERVER_FAULT),
        (SocketError("Broken.", status=502), CloseCode.SERVER_FAULT),
    ],
)
async def test_a_hook_that_raises_refuses_and_nothing_else_runs(fault, code, caplog):
    ran = []

    class Refusing(RoutedSocketHandler):
        routes = (("X", lambda socket: ran.append("X")),)
        connect_hooks = (lambda socket: ran.append("second"),)

        async def connect(self):
            self.send_json("secret")
            await asyncio.sleep(0.02)
            raise fault

    client = Client(Refusing.as_asgi(), "/")
    await client.send_input({"type": "websocket.connect"})
    await client.send_json_to({"type": "X"})
    assert (await client.receive_output())["type"] == "websocket.accept"
    assert await client.next_close() == code
    await client.wait()
    assert ran == []
    assert ("A connect hook of" in caplog.text) == isinstance(fault, RuntimeError)


async def test_a_hook_that_closes_refuses_after_what_it_sent():
    class Refusing(RoutedSocketHandler):
        connect_hooks = (lambda socket: socket.send_json("never"),)

        def connect(self):
            self.send_json({"why": "full"})
            self.close(4503, "Full.")

    client = Client(Refusing.as_asgi(), "/")
    assert await client.connect() == (True, None)
    assert await client.receive_json_from() == {"why": "full"}
    assert (await client.receive_output()) == {
        "type": "websocket.close",
        "code": 4503,
        "reason": "Full.",
    }
    await client.wait()


async def test_refuse_at_handshake_never_accepts():
    class Refusing(RoutedSocketHandler):
        refuse_at_handshake = True

        def connect(self):
            self.send_json("never")
            raise PermissionDenied

    client = Client(Refusing.as_asgi(), "/")
    assert await client.connect() == (False, CloseCode.FORBIDDEN)
    await client.wait()


async def test_a_handshake_that_takes_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(entrance, "HANDSHAKE", 0.05)

    class Slow(RoutedSocketHandler):
        async def connect(self):
            await asyncio.sleep(5)

    client = Client(Slow.as_asgi(), "/")
    assert await client.connect() == (True, None)
    assert await client.next_close() == CloseCode.HANDSHAKE_TOO_SLOW
    await client.wait()


class Private(Good):
    login_required = True
    ran: ClassVar[list[str]] = []

    def connect(self):
        self.ran.append("connect")

    def disconnect(self, code):
        self.ran.append("disconnect")

    async def on_good(self):
        self.ran.append("route")


async def test_an_anonymous_client_is_sent_to_log_in():
    Private.ran.clear()
    async with client_of(Private, user=AnonymousUser()) as client:
        assert await client.receive_nothing()
        reconnect = await client.ask({"type": "GOOD", "ref": 1})
        assert reconnect["type"] == "RECONNECT"
        assert "log in" in reconnect["details"]
        assert await client.next_close() == CloseCode.LOG_IN
    assert Private.ran == []


async def test_an_anonymous_client_that_sends_early_or_never_is_closed_as_well(monkeypatch):
    monkeypatch.setattr(entrance, "FIRST_FRAME", 0.05)
    for early in (True, False):
        client = Client(Private.as_asgi(), "/")
        client.scope["user"] = AnonymousUser()
        await client.send_input({"type": "websocket.connect"})
        if early:
            await client.send_json_to({"type": "GOOD"})
        assert (await client.receive_output())["type"] == "websocket.accept"
        assert (await client.receive_json_from())["type"] == "RECONNECT"
        assert await client.next_close() == CloseCode.LOG_IN
        await client.wait()


async def test_an_anonymous_client_that_leaves_is_forgotten():
    async with client_of(Private, user=AnonymousUser()):
        pass


async def test_an_anonymous_client_is_refused_at_the_handshake_where_that_is_asked():
    class Refusing(Private):
        refuse_at_handshake = True

    client = Client(Refusing.as_asgi(), "/")
    assert await client.connect() == (False, CloseCode.LOG_IN)
    await client.wait()


async def test_a_hook_may_ask_for_a_login_before_and_after_accept():
    class Asking(RoutedSocketHandler):
        async def connect(self):
            if self.path == "/late/":
                await self.accept()
            raise LoginRequired("Log in.")

    async with client_of(Asking, "/early/") as client:
        assert (await client.ask({"type": "HELLO"}))["type"] == "RECONNECT"
        assert await client.next_close() == CloseCode.LOG_IN
    async with client_of(Asking, "/late/") as client:
        assert await client.next_close() == CloseCode.LOG_IN


async def test_login_required_without_a_user_in_the_scope_says_how_to_mount(caplog):
    async with client_of(Private):
        pass
    assert "AuthMiddlewareStack" in caplog.text


async def test_a_logged_in_client_is_admitted():
    Private.ran.clear()
    async with client_of(Private, user=User(pk=1)) as client:
        assert (await client.ask({"type": "GOOD", "ref": 1}))["status"] == 204
    assert Private.ran == ["connect", "route", "disconnect"]


async def test_a_handler_is_a_channels_application():
    class Room(RoutedSocketHandler):
        routes = (("WHERE", lambda socket, room: room),)

    application = URLRouter([path("room/<slug:room>/", Room.as_asgi())])
    client = Client(application, "/room/blue/")
    await client.connect()
    assert (await client.ask({"type": "WHERE", "ref": 1}))["data"] == "blue"
    await client.disconnect()
    assert Room.as_asgi().consumer_class is Room


async def test_initkwargs_of_as_asgi_that_no_handler_takes_fail_at_once():
    with pytest.raises(TypeError):
        await Good.as_asgi(colour="blue")({"type": "websocket", "path": "/"}, None, None)


# Disconnecting


async def test_disconnect_hooks_run_once_in_order_whatever_they_do(caplog):
    seen = []
    router = SocketRouter()

    @router.disconnect
    def fails(socket, message):
        seen.append(message["code"])
        raise RuntimeError

    @router.disconnect
    async def follows(socket, code):
        seen.append(code)
        socket.send_json("into the void")
        socket.close()

    async with client_of(router) as client:
        await client.disconnect(code=1001)
    assert seen == [1001, 1001]
    assert "A disconnect hook of" in caplog.text


async def test_slow_disconnect_hooks_are_given_up(monkeypatch, caplog):
    monkeypatch.setattr(handlers_module, "GRACE", 0.05)
    router = SocketRouter()

    @router.disconnect
    async def sleeps(socket):
        await asyncio.sleep(5)

    started = time.monotonic()
    async with client_of(router):
        pass
    assert time.monotonic() - started < 2
    assert "took more than" in caplog.text


async def test_a_disconnect_hook_that_fails_when_it_is_given_up_is_the_last(monkeypatch, caplog):
    monkeypatch.setattr(handlers_module, "GRACE", 0.05)
    router = SocketRouter()

    @router.disconnect
    async def fails(socket):
        try:
            await asyncio.sleep(5)
        finally:
            raise RuntimeError

    @router.disconnect
    async def follows(socket):
        raise AssertionError("there was no time left")

    async with client_of(router):
        pass
    assert "took more than" in caplog.text
    assert "no time left" not in caplog.text


async def test_a_client_that_vanishes_stops_its_async_handlers_at_once():
    ended = []
    router = SocketRouter()

    @router.route("WAIT")
    @router.route("BESIDE", concurrent=True)
    async def on_wait(socket):
        try:
            await asyncio.sleep(5)
        finally:
            ended.append(time.monotonic())

    async with client_of(router) as client:
        await client.send_json_to({"type": "WAIT"})
        await client.send_json_to({"type": "BESIDE"})
        await asyncio.sleep(0.02)
        gone = time.monotonic()
    assert len(ended) == 2
    assert max(ended) - gone < 0.1


async def test_disconnect_hooks_wait_for_a_busy_thread():
    order = []
    router = SocketRouter()

    @router.route("WORK")
    def on_work(socket):
        time.sleep(0.1)
        order.append("worked")

    @router.disconnect
    def on_disconnect(socket):
        order.append("left")

    async with client_of(router) as client:
        await client.send_json_to({"type": "WORK"})
        await asyncio.sleep(0.02)
    assert order == ["worked", "left"]


async def test_a_handler_that_closes_may_finish_what_it_does():
    done = []
    router = SocketRouter()

    @router.route("BYE")
    async def on_bye(socket):
        await socket.close(4000, "Bye.")
        socket.send_json("never")
        await asyncio.sleep(0.02)
        done.append(True)

    @router.disconnect
    def on_disconnect(socket, code):
        done.append(code)

    async with client_of(router) as client:
        await client.send_json_to({"type": "BYE"})
        await client.send_json_to({"type": "BYE"})
        assert await client.next_close() == 4000
        await client.wait()
        assert await client.receive_nothing()
    assert done == [True, 4000]


async def test_a_handler_that_goes_on_for_ever_after_its_close_is_ended(monkeypatch):
    monkeypatch.setattr(handlers_module, "GRACE", 0.05)
    ended = []
    router = SocketRouter()

    @router.route("BYE")
    async def on_bye(socket):
        socket.close()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async with client_of(router) as client:
        await client.send_json_to({"type": "BYE"})
        assert await client.next_close() == 1000
        await client.wait()
    assert ended


async def test_a_server_that_cancels_the_application_gets_a_clean_end():
    seen = []
    router = SocketRouter()
    router.disconnect(lambda socket, code: seen.append(code))
    client = Client(router.Handler.as_asgi(), "/")
    await client.connect()
    client.future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.future
    assert seen == [CloseCode.ABNORMAL]


async def test_a_client_that_vanishes_during_a_hook_leaves_nothing():
    ended = []

    class Slow(RoutedSocketHandler):
        async def connect(self):
            try:
                await asyncio.sleep(5)
            finally:
                ended.append("hook")

        def disconnect(self, code):
            ended.append("disconnect")

    client = Client(Slow.as_asgi(), "/")
    await client.send_input({"type": "websocket.connect"})
    await asyncio.sleep(0.02)
    await client.disconnect()
    assert ended == ["hook", "disconnect"]


async def test_a_client_that_leaves_at_once_leaves_nothing():
    client = Client(Good.as_asgi(), "/")
    await client.send_input({"type": "websocket.connect"})
    await client.disconnect()
    assert threading.active_count() < 20


# What a handler knows of its connection


async def test_the_view_is_an_instance_with_the_paths_arguments():
    class Page(View):
        template_name = "a.html"
        socket = SocketRouter()

        @socket.route("VIEW")
        async def on_view(socket):
            return [type(socket.view).__name__, socket.view.kwargs, socket.view.template_name]

    route = {"args": (), "kwargs": {"pk": 3}}
    kwargs = {"template_name": "b.html"}
    async with client_of(Page.socket, url_route=route, view_initkwargs=kwargs) as client:
        assert (await client.ask({"type": "VIEW", "ref": 1}))["data"] == [
            "Page",
            {"pk": 3},
            "b.html",
        ]


async def test_a_handler_without_a_view_has_none():
    class Bare(RoutedSocketHandler):
        routes = (("VIEW", lambda socket: socket.view),)

    async with client_of(Bare) as client:
        assert (await client.ask({"type": "VIEW", "ref": 1}))["status"] == 204


async def test_a_burst_of_quick_messages_overflows_nothing(caplog):
    caplog.set_level(logging.ERROR)
    async with client_of(Good) as client:
        for number in range(500):
            client.input_queue.put_nowait(
                {"type": "websocket.receive", "text": f'{{"type":"GOOD","ref":{number}}}'}
            )
        refs = [(await client.receive_json_from())["ref"] for _ in range(500)]
    assert refs == list(range(500))


async def test_a_turned_away_connection_stops_waiting_when_the_loop_is_asked():
    async with client_of(Private, user=AnonymousUser()) as client:
        await client.send_to(bytes_data=b"\x00")
        assert (await client.receive_json_from())["type"] == "RECONNECT"
        await until(client.future.done)


# What users' code may do, and the connection survives


class Odd(BaseException):
    """No Exception, and none of Python's own."""


@pytest.mark.parametrize("fault", [Odd(), SystemExit(1), asyncio.CancelledError(), StopIteration()])
@pytest.mark.parametrize("concurrent", [False, True])
@pytest.mark.parametrize("colour", ["def", "async def"])
async def test_whatever_a_handler_raises_is_answered(colour, concurrent, fault, caplog):
    router = SocketRouter()

    if colour == "def":

        @router.route("X", concurrent=concurrent)
        def on_x(socket):
            raise fault

    else:

        @router.route("X", concurrent=concurrent)
        async def on_x(socket):
            raise fault

    async with client_of(router) as client:
        for _ in range(2):
            error = await client.ask({"type": "X", "ref": 1})
            assert (error["status"], error["ref"]) == (500, 1)


@pytest.mark.parametrize("fault", [Odd(), SystemExit(1), asyncio.CancelledError(), StopIteration()])
@pytest.mark.parametrize("colour", ["def", "async def"])
async def test_whatever_a_hook_raises_ends_the_connection_cleanly(colour, fault, caplog):
    ended = []

    def raising(socket):
        raise fault

    async def araising(socket):
        raise fault

    hook = raising if colour == "def" else araising
    refusing, leaving = SocketRouter(), SocketRouter()
    refusing.connect(hook)
    leaving.disconnect(hook)
    leaving.disconnect(lambda socket: ended.append(True))
    client = Client(refusing.Handler.as_asgi(), "/")
    await client.connect()
    assert await client.next_close() == CloseCode.SERVER_FAULT
    await client.wait()
    async with client_of(leaving):
        pass
    assert ended == [True]


async def test_a_handler_that_cancels_its_own_task_stops_itself_only(caplog):
    router = SocketRouter()

    @router.route("X")
    async def on_x(socket):
        asyncio.current_task().cancel()
        await asyncio.sleep(1)

    router.route("NEXT")(lambda socket: "next")
    async with client_of(router) as client:
        for _ in range(2):
            assert (await client.ask({"type": "X", "ref": 1}))["status"] == 500
            assert (await client.ask({"type": "NEXT", "ref": 1}))["data"] == "next"


async def test_a_users_method_of_any_name_is_no_built_in():
    ran = []

    class Shop(Good):
        routes = (*Good.routes, ("CANCEL_ORDER", "cancel"))

        def cancel(self, content):
            ran.append(content)

    async with client_of(Shop) as client:
        await client.send_json_to({"type": "CANCEL", "ref": 1})
        assert (await client.ask({"type": "GOOD", "ref": 1}))["data"] == "good"
    assert ran == []


async def test_a_bad_frame_with_the_ref_of_another_message_ends_not_that_one():
    router = SocketRouter()
    gate = asyncio.Event()

    @router.route("WAIT")
    async def on_wait(socket):
        await gate.wait()
        return "waited"

    async with client_of(router) as client:
        await client.send_json_to({"type": "WAIT", "ref": 1})
        assert (await client.ask({"type": "NOPE", "ref": 1}))["status"] == 404
        assert (await client.ask({"type": 5, "ref": 1}))["status"] == 400
        assert (await client.ask({"type": "WAIT", "ref": 1}))["status"] == 409
        gate.set()
        assert (await client.receive_json_from())["data"] == "waited"


@pytest.mark.parametrize("value", [({}, 206), Reply({}, status=1000), Reply({}, status="x")])
async def test_a_status_that_no_reply_has_is_a_500(value, caplog):
    router = SocketRouter()
    router.route("X")(lambda socket: value)
    async with client_of(router) as client:
        assert (await client.ask({"type": "X", "ref": 1}))["status"] == 500


async def test_a_handler_cannot_change_the_regex_groups_of_others(caplog):
    router = SocketRouter()

    @router.route(re.compile("SET_(?P<name>.+)"))
    def on_set(socket, message, name):
        message.groups["name"] = "changed"

    async with client_of(router) as client:
        assert (await client.ask({"type": "SET_X", "ref": 1}))["status"] == 500


async def test_a_fault_after_the_answer_is_in_the_log(caplog):
    router = SocketRouter()

    @router.route("X")
    async def on_x(socket):
        socket.reply("early")
        raise SocketError("Too late.")

    async with client_of(router) as client:
        assert (await client.ask({"type": "X", "ref": 1}))["data"] == "early"
        assert await client.receive_nothing()
    assert "failed after its answer: Too late." in caplog.text


async def test_a_long_key_is_cut_in_the_log(caplog):
    router = SocketRouter()
    router.default_route(lambda socket: 1 / 0)
    async with client_of(router) as client:
        assert (await client.ask({"type": "x" * 60_000, "ref": 1}))["status"] == 500
    assert len(caplog.messages[0]) < 200


async def test_the_end_is_the_same_when_the_server_cancels_again_and_again():
    ended = []
    router = SocketRouter()

    @router.route("WAIT")
    async def on_wait(socket):
        try:
            await asyncio.sleep(5)
        finally:
            await asyncio.sleep(0.05)
            ended.append("handler")

    router.disconnect(lambda socket: ended.append("hook"))
    client = Client(router.Handler.as_asgi(), "/")
    await client.connect()
    await client.send_json_to({"type": "WAIT"})
    await asyncio.sleep(0.02)
    for _ in range(4):
        client.future.cancel()
        await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await client.future
    assert ended == ["handler", "hook"]


async def test_what_a_handler_has_of_its_own_takes_no_dict():
    opened = []

    class Table(RoutedSocketHandler):
        def connect(self):
            opened.append(self)

        async def on_remember(self, content):
            self.state.seen = True
            return vars(self)["state"].seen

        routes = (("REMEMBER", "on_remember"),)

    async with client_of(Table) as client:
        assert vars(opened[0]) == {}
        assert (await client.ask({"type": "REMEMBER", "ref": 1}))["data"] is True


class Remembered(RoutedSocketHandler):
    """Knows its connections, and keeps none of them alive."""

    opened: ClassVar[list[weakref.ref[RoutedSocketHandler]]] = []
    max_strikes = 2

    async def connect(self):
        self.opened.append(weakref.ref(self))
        await self.join("room")

    async def on_work(self):
        return 1

    def on_thread(self):
        return self.joined

    async def on_wait(self):
        await asyncio.sleep(5)

    async def on_close(self):
        self.close(4000)

    routes = (
        ("WORK", "on_work"),
        ("THREAD", "on_thread"),
        ("WAIT", "on_wait"),
        Route.of(("BESIDE",), on_wait, concurrent=True),
        ("CLOSE", "on_close"),
    )


class Refusing(Remembered):
    async def connect(self):
        await super().connect()
        raise PermissionDenied


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("colour", ["def", "async def"])
async def test_what_a_function_returns_to_be_awaited_is_awaited(colour):
    router = SocketRouter()

    async def later():
        return {"in": "time"}

    if colour == "def":

        @router.route("SEND")
        def on_send(socket):
            return socket.send_json({"type": "SENT"})

        @router.route("GIVE")
        def on_give(socket):
            return later()

    else:

        @router.route("SEND")
        async def on_send(socket):
            return socket.send_json({"type": "SENT"})

        @router.route("GIVE")
        async def on_give(socket):
            return later()

    async with client_of(router) as client:
        assert await client.ask({"type": "SEND", "ref": 1}) == {"type": "SENT"}
        assert (await client.receive_json_from())["status"] == 204
        assert (await client.ask({"type": "GIVE", "ref": 2}))["data"] == {"in": "time"}


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "messages",
    [[], ["WORK"], ["THREAD"], ["WAIT"], ["WAIT", "WORK"], ["BESIDE"], ["CLOSE"], ["NO", "NO"]],
)
async def test_a_connection_that_ended_is_gone_without_the_garbage_collector(messages):
    async with client_of(Remembered) as client:
        for key in messages:
            await client.send_json_to({"type": key})
        await asyncio.sleep(0.05)
    opened = Remembered.opened.pop()
    await until(lambda: opened() is None)


@pytest.mark.usefixtures("no_collector")
async def test_a_connection_that_was_refused_is_gone_too():
    client = Client(Refusing.as_asgi(), "/")
    await client.connect()
    assert await client.next_close() == CloseCode.FORBIDDEN
    await client.disconnect()
    opened = Refusing.opened.pop()
    await until(lambda: opened() is None)
