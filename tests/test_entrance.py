"""A client that must log in may do so by its first frame."""

import asyncio
import json
import threading

import pytest
from channels.auth import AuthMiddlewareStack
from django.contrib.auth.models import User

from sockets import RoutedSocketHandler, SocketError, entrance
from sockets.models import Socket
from sockets.protocols.native import Native
from sockets.tokens import TicketMiddleware, aget_websocket_token, avalidate_websocket_token

from .clients import Client
from .clients import client_of as open_client
from .conftest import until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("closing_connections"),
]

came_in = []


class Members(RoutedSocketHandler):
    login_required = True
    max_frame_bytes = 1000

    async def connect(self):
        came_in.append(self.user.username)
        self.send_json({"welcome": self.user.username})

    def on_who(self):
        row = Socket.objects.get(pk=self.id)
        return [self.user.username, row.user.username]

    routes = (("WHO", "on_who"),)


class Spoken(Native):
    """A protocol whose keys are written in another way, and whose content is a field."""

    subprotocol = "spoken"

    def key(self, name):
        return f"please {name.removeprefix('on_')}"

    def decode(self, frame):
        message = super().decode(frame)
        message.content = message.content.get("with")
        return message


@pytest.fixture(autouse=True)
def nobody_came_in():
    came_in.clear()


@pytest.fixture
def ann(transactional_db):
    return User.objects.create_user("ann")


def client_of(handler=Members, **options):
    return Client(AuthMiddlewareStack(TicketMiddleware(handler.as_asgi())), "/", **options)


async def connect(handler=Members, **options):
    client = client_of(handler, **options)
    assert (await client.connect())[0]
    return client


async def is_turned_away(client):
    assert (await client.receive_json_from())["type"] == "RECONNECT"
    code = await client.next_close()
    await client.wait()
    return (code, came_in) == (4401, [])


async def test_a_ticket_in_the_first_frame_lets_in(ann):
    client = await connect()
    assert came_in == []
    ticket = {"type": "TICKET", "ref": 1, "token": await aget_websocket_token(ann)}
    assert await client.ask(ticket) == {"type": "TICKET", "ref": 1, "status": 204}
    assert await client.receive_json_from() == {"welcome": "ann"}
    answer = await client.ask({"type": "WHO", "ref": 2})
    assert answer["data"] == ["ann", "ann"]
    await client.disconnect()


async def test_without_a_ref_it_is_not_answered(ann):
    client = await connect()
    ticket = {"type": "TICKET", "token": await aget_websocket_token(ann)}
    assert await client.ask(ticket) == {"welcome": "ann"}
    await client.disconnect()


async def test_what_is_sent_behind_it_is_handled_behind_it(ann):
    client = await connect()
    await client.send_json_to({"type": "TICKET", "token": await aget_websocket_token(ann)})
    await client.send_json_to({"type": "WHO", "ref": 2})
    assert await client.receive_json_from() == {"welcome": "ann"}
    assert (await client.receive_json_from())["data"] == ["ann", "ann"]
    await client.disconnect()


async def test_the_client_is_accepted_once_and_with_its_subprotocol(ann):
    client = client_of(subprotocols=["sockets.json"])
    assert await client.connect() == (True, "sockets.json")
    await client.send_json_to({"type": "TICKET", "token": await aget_websocket_token(ann)})
    assert await client.receive_json_from() == {"welcome": "ann"}
    await client.disconnect()


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "WHO", "ref": 1},
        {"type": "TICKET"},
        {"type": "TICKET", "token": None},
        {"type": "TICKET", "token": "null", "ref": 1},
        {"type": "TICKET", "token": ["list"]},
        {"type": "TICKET", "token": {"a": 1}},
        {"type": "TICKET", "token": 5},
        {"type": "TICKET", "token": "x" * 2000},
        {"type": "TICKET", "token": "\N{SNOWMAN}"},
        {"type": "ANSWER", "ref": "s:1"},
        {"token": "x"},
        [],
    ],
    ids=lambda frame: json.dumps(frame)[:40],
)
async def test_any_other_first_frame_is_answered_with_reconnect(frame, caplog):
    client = await connect()
    await client.send_json_to(frame)
    assert await is_turned_away(client)
    assert not caplog.records


@pytest.mark.parametrize("frame", [{"text": "no JSON"}, {"bytes": b"\xff"}, {"text": ""}, {}])
async def test_a_frame_that_is_no_message_is_too(frame):
    client = await connect()
    await client.send_input({"type": "websocket.receive", **frame})
    assert await is_turned_away(client)


async def test_what_is_sent_behind_a_bad_ticket_is_handled_by_nobody():
    client = await connect()
    await client.send_json_to({"type": "TICKET", "token": "null"})
    for key in ("WHO", "NOPE", "PING", "JOIN"):
        await client.send_json_to({"type": key, "ref": key})
    assert await is_turned_away(client)


async def test_a_ticket_that_is_used_is_none(ann):
    token = await aget_websocket_token(ann)
    assert await avalidate_websocket_token({}, token=token)
    client = await connect()
    await client.send_json_to({"type": "TICKET", "token": token})
    assert await is_turned_away(client)


async def test_a_ticket_that_comes_second_is_none(ann):
    client = await connect()
    await client.send_json_to({"type": "HELLO"})
    await client.send_json_to({"type": "TICKET", "token": await aget_websocket_token(ann)})
    assert await is_turned_away(client)


async def test_who_sends_nothing_is_turned_away(monkeypatch):
    monkeypatch.setattr(entrance, "FIRST_FRAME", 0.02)
    assert await is_turned_away(await connect())


async def test_who_finds_no_thread_may_come_back(ann, settings):
    settings.SOCKETS = {"LANES": 1, "LANE_WAIT": 0.05}
    started, ended = threading.Event(), threading.Event()

    class Busy(RoutedSocketHandler):
        tracked = False
        routes = (("WORK", "on_work"),)

        def on_work(self):
            started.set()
            assert ended.wait(5)

    token = await aget_websocket_token(ann)
    async with open_client(Busy) as busy:
        await busy.send_json_to({"type": "WORK"})
        await until(started.is_set)
        client = await connect()
        await client.send_json_to({"type": "TICKET", "token": token})
        assert await client.next_close() == 4503
        await client.wait()
        ended.set()
    client = await connect()
    assert await client.ask({"type": "TICKET", "token": token}) == {"welcome": "ann"}
    await client.disconnect()


async def test_who_leaves_before_the_first_frame_is_forgotten(caplog):
    client = await connect()
    await client.disconnect()
    assert (came_in, caplog.records) == ([], [])


async def test_a_server_that_stops_ends_the_waiting(caplog):
    client = await connect()
    client.future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.future
    assert (came_in, caplog.records) == ([], [])


async def test_a_hook_may_still_refuse(ann):
    class Full(Members):
        async def connect(self):
            raise SocketError("There is no room.", status=403)

    client = await connect(Full)
    await client.send_json_to({"type": "TICKET", "token": await aget_websocket_token(ann)})
    assert await client.next_close() == 4403
    await client.wait()


async def test_a_ticket_of_the_handshake_leaves_the_first_frame_alone(ann):
    client = await connect(subprotocols=["sockets.json", await aget_websocket_token(ann)])
    assert await client.receive_json_from() == {"welcome": "ann"}
    answer = await client.ask({"type": "WHO", "ref": 1})
    assert answer["data"] == ["ann", "ann"]
    await client.disconnect()


async def test_who_is_logged_in_already_sends_a_ticket_as_any_other_message(ann):
    client = await connect(subprotocols=["sockets.json", await aget_websocket_token(ann)])
    assert await client.receive_json_from() == {"welcome": "ann"}
    token = await aget_websocket_token(ann)
    answer = await client.ask({"type": "TICKET", "ref": 1, "token": token})
    assert (answer["status"], answer["ref"]) == (404, 1)
    assert (await client.ask({"type": "WHO", "ref": 2}))["data"] == ["ann", "ann"]
    await client.disconnect()


async def test_other_protocols_have_their_own_key_for_it(ann):
    class Speaking(Members):
        protocols = (Spoken(),)

    client = await connect(Speaking)
    content = {"token": await aget_websocket_token(ann)}
    await client.send_json_to({"type": "please ticket", "with": content})
    assert await client.receive_json_from() == {"welcome": "ann"}
    await client.disconnect()
    client = await connect(Speaking)
    await client.send_json_to({"type": "please ticket", "with": "token"})
    assert (await client.receive_json_from())["type"] == "RECONNECT"
    assert await client.next_close() == 4401
    await client.wait()


async def test_a_socket_that_refuses_at_the_handshake_waits_for_no_frame():
    class Strict(Members):
        refuse_at_handshake = True

    client = client_of(Strict)
    assert (await client.connect())[0] is False


async def test_without_the_middleware_no_ticket_is_taken(ann):
    client = Client(AuthMiddlewareStack(Members.as_asgi()), "/")
    assert (await client.connect())[0]
    await client.send_json_to({"type": "TICKET", "token": await aget_websocket_token(ann)})
    assert await is_turned_away(client)


async def test_an_open_socket_takes_the_first_frame_as_any_other():
    class Open(RoutedSocketHandler):
        routes = (("HI", lambda socket: "hi"),)

    client = await connect(Open)
    assert (await client.ask({"type": "HI", "ref": 1}))["data"] == "hi"
    await client.disconnect()


async def test_the_end_deletes_the_row(ann):
    client = await connect()
    await client.send_json_to({"type": "TICKET", "token": await aget_websocket_token(ann)})
    assert await client.receive_json_from() == {"welcome": "ann"}
    await client.ask({"type": "WHO", "ref": 1})
    await ann.adelete()
    assert (await client.receive_json_from())["type"] == "RECONNECT"
    assert await client.next_close() == 4401
    await client.wait()
    await until(lambda: client.future.done())
    assert not await Socket.objects.aexists()
