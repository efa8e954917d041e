"""The native wire in MessagePack: the same objects as in JSON, in binary frames."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgpack
import pytest
from websockets.typing import Subprotocol

from sockets import RoutedSocketHandler
from sockets.encoding import encode_json
from sockets.exceptions import InvalidFrame, SocketError
from sockets.messages import Answer, Message
from sockets.protocols.msgpack import MessagePack
from sockets.protocols.native import Native

from .clients import Client
from .servers import PATIENCE, Server, serving_live

native, binary = Native(), MessagePack()


def decoded(**content):
    return binary.decode(msgpack.packb(content))


# Decoding


def test_a_message_is_the_same_as_in_json():
    content = {"type": "BET", "ref": "a", "chips": [1, -0.5, None, True, {"h\xe9": 2**64 - 1}]}
    message, other = decoded(**content), native.decode(json.dumps(content))
    assert (message.key, message.ref, message.content) == (other.key, other.ref, other.content)
    assert message.content == content


def test_a_ref_of_ours_marks_an_answer():
    assert decoded(type="CONFIRM", ref="s:1", data=5) == Answer("s:1", 200, 5)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"\x00\xff", "AP8="),
        (msgpack.Timestamp(1895920215, 123_987_000), "2030-01-29T12:30:15.123Z"),
        ({1: "a", None: "b"}, {"1": "a", "null": "b"}),
    ],
)
def test_what_json_has_no_form_for_is_text(value, expected):
    assert decoded(type="BET", x=[value]).content["x"] == [expected]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        pytest.param('{"type": "BET"}', "expected a binary .* frame, got 15 char", id="text"),
        pytest.param("", "expected a binary MessagePack frame, got 0 characters", id="empty text"),
        pytest.param(b"", "truncated", id="empty"),
        pytest.param(b'{"type": "BET"}', "trailing", id="json"),
        pytest.param(msgpack.packb({"type": "BET"})[:-1], "truncated", id="half a map"),
        pytest.param(b"\xc1", "invalid opcode", id="no code"),
        pytest.param(b"\xdd\xff\xff\xff\xff", "truncated", id="a list of 4 Gi"),
        pytest.param(b"\xdf\xff\xff\xff\xff", "truncated", id="a map of 4 Gi"),
        pytest.param(b"\xa1\xff", "utf-8", id="no UTF-8"),
        pytest.param(b"\x91" * 60_000, "recursion", id="deep list"),
        pytest.param(b"\x81\xc0" * 30_000, "recursion", id="deep map"),
        pytest.param(msgpack.packb([]), "got a list", id="list"),
        pytest.param(msgpack.packb(None), "got null", id="null"),
        pytest.param(msgpack.packb({"x": msgpack.ExtType(5, b"a")}), "Ext at x", id="extension"),
        pytest.param(msgpack.packb({"x": [float("nan")]}), r"got nan at x\[0\]", id="nan"),
        pytest.param(msgpack.packb({(1, 2): 3}), "a key that is a builtins.tuple", id="list key"),
        pytest.param(b"\x81\x81\x01\x02\x03", "must be hashable", id="map key"),
        pytest.param(msgpack.packb({"type": 5}), "expected type to be a string", id="type 5"),
        pytest.param(msgpack.packb({"ref": 1.5}), "expected ref to be a string", id="ref 1.5"),
    ],
)
def test_a_frame_that_is_no_message_is_refused(frame, message):
    with pytest.raises(InvalidFrame, match=message) as caught:
        binary.decode(frame)
    assert caught.value.status == 400


def test_of_a_frame_that_is_too_large_only_the_ref_is_read():
    content = {"ref": "a", "text": "x" * 100_000, "at": msgpack.ExtType(5, b"a"), "many": [[]] * 99}
    assert binary.outline(msgpack.packb(content)).ref == "a"
    assert binary.outline(msgpack.packb(content)[:-1]).ref is None
    assert binary.outline(msgpack.packb({"ref": 1.5})).ref is None
    assert binary.outline(b"\x81\xa1a" * 100_000).ref is None


# Encoding

MESSAGE = Message("BET", {}, 1)
VALUES = {
    "when": datetime(2030, 1, 31, 12, 30, 15, 123987, UTC),
    1: [UUID(int=1), Decimal("1.50"), date(2030, 1, 31), b"\x00\xff", None, 0.5],
}


@pytest.mark.parametrize(
    "encode",
    [
        lambda format: format.reply(MESSAGE, VALUES, 201, None),
        lambda format: format.reply(MESSAGE, None, 204, None),
        lambda format: format.part(MESSAGE, VALUES),
        lambda format: format.end(MESSAGE),
        lambda format: format.error(SocketError("No.", errors=["h\xe9"]), MESSAGE),
        lambda format: format.event(VALUES),
        lambda format: format.action("CHAT", {"a": VALUES}),
        lambda format: format.event_of_json(encode_json(VALUES)),
        lambda format: format.action_of_json("CHAT", encode_json({"a": VALUES})),
        lambda format: format.action_of_json("CHAT", b"{}"),
        lambda format: format.call("CONFIRM", "s:1", VALUES),
        lambda format: format.lagged(5),
        lambda format: format.ping(),
    ],
)
def test_every_frame_holds_the_object_that_json_would(encode):
    frame = encode(binary)
    assert type(frame) is bytes
    assert msgpack.unpackb(frame) == json.loads(encode(native))


def test_it_is_silent_where_json_is():
    assert binary.reply(Message("BET", {}), None, 204, None) is None
    assert binary.end(Message("BET", {})) is None


def test_it_refuses_what_json_refuses():
    with pytest.raises(ValueError, match=r"got inf at data\.chips"):
        binary.reply(MESSAGE, {"chips": float("inf")}, 200, None)
    with pytest.raises(TypeError, match=r"got a builtins.object at \[0\]"):
        binary.event([object()])


def test_integers_have_64_bits():
    assert msgpack.unpackb(binary.event([2**64 - 1, -(2**63)])) == [2**64 - 1, -(2**63)]
    with pytest.raises(ValueError, match="expected integers of at most 64 bits"):
        binary.event(2**64)


# Connections


class Echo(RoutedSocketHandler):
    routes = (("ECHO", "on_echo"),)

    def on_echo(self, content):
        return content["x"]


async def test_a_client_that_asks_for_it_gets_it():
    client = Client(Echo.as_asgi(), "/", subprotocols=["sockets.msgpack", "sockets.json"])
    assert await client.connect() == (True, "sockets.msgpack")
    await client.send_to(bytes_data=msgpack.packb({"type": "ECHO", "ref": 1, "x": b"a"}))
    answer = msgpack.unpackb(await client.receive_from())
    assert answer == {"type": "ECHO", "ref": 1, "status": 200, "data": "YQ=="}
    await client.send_to(text_data='{"type": "ECHO", "ref": 1, "x": 1}')
    answer = msgpack.unpackb(await client.receive_from())
    assert (answer["type"], answer["status"]) == ("ERROR", 400)
    await client.disconnect()


async def test_a_client_that_does_not_gets_json():
    client = Client(Echo.as_asgi(), "/")
    assert await client.connect() == (True, None)
    await client.send_to(bytes_data=msgpack.packb({"type": "ECHO", "ref": 1, "x": 1}))
    answer = await client.receive_json_from()
    assert (answer["type"], answer["status"]) == ("ERROR", 400)
    assert (await client.ask({"type": "ECHO", "ref": 1, "x": 1}))["data"] == 1
    await client.disconnect()


async def test_a_broadcast_is_encoded_once_for_each_format():
    class Counting(MessagePack):
        encoded = 0

        def event(self, content):
            self.encoded += 1
            return super().event(content)

    class Crowd(RoutedSocketHandler):
        protocols = (Native(), Counting())
        routes = (("TELL", "on_tell"),)

        def on_tell(self):
            self.broadcast_json({"when": date(2030, 1, 31)})

    asked = [["sockets.msgpack"], ["sockets.msgpack"], ["sockets.msgpack"], None]
    clients = [Client(Crowd.as_asgi(), "/", subprotocols=names) for names in asked]
    for client in clients:
        await client.connect()
    *packed, plain = clients
    await plain.send_json_to({"type": "TELL"})
    assert await plain.receive_json_from() == {"when": "2030-01-31"}
    for client in packed:
        assert msgpack.unpackb(await client.receive_from()) == {"when": "2030-01-31"}
    assert Crowd.protocols[1].encoded == 1
    for client in clients:
        await client.disconnect()


async def test_annotated_fields_have_the_values_themselves_in_both_formats():
    class Typed(RoutedSocketHandler):
        routes = (("PUT", "on_put"),)

        def on_put(self, *, blob: bytes, when: datetime):
            return [blob.hex(), when.isoformat()]

    when = datetime(2030, 1, 31, tzinfo=UTC)
    put = {
        "type": "PUT",
        "ref": 1,
        "blob": b"\x00\xff",
        "when": msgpack.Timestamp.from_datetime(when),
    }
    client = Client(Typed.as_asgi(), "/", subprotocols=["sockets.msgpack"])
    await client.connect()
    await client.send_to(bytes_data=msgpack.packb(put))
    expected = ["00ff", "2030-01-31T00:00:00+00:00"]
    assert msgpack.unpackb(await client.receive_from())["data"] == expected
    await client.disconnect()
    other = Client(Typed.as_asgi(), "/")
    await other.connect()
    answer = await other.ask({**put, "blob": "AP8=", "when": "2030-01-31T00:00:00Z"})
    assert answer["data"] == expected
    await other.disconnect()


# Servers


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(request, tmp_path_factory) -> Iterator[Server]:
    with serving_live(request.param, tmp_path_factory.mktemp("msgpack")) as server:
        yield server
        assert not server.faults()


async def test_servers_carry_its_frames(server):
    formats = [Subprotocol("sockets.msgpack"), Subprotocol("sockets.json")]
    async with (
        server.client("/room/a/", subprotocols=formats) as binary_client,
        server.client("/room/a/") as text_client,
    ):
        connection = binary_client.connection
        assert connection.subprotocol == "sockets.msgpack"
        assert text_client.connection.subprotocol is None

        async def ask(frame: str | bytes) -> Any:
            await connection.send(frame)
            return await answer()

        async def answer() -> Any:
            frame = await asyncio.wait_for(connection.recv(), PATIENCE)
            assert isinstance(frame, bytes)
            return msgpack.unpackb(frame)

        hello = await ask(msgpack.packb({"type": "HELLO"}))
        assert (hello["type"], hello["path"]) == ("GOT_HELLO", "/room/a/")
        said = await ask(msgpack.packb({"type": "ECHO", "ref": 1, "text": "h\xe9"}))
        assert said == {"type": "ECHO", "ref": 1, "status": 200, "data": ["h\xe9", "", None]}
        for frame in ('{"type": "HELLO"}', b"", b"\xc1", msgpack.packb([1])):
            error = await ask(frame)
            assert (error["type"], error["status"]) == ("ERROR", 400)

        # The same broadcast, from a client of one format to both.
        steps = [["path", None, "broadcast_json", [{"n": [1, None]}], {}]]
        await text_client.send({"type": "SEND", "steps": steps})
        assert await answer() == {"n": [1, None]} == await text_client.receive()
