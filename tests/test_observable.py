"""The wire of ObservableSocket: what its clients send, and what they take."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus

from sockets import (
    Reply,
    RoutedSocketHandler,
    SocketError,
    SocketRouter,
    heartbeat,
    listing,
    member,
)
from sockets.encoding import encode_json
from sockets.exceptions import FrameTooLarge, InvalidFrame
from sockets.messages import Message, Ping
from sockets.protocols.native import Native
from sockets.protocols.observable import Observable

from .clients import Client, client_of
from .servers import Server, serving_live

protocol = Observable()
PONG = {"route": "PONG", "uuid": "hb", "headers": None, "payload": None}


def request(route, payload=None, **fields):
    """A frame with all that the client sends."""
    frame = {"headers": {}, "uuid": "u1", "route": route, "payload": payload, "status": 200}
    return {**frame, **fields}


def response(payload, status=200, *, uuid: Any = "u1", headers=None):
    return {"headers": headers, "payload": payload, "uuid": uuid, "status": status}


def decoded(**content):
    return protocol.decode(json.dumps(content))


# Decoding


def test_a_request_is_a_message():
    message = decoded(**request("sayHello", {"name": "Ada"}, headers={"token": "t"}))
    assert isinstance(message, Message)
    assert (message.key, message.content, message.ref) == ("sayHello", {"name": "Ada"}, "u1")
    assert message.headers == {"token": "t"}


@pytest.mark.parametrize("uuid", ["u1", "", "s:1", 5, 0, -1, 2**70])
def test_any_string_or_integer_is_a_uuid(uuid):
    assert decoded(route="a", uuid=uuid).ref == uuid


def test_headers_are_an_object_always_and_a_payload_may_be_missing():
    message = decoded(route="a", uuid=1, headers=None)
    assert (message.headers, message.content) == ({}, None)
    assert decoded(route="a", uuid=1).headers == {}


def test_half_of_a_character_does_not_cost_the_reply():
    """JavaScript sends it where it has cut a text; Python's own JSON takes it."""
    message = protocol.decode(r'{"route": "say", "uuid": "u1", "payload": "cut: \ud83d"}')
    assert (message.ref, message.content) == ("u1", "cut: \ufffd")


def test_a_ping_is_no_message():
    ping = decoded(**request("PING", {}, uuid="hb"))
    assert isinstance(ping, Ping)
    assert json.loads(ping.answer) == PONG


@pytest.mark.parametrize(
    ("frame", "details", "uuid"),
    [
        (b"{}", "expected a JSON text frame, got 2 bytes", ""),
        ("", "expected a JSON object", ""),
        ("hi", "expected a JSON object", ""),
        ("[" * 60_000, "expected a JSON object", ""),
        ('{"uuid": "\\ud800"}', "expected route to be a string", "\ufffd"),
        ('{"uuid": "\\ud800}', "expected a JSON object", ""),
        ("[1]", "expected a JSON object, got a list", ""),
        ("null", "expected a JSON object, got null", ""),
        ('{"route": "a"}', "expected a uuid, got none", ""),
        ('{"route": "a", "uuid": null}', "expected uuid to be .*, got null", None),
        ('{"route": "a", "uuid": true}', "expected uuid to be .*, got a boolean", True),
        ('{"route": "a", "uuid": 1.5}', "expected uuid to be .*, got a number", 1.5),
        ('{"route": "a", "uuid": [1]}', "expected uuid to be .*, got a list", ""),
        ('{"route": "a", "uuid": {}}', "expected uuid to be .*, got an object", ""),
        ('{"uuid": "u1"}', "expected route to be a string, got null", "u1"),
        ('{"uuid": 1, "route": 5}', "expected route to be a string, got a number", 1),
        ('{"uuid": 1, "route": "a", "headers": []}', "expected headers to be .*, got a list", 1),
        ('{"uuid": "", "route": "PING", "headers": 1}', "expected headers to be .* number", ""),
    ],
)
def test_what_is_no_request_is_refused_with_its_uuid_as_it_came(frame, details, uuid):
    with pytest.raises(InvalidFrame, match=details) as caught:
        protocol.decode(frame)
    refused = Message(None, None, caught.value.ref)  # type: ignore[arg-type]
    answer = json.loads(protocol.error(caught.value, refused))
    assert answer == response({"error": caught.value.details}, 400, uuid=uuid)
    assert type(answer["uuid"]) is type(uuid)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
ENVELOPES = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("uuid", "route", "headers", "payload", "status"), JSON)
)


@given(st.text() | st.binary() | (JSON | ENVELOPES).map(json.dumps))
def test_whatever_comes_is_a_request_or_refused(frame):
    try:
        message = protocol.decode(frame)
    except InvalidFrame as fault:
        refused = Message(None, None, fault.ref)  # type: ignore[arg-type]
        assert json.loads(protocol.error(fault, refused))["status"] == 400
    else:
        assert isinstance(message, Message)
        assert json.loads(protocol.reply(message, None, 204, None))["uuid"] == message.ref


# Encoding

MESSAGE = Message("sayHello", None, "u1", {})


def encoded(method, *args):
    return json.loads(getattr(protocol, method)(*args))


def test_a_reply_has_four_keys():
    assert encoded("reply", MESSAGE, [1], 201, {"a": "b"}) == response([1], 201, headers={"a": "b"})
    assert encoded("reply", MESSAGE, None, 204, None) == response(None, 204)
    assert encoded("reply", Message("a", None, 5), "x", 200, None) == response("x", uuid=5)


def test_an_error_is_a_reply_that_says_why():
    error = SocketError("Not today.", status=409, errors=["one", "two"])
    assert encoded("error", error, MESSAGE) == response({"error": "Not today."}, 409)
    assert encoded("error", error, None) == response({"error": "Not today."}, 409, uuid="")


def test_an_error_of_a_frame_that_was_not_read_has_an_empty_uuid():
    answer = encoded("error", FrameTooLarge("Too large."), Message(None, None))
    assert answer == response({"error": "Too large."}, 413, uuid="")


def test_parts_are_pushes_and_the_end_is_the_reply():
    part = encoded("part", MESSAGE, 3)
    assert part == {"route": "sayHello", "payload": 3, "headers": {"uuid": "u1"}, "status": 206}
    assert encoded("end", MESSAGE) == response(None)


def test_an_action_is_a_push_with_a_route():
    push = {"route": "told", "payload": {"text": "x"}, "headers": None, "status": 200}
    assert encoded("action", "told", {"text": "x"}) == push
    assert encoded("action_of_json", "told", b'{"text":"x"}') == push
    assert encoded("lagged", 5) == {**push, "route": "LAGGED", "payload": {"n": 5}}


@pytest.mark.parametrize(
    ("content", "frame"),
    [
        ({"route": "told", "payload": 1}, {"route": "told", "payload": 1}),
        ({"any": ["PONG"]}, {"any": ["PONG"]}),
        ({}, {}),
        ([1], {"payload": [1]}),
        ("PONG", {"payload": "PONG"}),
        (None, {"payload": None}),
        ({"route": "PONG"}, {"payload": {"route": "PONG"}}),
    ],
)
def test_an_event_is_an_object_that_clients_show(content, frame):
    assert encoded("event", content) == frame
    assert encoded("event_of_json", encode_json(content)) == frame


def test_an_action_called_pong_is_shown_too():
    push = {"route": "PONG", "payload": {}, "headers": None, "status": 200}
    assert encoded("action", "PONG", {}) == {"payload": push}
    assert encoded("part", Message("PONG", None, 1), 5)["payload"]["payload"] == 5


def test_it_asks_for_no_sign_of_life():
    assert protocol.ping() is None


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("on_say_hello", "sayHello"),
        ("say_hello", "sayHello"),
        ("on_get", "get"),
        ("on_a_b2", "aB2"),
    ],
)
def test_the_key_of_a_functions_name(name, key):
    assert protocol.key(name) == key


# Connections


class Place(RoutedSocketHandler):
    protocols = (Observable(),)
    max_frame_bytes = 2000
    routes = (
        *(("echo", "on_echo"), ("fail", "on_fail"), ("wait", "on_wait"), ("fields", "on_fields")),
        *(("count", "on_count"), ("push", "on_push"), ("ask", "on_ask"), ("nothing", "on_nothing")),
        ("unsendable", "on_unsendable"),
    )

    def on_echo(self, payload, headers):
        return Reply(payload, 202, headers)

    def on_fail(self):
        raise RuntimeError("expected nobody to see this")

    async def on_wait(self, payload):
        await asyncio.sleep(payload)
        return payload

    def on_fields(self, *, name: str):
        return name

    async def on_count(self, payload):
        for number in range(payload):
            yield number
        if payload == 2:
            raise SocketError("Enough.", status=410)

    async def on_push(self, payload):
        self.send_json(payload)
        await self.broadcast_json(payload)

    async def on_ask(self):
        return await self.call("question")

    def on_nothing(self):
        pass

    def on_unsendable(self):
        return float("nan")


async def test_replies_repeat_the_uuid_and_have_the_headers_of_the_reply():
    async with client_of(Place) as client:
        frame = request("echo", [1, None], headers={"token": "t"}, uuid=7)
        assert await client.ask(frame) == response([1, None], 202, uuid=7, headers={"token": "t"})
        assert await client.ask(request("echo", headers=None)) == response(None, 202, headers={})
        assert await client.ask(request("nothing")) == response(None, 204)
        assert await client.ask(request("fields", {"name": "Ada"})) == response("Ada")


async def test_the_refusal_of_a_frame_that_is_too_large_has_its_uuid():
    error = {"error": "expected a frame of at most 2000 bytes, got 3072."}
    async with client_of(Place) as client:
        frame = request("echo", "", uuid="large")
        frame["payload"] = "x" * (3072 - len(json.dumps(frame)))
        assert await client.ask(frame) == response(error, 413, uuid="large")
        answer = await client.ask([frame])
        assert (answer["status"], answer["uuid"]) == (413, "")


async def test_no_fault_ends_the_connection(caplog):
    faulty: list[tuple[Any, int]] = [
        (request("nope"), 404),
        (request("fail"), 500),
        (request("unsendable"), 500),
        (request("fields", {}), 400),
        (request("echo", "x" * 3000), 413),
        ([request("echo", "x" * 3000)], 413),
        ({}, 400),
        ({"uuid": None}, 400),
        ({"uuid": [1], "route": "echo"}, 400),
        ([], 400),
        ("hi", 400),
        (5, 400),
    ]
    async with client_of(Place) as client:
        for frame, status in faulty:
            answer = await client.ask(frame)
            assert answer.keys() == {"headers", "payload", "uuid", "status"}, frame
            assert (answer["status"], answer["headers"]) == (status, None), frame
            assert answer["payload"].keys() == {"error"}
            assert type(answer["payload"]["error"]) is str
            assert await client.ask(request("echo", 1)) == response(1, 202, headers={})
        for sent in ({"text_data": "{"}, {"bytes_data": b"{}"}):
            await client.send_to(**sent)
            assert (await client.receive_json_from())["status"] == 400
        assert await client.ask(request("PING", {}, uuid="hb")) == PONG
    assert len(caplog.records) == 2


async def test_an_unknown_route_is_named():
    async with client_of(Place) as client:
        answer = await client.ask(request("nope"))
        assert answer["payload"] == {"error": "Unknown route: 'nope'."}


@pytest.mark.parametrize("key", ["HELLO", "TIME_SYNC", "JOIN", "LEAVE", "CANCEL"])
async def test_nothing_is_built_in_but_the_heartbeat(key):
    async with client_of(Place) as client:
        assert (await client.ask(request(key, {"group": "a"})))["status"] == 404


async def test_a_ping_does_not_wait_for_what_runs():
    async with client_of(Place) as client:
        await client.send_json_to(request("wait", 0.1))
        assert await client.ask(request("PING", {}, uuid="hb")) == PONG
        assert await client.receive_json_from() == response(0.1)


async def test_requests_with_the_same_uuid_are_each_answered():
    async with client_of(Place) as client:
        await client.send_json_to(request("wait", 0.05))
        await client.send_json_to(request("echo", 2))
        told = [await client.receive_json_from() for _ in range(2)]
    assert [answer["payload"] for answer in told] == [0.05, 2]


async def test_who_is_refused_by_a_plain_router_is_refused_at_the_handshake():
    router = SocketRouter(protocols=(Observable(),), login_required=True)
    client = Client(router.Handler.as_asgi(), "/")
    assert not (await client.connect())[0]


async def test_a_ping_with_such_a_uuid_is_answered():
    async with client_of(Place) as client:
        await client.send_json_to(request("wait", 0.05, uuid="hb"))
        assert await client.ask(request("PING", {}, uuid="hb")) == PONG
        assert (await client.receive_json_from())["status"] == 200


async def test_the_promise_of_a_stream_is_settled_by_its_end():
    part = {"route": "count", "headers": {"uuid": "u1"}, "status": 206}
    async with client_of(Place) as client:
        await client.send_json_to(request("count", 3))
        frames = [await client.receive_json_from() for _ in range(4)]
        assert frames == [*({**part, "payload": n} for n in range(3)), response(None)]
        await client.send_json_to(request("count", 2))
        frames = [await client.receive_json_from() for _ in range(3)]
        assert frames == [
            *({**part, "payload": n} for n in range(2)),
            response({"error": "Enough."}, 410),
        ]


async def test_pushes_are_objects():
    async with client_of(Place) as client:
        await client.send_json_to(request("push", [1]))
        frames = [await client.receive_json_from() for _ in range(3)]
        assert frames.count({"payload": [1]}) == 2
        assert response(None, 204) in frames


async def test_nothing_waits_for_the_answer_to_a_question_that_was_not_sent():
    class Asking(RoutedSocketHandler):
        protocols = (Observable(), Native())
        routes = (("ask", "on_ask"),)

        async def on_ask(self):
            with pytest.raises((NotImplementedError, TypeError)):
                await self.call("question", object())
            return len(self._calls._pending)

    async with client_of(Asking) as client:
        assert await client.ask(request("ask")) == response(0)
    client = Client(Asking.as_asgi(), "/", subprotocols=["sockets.json"])
    await client.connect()
    assert (await client.ask({"type": "ask", "ref": 1}))["data"] == 0
    await client.disconnect()


async def test_clients_are_asked_nothing(caplog):
    async with client_of(Place) as client:
        assert (await client.ask(request("ask")))["status"] == 500
    assert "got Observable; ask with send_action('question', ...)" in caplog.text


async def test_a_silent_client_stays(monkeypatch):
    monkeypatch.setattr(heartbeat, "EVERY", 0.01)
    monkeypatch.setattr(member, "SILENCE", 0.02)
    monkeypatch.setattr(member, "PATIENCE", 0.02)
    async with client_of(Place) as client:
        for uuid in ("hb", "u2"):
            await client.ask(request("PING", {}, uuid=uuid))
            assert await client.receive_nothing(0.3)
        assert await client.ask(request("echo")) == response(None, 202, headers={})


async def test_beside_the_native_wire_each_client_has_its_own():
    class Both(RoutedSocketHandler):
        protocols = (Native(), Observable())
        routes = (("echo", "on_echo"),)

        def on_echo(self, content, headers):
            return [type(content).__name__, type(headers).__name__]

        def default_route(self, content):
            return "default"

    async with client_of(Both) as client:
        answer = await client.ask({"type": "echo", "ref": 1})
        assert answer["data"] == ["dict", "HttpHeaders"]
        assert (await client.ask({"type": "HELLO"}))["type"] == "GOT_HELLO"
    client = Client(Both.as_asgi(), "/", subprotocols=["sockets.observable"])
    assert await client.connect() == (True, "sockets.observable")
    assert await client.ask(request("echo", [])) == response(["list", "dict"])
    assert await client.ask(request("HELLO")) == response("default")
    await client.disconnect()


async def test_a_decorated_function_has_its_key():
    router = SocketRouter(protocols=(Observable(),))

    @router.route
    def on_say_hello(socket, payload):
        return f"Hello, {payload}!"

    async with client_of(router) as client:
        assert await client.ask(request("sayHello", "Ada")) == response("Hello, Ada!")


def test_what_is_built_in_is_listed_for_those_who_have_it():
    listed = listing.Place(Place, None)
    assert listed.built_in_lines() == []
    assert len(listed.own_lines()) == len(Place.routes)


# Servers


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(request, tmp_path_factory) -> Iterator[Server]:
    with serving_live(request.param, tmp_path_factory.mktemp("observable")) as server:
        yield server


async def asked(client, frame):
    await client.send(frame)
    return await client.receive()


async def test_on_servers_replies_and_refusals_have_their_form(server):
    async with server.client("/observed/") as client:
        frame = request("sayHello", {"name": "Ada"})
        assert await asked(client, frame) == response("Hello, Ada!")
        for uuid in ("6f7c6cf2-5c1a-4b8e-9a55-6d7f6c1c3c0e", 5):
            answer = await asked(client, request("sayHello", None, uuid=uuid))
            assert answer == response("Hello, World!", uuid=uuid)
        name = f"cooks of {server.kind}"
        assert await asked(client, request("createTeam", {"name": name})) == response(
            {"name": name}, 201
        )
        refused = {"error": "You may not do this."}
        assert await asked(client, request("getTeam", 5)) == response(refused, 403)
        for key, status in (("nope", 404), ("fail", 500), ("missing", 500)):
            answer = await asked(client, request(key))
            assert (answer["uuid"], answer["status"]) == ("u1", status)
            assert answer["payload"].keys() == {"error"}


async def test_on_servers_no_frame_ends_the_connection(server):
    server.mark()
    async with server.client("/observed/") as client:
        for frame in ("[]", "hi", "", "null", b"{}", '{"uuid":null}', '{"uuid":[]}', "{}"):
            assert (await asked(client, frame))["status"] == 400
            assert (await asked(client, request("sayHello")))["status"] == 200
    assert server.faults() == []


@pytest.mark.parametrize("route", ["sleep", "sleepAsync"])
async def test_on_servers_a_ping_is_answered_while_a_method_sleeps(server, route):
    async with server.client("/observed/") as client:
        await client.send(request(route, 0.5))
        await client.send(request("sayHello", uuid="u2"))
        assert await asked(client, request("PING", {}, uuid="hb")) == PONG
        assert await client.receive() == response(None)
        assert (await client.receive())["uuid"] == "u2"


async def test_on_servers_streams_and_pushes_come(server):
    async with (
        server.client("/observed/") as client,
        server.client("/observed/") as other,
    ):
        await asked(other, request("sayHello"))
        await client.send(request("countDown", 2))
        parts = [await client.receive() for _ in range(3)]
        assert [(part["status"], part["payload"]) for part in parts] == [
            *((206, 2), (206, 1)),
            (200, None),
        ]
        await client.send(request("tellAll", "hi"))
        push = {"route": "told", "payload": {"text": "hi"}, "headers": None, "status": 200}
        assert await other.receive() == push
        assert push in [await client.receive() for _ in range(2)]


async def test_on_servers_who_may_not_come_in_is_refused_at_the_handshake(server):
    # A close after the accept would have the client begin anew with its count of five.
    with pytest.raises(InvalidStatus) as caught:
        async with server.client("/observed-members/"):
            pass
    assert caught.value.response.status_code == 403
