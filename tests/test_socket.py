"""What a handler offers its functions."""

import asyncio
import threading

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, SynchronousOnlyOperation
from django.utils.safestring import mark_safe

from sockets import CallError, CallTimeout, Disconnected, RoutedSocketHandler, SocketRouter, groups
from sockets.exceptions import LoginRequired
from sockets.models import Socket

from .clients import Client, client_of
from .conftest import until


@pytest.mark.parametrize("colour", ["def", "async def", "async def, awaited"])
async def test_sends_act_at_the_call_in_their_order(colour):
    router = SocketRouter()

    def send_all(socket):
        return [
            socket.send_json({"n": 1}),
            socket.send_action("STEP", n=2),
            socket.send(text_data="three"),
            socket.send(bytes_data=b"four"),
            socket.reply({"n": 5}),
        ]

    if colour == "def":

        @router.route("GO")
        def on_go(socket):
            send_all(socket)

    else:

        @router.route("GO")
        async def on_go(socket):
            sent = send_all(socket)
            if colour != "async def":
                for awaitable in sent:
                    await awaitable

    async with client_of(router) as client:
        assert await client.ask({"type": "GO", "ref": 1}) == {"n": 1}
        assert await client.receive_json_from() == {"type": "STEP", "n": 2}
        assert await client.receive_from() == "three"
        assert await client.receive_from() == b"four"
        assert await client.receive_json_from() == {
            "type": "GO",
            "ref": 1,
            "status": 200,
            "data": {"n": 5},
        }
        assert await client.receive_nothing()


async def test_send_takes_exactly_one_kind_of_frame():
    router = SocketRouter()

    @router.route("GO")
    async def on_go(socket):
        for arguments in ({}, {"text_data": "a", "bytes_data": b"a"}):
            with pytest.raises(ValueError, match="either text_data or bytes_data"):
                socket.send(**arguments)
        for taken in ("ref", "type"):
            with pytest.raises(ValueError, match=f"without '{taken}'"):
                socket.send_action("X", **{taken: 1})
        with pytest.raises(TypeError, match=r"builtins\.object"):
            socket.send_json(object())
        return "checked"

    async with client_of(router) as client:
        assert (await client.ask({"type": "GO", "ref": 1}))["data"] == "checked"


async def test_reply_answers_early_and_once():
    router = SocketRouter()

    @router.route("GO")
    async def on_go(socket):
        socket.reply("early", 202)
        with pytest.raises(RuntimeError, match="has its answer already"):
            socket.reply("again")
        socket.send_json("more")
        return "late"

    async with client_of(router) as client:
        reply = await client.ask({"type": "GO", "ref": 1})
        assert (reply["data"], reply["status"]) == ("early", 202)
        assert await client.receive_json_from() == "more"
        assert await client.receive_nothing()


async def test_reply_without_data_is_a_204():
    router = SocketRouter()
    router.route("GO")(lambda socket: socket.reply())
    async with client_of(router) as client:
        assert await client.ask({"type": "GO", "ref": 1}) == {"type": "GO", "ref": 1, "status": 204}


async def test_reply_outside_a_message_says_so():
    faults = []
    router = SocketRouter()

    @router.connect
    def on_connect(socket):
        with pytest.raises(RuntimeError, match="none to reply to") as fault:
            socket.reply()
        faults.append(fault)

    async with client_of(router):
        assert faults


async def test_reply_of_a_concurrent_message_is_its_own():
    router = SocketRouter()

    @router.route(r"ECHO", concurrent=True)
    async def on_echo(socket, content):
        await asyncio.sleep(content["wait"])
        await asyncio.create_task(answer(socket, content))

    async def answer(socket, content):
        socket.reply(content["wait"])

    async with client_of(router) as client:
        await client.send_json_to({"type": "ECHO", "ref": "slow", "wait": 0.05})
        await client.send_json_to({"type": "ECHO", "ref": "quick", "wait": 0.01})
        assert (await client.receive_json_from())["ref"] == "quick"
        assert (await client.receive_json_from())["ref"] == "slow"


def asking(colour):
    """A router whose ASK asks the client and tells how that went."""
    router = SocketRouter()
    outcomes = []

    def tell(fault):
        outcomes.append(fault)
        return {"fault": type(fault).__name__, "status": fault.status}

    if colour == "def":

        @router.route("ASK", concurrent=True)
        def on_ask(socket, content):
            try:
                return {"answer": socket.call("Q", content["q"], timeout=0.2)}
            except (CallError, Disconnected) as fault:
                return tell(fault)

    else:

        @router.route("ASK", concurrent=True)
        async def on_ask(socket, content):
            try:
                return {"answer": await socket.call("Q", content["q"], timeout=0.2)}
            except (CallError, Disconnected) as fault:
                return tell(fault)

    return router, outcomes


COLOURS = pytest.mark.parametrize("colour", ["def", "async def"])


@COLOURS
async def test_call_returns_the_clients_answer(colour):
    router, _ = asking(colour)
    async with client_of(router) as client:
        question = await client.ask({"type": "ASK", "ref": 1, "q": [1]})
        assert question == {"type": "Q", "ref": "s:1", "data": [1]}
        reply = await client.ask({"type": "Q", "ref": "s:1", "status": 200, "data": "yes"})
        assert reply["data"] == {"answer": "yes"}
        await client.send_json_to({"type": "ASK", "ref": "s:1"})
        await client.send_json_to({"type": "Q", "ref": "s:99", "data": "too late"})
        assert await client.receive_nothing()


@COLOURS
@pytest.mark.parametrize(("status", "told"), [(409, 409), (200.5, 502), (None, 502), (302, 302)])
async def test_call_raises_an_answer_that_is_no_success(colour, status, told):
    router, outcomes = asking(colour)
    async with client_of(router) as client:
        ref = (await client.ask({"type": "ASK", "ref": 1, "q": 1}))["ref"]
        reply = await client.ask({"type": "Q", "ref": ref, "status": status, "data": "why"})
        assert reply["data"] == {"fault": "CallError", "status": told}
    assert outcomes[0].data == "why"


async def test_a_question_that_cannot_be_sent_is_not_waited_for(caplog):
    router = SocketRouter()

    @router.route("ASK")
    async def on_ask(socket):
        with pytest.raises(TypeError):
            await socket.call("Q", object())
        return len(socket._calls._pending)

    async with client_of(router) as client:
        assert (await client.ask({"type": "ASK", "ref": 1}))["data"] == 0
    assert not caplog.records


@COLOURS
async def test_call_times_out(colour):
    router, _ = asking(colour)
    async with client_of(router) as client:
        await client.ask({"type": "ASK", "ref": 1, "q": 1})
        reply = await client.receive_json_from()
        assert reply["data"] == {"fault": "CallTimeout", "status": 504}


@COLOURS
async def test_call_ends_when_the_client_leaves(colour):
    router, outcomes = asking(colour)
    async with client_of(router) as client:
        await client.ask({"type": "ASK", "ref": 1, "q": 1})
        await client.disconnect(code=1001)
    if outcomes:  # an async handler may have been cancelled first
        assert outcomes[0].code == 1001
    else:
        assert colour == "async def"


@pytest.mark.parametrize("fault", [CallError(409, "x"), CallTimeout(1), CallError(302)])
async def test_a_call_fault_that_nobody_catches_is_relayed_and_not_logged(fault, caplog):
    router = SocketRouter()

    @router.route("GO")
    async def on_go(socket):
        raise fault

    async with client_of(router) as client:
        assert (await client.ask({"type": "GO", "ref": 1}))["status"] in (409, 504, 502)
    assert not caplog.records


async def test_call_after_the_connection_is_closed():
    outcomes = []
    router = SocketRouter()

    @router.disconnect
    async def on_disconnect(socket):
        with pytest.raises(Disconnected):
            await socket.call("Q")
        outcomes.append(True)

    async with client_of(router):
        pass
    assert outcomes


@COLOURS
async def test_call_in_a_connect_hook_accepts_first(colour):
    router = SocketRouter()

    if colour == "def":

        @router.connect
        def on_connect(socket):
            socket.state.name = socket.call("NAME")

    else:

        @router.connect
        async def on_connect(socket):
            socket.state.name = await socket.call("NAME")

    router.route("WHO")(lambda socket, state: state.name)
    async with client_of(router) as client:
        ref = (await client.receive_json_from())["ref"]
        await client.send_json_to({"type": "NAME", "ref": ref, "data": "ann"})
        assert (await client.ask({"type": "WHO", "ref": 1}))["data"] == "ann"


@COLOURS
async def test_accept_by_hand_with_a_subprotocol(colour):
    class ByHand(RoutedSocketHandler):
        if colour == "def":

            def connect(self):
                self.accept(subprotocol="chat")
                self.accept()

        else:

            async def connect(self):
                await self.accept(subprotocol="chat")
                await self.accept()

    client = Client(ByHand.as_asgi(), "/")
    assert await client.connect() == (True, "chat")
    await client.disconnect()


async def test_the_protocol_asked_for_is_agreed():
    for asked, agreed in [(["x", "sockets.json"], "sockets.json"), (["x"], None)]:
        client = Client(RoutedSocketHandler.as_asgi(), "/", subprotocols=asked)
        assert await client.connect() == (True, agreed)
        await client.disconnect()


@pytest.mark.parametrize("through_async_to_sync", [False, True])
async def test_at_most_half_of_the_lanes_wait_for_clients(settings, through_async_to_sync):
    settings.SOCKETS = {"LANES": 4}
    router = SocketRouter()

    async def ask(socket):
        return await socket.call("Q")

    @router.route("ASK", concurrent=True)
    def on_ask(socket):
        return async_to_sync(ask)(socket) if through_async_to_sync else socket.call("Q")

    async with client_of(router) as client, client_of(router) as other:
        for ref in range(2):
            await client.send_json_to({"type": "ASK", "ref": ref})
        asked = [(await client.receive_json_from())["ref"] for _ in range(2)]
        assert (await other.ask({"type": "ASK", "ref": 1}))["status"] == 503
        for ref in asked:
            await client.send_json_to({"type": "Q", "ref": ref, "data": "ok"})
        assert {(await client.receive_json_from())["data"] for _ in asked} == {"ok"}


async def test_sixteen_concurrent_messages_that_all_call_are_answered():
    router = SocketRouter()

    @router.route("ASK", concurrent=True)
    async def on_ask(socket):
        return await socket.call("Q")

    async with client_of(router) as client:
        for number in range(16):
            await client.send_json_to({"type": "ASK", "ref": number})
        for _ in range(16):
            ref = (await client.receive_json_from())["ref"]
            await client.send_json_to({"type": "Q", "ref": ref, "data": ref})
        refs = {(await client.receive_json_from())["ref"] for _ in range(16)}
    assert refs == set(range(16))


async def test_close_from_a_thread_comes_after_what_it_sent():
    router = SocketRouter()

    @router.route("BYE")
    def on_bye(socket):
        socket.send_json("bye")
        socket.close(4000)

    async with client_of(router) as client:
        assert await client.ask({"type": "BYE"}) == "bye"
        assert await client.next_close() == 4000
        await until(client.future.done)


async def test_a_long_reason_is_cut_to_what_a_close_frame_holds():
    router = SocketRouter()
    router.route("BYE")(lambda socket: socket.close(4000, "é" * 100))
    async with client_of(router) as client:
        await client.send_json_to({"type": "BYE"})
        event = await client.receive_output()
    assert event["reason"] == "é" * 61


async def test_what_is_known_of_the_connection():
    known = {}
    router = SocketRouter()

    @router.connect
    def on_connect(socket):
        known.update(
            user=socket.user,
            session=socket.session,
            kwargs=socket.kwargs,
            path=socket.path,
            ip=socket.user_ip,
            agent=socket.headers["user-agent"],
            state=vars(socket.state),
            thread=threading.current_thread().name,
        )

    headers = [(b"user-agent", b"test")]
    scope = {"client": ("192.0.2.1", 5), "headers": headers, "session": {"a": 1}}
    async with client_of(router, "/here/", **scope):
        assert isinstance(known.pop("user"), AnonymousUser)
        assert known == {
            "session": {"a": 1},
            "kwargs": {},
            "path": "/here/",
            "ip": "192.0.2.1",
            "agent": "test",
            "state": {},
            "thread": "sockets-lane-0",
        }


async def test_state_lasts_as_long_as_the_connection():
    router = SocketRouter()

    @router.route("COUNT")
    def on_count(socket, state):
        state.count = getattr(state, "count", 0) + 1
        return state.count

    for _ in range(2):
        async with client_of(router) as client:
            counts = [(await client.ask({"type": "COUNT", "ref": n}))["data"] for n in range(3)]
            assert counts == [1, 2, 3]


# Sending to all on a path, and groups


NEWS = {"type": "NEWS", "text": "é"}


async def speak(socket):
    socket.broadcast_json({"n": 1})
    socket.broadcast_action("NEWS", text="é")


@pytest.mark.parametrize("colour", ["def", "async def", "async def, awaited"])
async def test_a_broadcast_goes_to_all_on_this_path_and_to_nobody_else(colour):
    router = SocketRouter()
    if colour == "def":

        @router.route("SPEAK")
        def on_speak(socket):
            socket.broadcast_json({"n": 1})
            socket.broadcast_action("NEWS", text="é")

    elif colour == "async def":
        router.route("SPEAK")(speak)
    else:

        @router.route("SPEAK")
        async def on_speak(socket):
            assert await socket.broadcast_json({"n": 1}) is None
            assert await socket.broadcast_action("NEWS", text="é") is None

    async with (
        client_of(router, "/a/") as speaker,
        client_of(router, "/a/") as listener,
        client_of(SocketRouter(), "/a/") as of_another_handler,
        client_of(router, "/a") as elsewhere,
        client_of(router, "/a/b/") as beneath,
    ):
        assert await speaker.ask({"type": "SPEAK"}) == {"n": 1}
        assert await speaker.receive_json_from() == NEWS
        for client in (listener, of_another_handler):
            assert await client.receive_json_from() == {"n": 1}
            assert await client.receive_json_from() == NEWS
        for client in (elsewhere, beneath):
            assert (await client.ask({"type": "UNKNOWN"}))["status"] == 404


@pytest.mark.parametrize("exclude", [lambda socket: socket, lambda socket: [socket.id]])
async def test_a_broadcast_may_spare_oneself(exclude):
    router = SocketRouter()

    @router.route("SPEAK")
    async def on_speak(socket):
        socket.broadcast_json(1, exclude=exclude(socket))
        socket.broadcast_action("NEWS", exclude=exclude(socket))
        return "spoken"

    async with client_of(router) as speaker, client_of(router) as listener:
        assert (await speaker.ask({"type": "SPEAK"}))["data"] == "spoken"
        assert await listener.receive_json_from() == 1
        assert await listener.receive_json_from() == {"type": "NEWS"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("closing_connections")
async def test_a_broadcast_spares_a_selection_of_rows_where_that_can_be_fetched():
    router = SocketRouter()

    def rows_of(socket):
        return Socket.objects.filter(pk=socket.id)

    @router.route("SPEAK")
    def on_speak(socket):
        socket.broadcast_json(1, exclude=rows_of(socket))

    @router.route("SPEAK_ASYNC")
    async def on_speak_async(socket):
        with pytest.raises(
            SynchronousOnlyOperation, match=r"exclude=\[row async for row in rows\]"
        ):
            socket.broadcast_json("never sent", exclude=rows_of(socket))
        socket.broadcast_json(2, exclude=[row async for row in rows_of(socket)])

    async with client_of(router) as speaker, client_of(router) as listener:
        for number, type in enumerate(["SPEAK", "SPEAK_ASYNC"], start=1):
            assert (await speaker.ask({"type": type, "ref": number}))["status"] == 204
            assert await listener.receive_json_from() == number


async def test_a_broadcast_that_cannot_be_sent_is_refused_at_the_call():
    router = SocketRouter()

    @router.route("SPEAK")
    async def on_speak(socket):
        with pytest.raises(TypeError, match=r"builtins\.object"):
            socket.broadcast_json(object())
        with pytest.raises(ValueError, match="expected fields without 'ref'"):
            socket.broadcast_action("NEWS", ref=1)
        with pytest.raises(TypeError, match="expected a type, got 5"):
            socket.broadcast_action(5)
        with pytest.raises(TypeError, match="expected a socket, a row, an id"):
            socket.broadcast_json(1, exclude="ann")
        return "refused"

    async with client_of(router) as client:
        assert (await client.ask({"type": "SPEAK"}))["data"] == "refused"


async def test_what_a_cancelled_message_still_broadcasts_is_dropped():
    router = SocketRouter()
    entered, cancelled, tried = threading.Event(), threading.Event(), threading.Event()

    @router.route("SPEAK")
    def on_speak(socket):
        entered.set()
        cancelled.wait(5)
        socket.broadcast_json(1)
        socket.join("red")
        socket.leave("blue")
        tried.set()

    @router.connect
    def on_connect(socket):
        socket.join("blue")

    @router.route("JOINED")
    async def on_joined(socket):
        return socket.joined

    async with client_of(router) as client:
        await client.send_json_to({"type": "SPEAK", "ref": 1})
        await until(entered.is_set)
        assert (await client.ask({"type": "CANCEL", "ref": 1}))["status"] == 499
        cancelled.set()
        await until(tried.is_set)
        assert (await client.ask({"type": "JOINED", "ref": 2}))["data"] == ["blue"]


async def test_a_broadcast_of_a_connect_hook_comes_after_accept():
    router = SocketRouter()

    @router.connect
    async def on_connect(socket):
        socket.send_json(1)
        socket.broadcast_json(2)
        socket.send_json(3)

    async with client_of(router) as client:
        assert [await client.receive_json_from() for _ in range(3)] == [1, 2, 3]


async def test_a_disconnect_hook_reaches_those_who_stay():
    router = SocketRouter()

    @router.disconnect
    def on_disconnect(socket):
        socket.broadcast_json({"left": list(socket.joined)})

    @router.connect
    def on_connect(socket):
        socket.join("red")

    async with client_of(router) as stays:
        async with client_of(router):
            pass
        assert await stays.receive_json_from() == {"left": ["red"]}


@pytest.mark.parametrize("asks", ["login", "refusal"])
async def test_a_client_that_a_hook_refused_is_sent_no_broadcast(asks):
    router = SocketRouter()

    @router.connect
    async def on_connect(socket):
        socket.join("red")
        socket.broadcast_json("waits")
        raise LoginRequired("Log in.") if asks == "login" else PermissionDenied("No.")

    client = Client(router.Handler.as_asgi(), "/")
    async with client_of(SocketRouter()) as other:
        assert await client.connect() == (True, None)
        await groups.asend_json("red", 1)
        if asks == "login":
            assert (await client.ask({"type": "ANY"}))["type"] == "RECONNECT"
        assert await client.next_close() == (4401 if asks == "login" else 4403)
        assert await other.receive_json_from() == "waits"
        await client.wait()


async def test_safe_text_goes_as_text():
    router = SocketRouter()
    router.route("GO")(lambda socket: socket.send(text_data=mark_safe("<p>")))
    async with client_of(router) as client:
        await client.send_json_to({"type": "GO"})
        assert await client.receive_output() == {"type": "websocket.send", "text": "<p>"}
