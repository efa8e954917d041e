"""The wire of channels-websocket-utils: what its page understands, and silence where it throws."""

import asyncio
import json
import logging

import msgspec
import pytest
from django.core.exceptions import PermissionDenied
from django.views import View

from sockets import Reply, SocketError, SocketRouter
from sockets.exceptions import InvalidFrame, TimedOut
from sockets.messages import Message
from sockets.protocols.native import Native
from sockets.protocols.replykey import ReplyKey

from .clients import Client, client_of

wire = ReplyKey()


def decoded(**content):
    return wire.decode(json.dumps(content))


def replied(data, status=200, ref="r1"):
    frame = wire.reply(Message("find", {}, ref), data, status, None)
    return frame and json.loads(frame)


def router_of(**functions):
    router = SocketRouter(protocols=(wire,))
    for key, function in functions.items():
        router.route(key)(function)
    return router


# Decoding


def test_a_message_is_one_flat_object():
    message = decoded(type="find", reply_key="r1", name="ann")
    assert (message.key, message.ref) == ("find", "r1")
    assert message.content == {"type": "find", "reply_key": "r1", "name": "ann"}


@pytest.mark.parametrize("reply_key", ["r1", "", "s:1", 0, -5])
def test_reply_keys_are_strings_and_integers(reply_key):
    assert decoded(type="find", reply_key=reply_key).ref == reply_key


def test_half_of_a_character_does_not_cost_the_reply():
    message = wire.decode(r'{"type": "say", "reply_key": "r1", "text": "cut: \ud83d"}')
    assert (message.ref, message.content["text"]) == ("r1", "cut: \ufffd")


def test_a_message_may_ask_for_no_reply():
    assert decoded(type="find").ref is None
    assert decoded(type="find", reply_key=None).ref is None


@pytest.mark.parametrize(
    ("frame", "ref"),
    [
        (b"{}", None),
        ("{", None),
        ("[1]", None),
        ('{"type": "find", "reply_key": {}}', None),
        ('{"type": "find", "reply_key": true}', None),
        ('{"type": "find", "reply_key": 1.5}', None),
        ('{"type": 5, "reply_key": "r1"}', "r1"),
        ('{"type": null, "reply_key": "r1"}', "r1"),
    ],
)
def test_what_is_no_message_is_refused_with_its_reply_key_if_it_has_one(frame, ref):
    with pytest.raises(InvalidFrame) as caught:
        wire.decode(frame)
    assert caught.value.ref == ref


def test_of_a_frame_that_is_too_large_only_the_reply_key_is_read():
    frame = json.dumps({"type": "find", "text": "x" * 100_000, "reply_key": "r1"})
    assert wire.outline(frame).ref == "r1"
    assert wire.outline(frame.replace("reply_key", "key")).ref is None


# Answers


class Player(msgspec.Struct):
    name: str


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ({}, {}),
        ({"name": "ann", "key": "theirs", "status": "ok"}, {"name": "ann", "status": "ok"}),
        (Player("ann"), {"name": "ann"}),
        ([], {"data": []}),
        ([1], {"data": [1]}),
        (0, {"data": 0}),
        ("", {"data": ""}),
    ],
)
def test_the_fields_of_the_answer_stand_beside_the_key(data, fields):
    assert replied(data) == {**fields, "key": "r1"}


def test_none_is_silence():
    assert replied(None, 204) is None
    assert replied(None, 200) is None


def test_without_a_reply_key_everything_is_silence():
    assert replied({"name": "ann"}, ref=None) is None
    assert replied(None, 404, ref=None) is None
    assert wire.part(Message("find", {}), 1) is None
    assert wire.end(Message("find", {})) is None
    assert wire.error(SocketError("No."), Message("find", {})) is None
    assert wire.error(SocketError("No."), None) is None


def test_another_status_than_200_is_told():
    assert replied({"id": 1}, 201) == {"key": "r1", "status": 201, "id": 1}
    assert replied(None, 404) == {"key": "r1", "status": 404, "success": False}
    told = replied({"status": "busy"}, 409)
    assert told == {"key": "r1", "status": "busy", "success": False}


def test_an_error_has_its_status_and_details():
    frame = wire.error(TimedOut("Too slow."), Message("find", {}, 7))
    assert json.loads(frame) == {
        "key": 7,
        "status": 504,
        "details": "Too slow.",
        "success": False,
    }


async def test_the_parts_of_a_stream_have_a_status_and_its_end_has_none():
    async def count(socket):
        yield {"n": 1}
        yield 2

    async with client_of(router_of(count=count)) as client:
        assert await client.ask({"type": "count", "reply_key": "r1"}) == {
            "key": "r1",
            "status": 206,
            "n": 1,
        }
        part = await client.receive_json_from()
        assert part == {"key": "r1", "status": 206, "data": 2}
        assert await client.receive_json_from() == {"key": "r1"}
        await client.send_json_to({"type": "count"})
        assert await client.receive_nothing()


# Events


def test_an_action_is_keyed_by_its_type():
    assert json.loads(wire.action("moved", {"x": 1})) == {"key": "moved", "x": 1}
    assert json.loads(wire.action("moved", {"key": 1})) == {"key": "moved"}
    assert json.loads(wire.action_of_json("moved", b'{"x":1}')) == {"key": "moved", "x": 1}


@pytest.mark.parametrize("key", ["moved", 5])
def test_an_event_with_a_key_is_sent_unchanged(key, caplog):
    assert json.loads(wire.event({"key": key, "x": 1})) == {"key": key, "x": 1}
    assert json.loads(wire.event_of_json(b'{"key":"moved"}')) == {"key": "moved"}
    assert not caplog.records


@pytest.mark.parametrize("content", [{"type": "GREETING"}, {"key": None}, [1], None, {}])
def test_an_event_without_a_key_is_not_sent_but_logged(content, caplog):
    assert wire.event(content) is None
    [record] = caplog.records
    assert (record.levelno, "send_action(key, ...)" in record.message) == (logging.WARNING, True)


def test_slow_clients_and_silent_ones_are_told_nothing():
    assert wire.lagged(5) is None
    assert wire.ping() is None


# A handler


async def test_a_route_without_a_key_has_its_functions_name():
    router = SocketRouter(protocols=(wire,))

    @router.route
    def on_find(socket, *, name: str):
        return {"found": name}

    async with client_of(router) as client:
        asked = {"type": "on_find", "reply_key": "r1", "name": "ann"}
        assert await client.ask(asked) == {"key": "r1", "found": "ann"}


async def test_a_message_that_asks_for_no_reply_gets_none():
    heard = []
    router = router_of(say=lambda socket, content: heard.append(content["text"]) or {"x": 1})
    async with client_of(router) as client:
        await client.send_json_to({"type": "say", "text": "hi"})
        assert await client.receive_nothing()
    assert heard == ["hi"]


def deny(socket):
    raise PermissionDenied("Members only.")


@pytest.mark.parametrize(
    ("message", "status", "details"),
    [
        ({"type": "deny"}, 403, "Members only."),
        ({"type": "nope"}, 404, "Unknown type: 'nope'."),
        ({"type": "broken"}, 500, "The server failed."),
        ({"type": "typed", "n": "x"}, 400, "The message is not valid: n."),
        ({"type": 5}, 400, "expected type to be a string, got a number."),
        ({}, 400, "expected an object with a type, got none."),
    ],
)
async def test_faults_are_told_where_there_is_a_reply_key(message, status, details):
    def typed(socket, *, n: int): ...

    router = router_of(deny=deny, broken=lambda socket: 1 / 0, typed=typed, ok=lambda socket: {})
    async with client_of(router) as client:
        assert await client.ask({**message, "reply_key": "r1"}) == {
            "key": "r1",
            "status": status,
            "details": details,
            "success": False,
        }
        await client.send_json_to(message)
        assert await client.ask({"type": "ok", "reply_key": "r2"}) == {"key": "r2"}


@pytest.mark.parametrize("frame", ["{", "[1]", '"x"', "null", '{"type": "ok", "reply_key": []}'])
async def test_bad_frames_are_silence(frame):
    async with client_of(router_of(ok=lambda socket: {})) as client:
        await client.send_to(text_data=frame)
        await client.send_to(bytes_data=b"\x00")
        assert await client.ask({"type": "ok", "reply_key": "r1"}) == {"key": "r1"}


@pytest.mark.parametrize("key", ["HELLO", "TIME_SYNC", "PING", "CANCEL", "JOIN", "LEAVE"])
async def test_nothing_is_built_in(key):
    async with client_of(router_of()) as client:
        answer = await client.ask({"type": key, "reply_key": "r1", "group": "kitchen"})
        assert (answer["key"], answer["status"]) == ("r1", 404)
        await client.send_json_to({"type": key})
        assert await client.receive_nothing()


async def test_what_is_built_in_stays_for_the_other_protocols_of_a_handler():
    class Page(View):
        socket = SocketRouter(protocols=(wire, Native()))

    async with client_of(Page.socket) as client:
        assert (await client.ask({"type": "HELLO", "reply_key": 1}))["status"] == 404
    client = Client(Page.socket.Handler.as_asgi(), "/", subprotocols=["sockets.json"])
    await client.connect()
    assert (await client.ask({"type": "HELLO"}))["type"] == "GOT_HELLO"
    await client.disconnect()


async def test_it_may_be_asked_for_by_its_subprotocol():
    class Page(View):
        socket = SocketRouter(protocols=(Native(), wire))

        @socket.route("find")
        def find(socket, content):
            return {"found": content["name"]}

    async with client_of(Page.socket, subprotocols=["sockets.replykey"]) as client:
        answer = await client.ask({"type": "find", "name": "ann", "reply_key": "r1"})
        assert answer == {"key": "r1", "found": "ann"}


async def test_who_must_log_in_is_closed_without_a_word():
    router = router_of(ok=lambda socket: {})
    router.login_required = True
    async with client_of(router) as client:
        await client.send_json_to({"type": "ok", "reply_key": "r1"})
        assert await client.next_close() == 4401


async def test_pushes_are_keyed():
    def push(socket):
        socket.send_action("moved", x=1)
        socket.send_json({"key": "moved", "x": 2})
        socket.send_json({"type": "moved"})
        socket.broadcast_action("moved", x=3)
        return {}

    async with client_of(router_of(push=push)) as client:
        await client.send_json_to({"type": "push", "reply_key": "r1"})
        frames = [await client.receive_json_from() for _ in range(4)]
    assert sorted(frame.get("x", 0) for frame in frames) == [0, 1, 2, 3]
    assert {frame["key"] for frame in frames} == {"moved", "r1"}


async def test_several_messages_may_be_under_way():
    async def wait(socket, *, seconds: float):
        await asyncio.sleep(seconds)
        return {}

    router = SocketRouter(protocols=(wire,))
    router.route("wait", concurrent=True)(wait)
    async with client_of(router) as client:
        await client.send_json_to({"type": "wait", "reply_key": "slow", "seconds": 0.1})
        await client.send_json_to({"type": "wait", "reply_key": "fast", "seconds": 0})
        assert await client.receive_json_from() == {"key": "fast"}
        assert await client.receive_json_from() == {"key": "slow"}


async def test_a_reply_by_hand():
    async def find(socket):
        socket.reply({"early": True})
        return {"late": True}

    router = router_of(find=find, none=lambda socket: Reply(None))
    async with client_of(router) as client:
        answer = await client.ask({"type": "find", "reply_key": "r1"})
        assert answer == {"key": "r1", "early": True}
        await client.send_json_to({"type": "none", "reply_key": "r2"})
        assert await client.receive_nothing()


async def test_clients_cannot_be_called(caplog):
    async def ask(socket):
        await socket.call("CONFIRM")

    async with client_of(router_of(ask=ask)) as client:
        assert (await client.ask({"type": "ask", "reply_key": "r1"}))["status"] == 500
    assert "got ReplyKey; ask with send_action('CONFIRM', ...)" in caplog.text
