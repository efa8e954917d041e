"""What comes before and after a route's function, in its order, and how it is run."""

import asyncio
import gc
import re
import threading
from functools import partial

import msgspec
import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404

from sockets import Reply, Route, RoutedSocketHandler, SocketError, SocketRouter
from sockets.exceptions import DeclarationError
from sockets.guards import Guard, authenticated
from sockets.lane import Lane

from .clients import Client, client_of
from .conftest import until


class Ann:
    """Somebody who is logged in, and no user of the database."""

    pk = 1
    is_authenticated = True
    is_active = True

    def has_perms(self, permissions, obj=None):
        return set(permissions) <= {"app.play"}


class Log(list):
    """Makes functions of either colour that note when they run."""

    def __init__(self, colour):
        super().__init__()
        self.colour = colour

    def make(self, name, result=None):
        """A function that returns the result, or raises it."""

        def work():
            self.append(name)
            if isinstance(result, Exception):
                raise result
            return result

        def function(socket, content):
            return work()

        async def coroutine(socket, content):
            return work()

        return function if self.colour == "def" else coroutine

    def make_for_object(self, name, result):
        function = self.make(name, result)

        def check(socket, obj):
            return function(socket, obj)

        async def acheck(socket, obj):
            return await function(socket, obj)

        return check if self.colour == "def" else acheck


PASSING = {
    "guards": True,
    "check_access": True,
    "check_data": None,
    "hydrate": "loaded",
    "object guard": True,
    "function": "played",
    "dehydrate": "told",
}
"""The stages in their order, with results that let a message through."""


def route_with(log, fields=False, **results):
    """A router with one route that has every stage; `results` replaces those of some."""
    results = {name: results.get(name.replace(" ", "_"), PASSING[name]) for name in PASSING}
    made = {name: log.make(name, result) for name, result in results.items()}
    on_object = log.make_for_object("object guard", results["object guard"])
    function = made["function"]
    if fields:
        if log.colour == "def":

            def function(socket, content, *, n: int):
                return made["function"](socket, content)

        else:

            async def function(socket, content, *, n: int):
                return await made["function"](socket, content)

    socket = SocketRouter()
    socket.route(
        "PLAY",
        login_required=True,
        permissions=["app.play"],
        guards=[made["guards"], on_object],
        **{name: made[name] for name in ("check_access", "check_data", "hydrate", "dehydrate")},
    )(function)
    return socket


COLOURS = pytest.mark.parametrize("colour", ["def", "async def"])


@COLOURS
async def test_the_order_of_the_stages(colour):
    log = Log(colour)
    async with client_of(route_with(log), user=Ann()) as client:
        answer = await client.ask({"type": "PLAY", "ref": 1})
    assert answer == {"type": "PLAY", "ref": 1, "status": 200, "data": "told"}
    assert log == list(PASSING)


class Bob(Ann):
    def has_perms(self, permissions, obj=None):
        return False


class Nobody(AnonymousUser):
    """A fault of the project: the permissions of nobody are asked for after all."""

    def has_perms(self, permissions, obj=None):
        raise AssertionError


REFUSALS = [
    # what refuses, the stage that it stands in, how it refuses, the status
    ("login", None, {"user": Nobody()}, 401),
    ("a permission", None, {"user": Bob()}, 403),
    ("a guard returns False", "guards", False, 403),
    ("a guard raises", "guards", PermissionDenied("No."), 403),
    ("a guard returns no answer", "guards", 1, 500),
    ("a guard fails", "guards", KeyError("n"), 500),
    ("check_access returns False", "check_access", False, 403),
    ("check_access raises", "check_access", SocketError("Pay first.", status=402), 402),
    ("check_access fails", "check_access", ZeroDivisionError(), 500),
    ("the schema", "fields", None, 400),
    ("check_data returns False", "check_data", False, 400),
    ("check_data raises", "check_data", ValidationError("Too much."), 400),
    ("check_data returns no answer", "check_data", {"n": "wrong"}, 500),
    ("hydrate raises Http404", "hydrate", Http404(), 404),
    ("hydrate raises DoesNotExist", "hydrate", User.DoesNotExist(), 404),
    ("hydrate fails", "hydrate", StopIteration(), 500),
    ("a guard of the object returns False", "object guard", False, 403),
    ("a guard of the object raises", "object guard", PermissionDenied(), 403),
    ("the function raises", "function", PermissionDenied(), 403),
    ("the function answers with an error", "function", ({"n": 1}, 409), 409),
    ("dehydrate fails", "dehydrate", KeyError("n"), 500),
]


@COLOURS
@pytest.mark.parametrize(
    ("stage", "how", "status"),
    [refusal[1:] for refusal in REFUSALS],
    ids=[refusal[0] for refusal in REFUSALS],
)
async def test_after_a_refusal_nothing_runs(colour, stage, how, status, caplog):
    log = Log(colour)
    user, results, order = Ann(), {}, list(PASSING)
    if stage is None:
        user, ran = how["user"], []
    elif stage == "fields":
        ran = order[: order.index("check_data")]
    else:
        results = {stage.replace(" ", "_"): how}
        ran = order[: order.index(stage) + 1]
    router = route_with(log, fields=stage == "fields", **results)
    async with client_of(router, user=user) as client:
        answer = await client.ask({"type": "PLAY", "ref": 1})
        assert answer["status"] == status
        assert log == ran
        alive = await client.ask({"type": "TIME_SYNC"})
        assert alive["type"] == "TIME_SYNC"
    assert bool(caplog.records) == (status == 500)


@pytest.mark.parametrize("stage", ["guards", "either", "check_data", "fields"])
async def test_a_refusal_leaves_nothing_to_the_garbage_collector(stage):
    async def refuse(socket):
        raise PermissionDenied

    options = {
        "guards": {"guards": [refuse]},
        "either": {"guards": [Guard(refuse) | refuse]},
        "check_data": {"check_data": refuse},
        "fields": {"guards": [authenticated]},
    }
    socket = SocketRouter()

    @socket.route("PLAY", **options[stage])
    async def on_play(socket, *, n: int): ...

    message = {"type": "PLAY", "ref": 1, "n": "1" if stage == "fields" else 1}
    async with client_of(socket, user=Ann()) as client:
        await client.ask(message)
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            assert (await client.ask(message))["status"] in (400, 403)
            gc.collect()
            assert [one for one in gc.garbage if isinstance(one, BaseException)] == []
        finally:
            gc.set_debug(0)
            gc.garbage.clear()


class Gate:
    """A stage that waits until it is opened, of either colour."""

    def __init__(self, colour):
        self.entered = False
        self.left = threading.Event()
        self.function = self.wait if colour == "def" else self.await_

    def wait(self, socket, content):
        self.entered = True
        assert self.left.wait(5)

    async def await_(self, socket, content):
        self.entered = True
        while not self.left.is_set():
            await asyncio.sleep(0.005)


@COLOURS
@pytest.mark.parametrize("concurrent", [False, True])
@pytest.mark.parametrize("end", ["time-out", "cancel", "closed", "gone"])
async def test_a_message_that_ended_goes_no_further(colour, end, concurrent):
    gate, log, sockets = Gate(colour), Log(colour), []
    router = SocketRouter()

    @router.connect
    def on_open(socket):
        sockets.append(socket)

    timeout = 0.05 if end == "time-out" else None
    options = {"hydrate": gate.function, "timeout": timeout, "concurrent": concurrent}
    router.route("PLAY", **options)(log.make("function"))
    async with client_of(router) as client:
        await client.send_json_to({"type": "PLAY", "ref": 1})
        await until(lambda: gate.entered)
        if end == "time-out":
            assert (await client.receive_json_from())["status"] == 504
        elif end == "cancel":
            assert (await client.ask({"type": "CANCEL", "ref": 1}))["status"] == 499
        elif end == "closed":
            sockets[0].close(4000)
        else:
            await client.send_input({"type": "websocket.disconnect", "code": 1001})
            await until(lambda: sockets[0]._closed == 1001)
        gate.left.set()
        if end in ("time-out", "cancel"):
            assert (await client.ask({"type": "TIME_SYNC"}))["type"] == "TIME_SYNC"
    assert not log


@COLOURS
async def test_a_message_that_finds_no_room_reaches_no_stage(colour):
    gate, log = Gate(colour), Log(colour)
    router = SocketRouter(max_waiting=1)
    router.route("WAIT", guards=[gate.function])(log.make("waited"))
    router.route("PLAY", guards=[log.make("guard")])(log.make("played"))
    async with client_of(router) as client:
        await client.send_json_to({"type": "WAIT"})
        await until(lambda: gate.entered)
        await client.send_json_to({"type": "PLAY", "ref": 1})
        assert (await client.ask({"type": "PLAY", "ref": 2}))["status"] == 429
        gate.left.set()
        assert (await client.receive_json_from())["ref"] == 1
    assert log == ["waited", "guard", "played"]


@COLOURS
@pytest.mark.parametrize("stage", ["guards", "check_access", "check_data", "hydrate"])
async def test_a_stage_may_refuse_by_closing(colour, stage):
    log = Log(colour)

    def close(socket):
        socket.close(4002)

    async def aclose(socket):
        await socket.close(4002)

    closing = close if colour == "def" else aclose
    router = SocketRouter()
    router.route("PLAY", **{stage: [closing] if stage == "guards" else closing})(log.make("played"))
    async with client_of(router) as client:
        await client.send_json_to({"type": "PLAY", "ref": 1})
        assert await client.next_close() == 4002
    assert not log


# What the stages are given, and what they give


async def test_content_is_what_the_stage_before_has_made_of_it():
    socket = SocketRouter()
    seen = []

    @socket.route(
        re.compile(r"MOVE_(?P<piece>\w+)$"),
        check_data=lambda socket, content: seen.append(content["to"]),
        hydrate=lambda socket, content, piece: {"game": content["to"], "piece": piece},
        check_access=lambda socket, obj, content: seen.append((obj["game"], content["to"])),
        dehydrate=lambda socket, result, obj: [result, obj["piece"]],
    )
    async def on_move(socket, game, content, payload, message, *, to: str):
        assert game is content is payload is message.content is message.obj
        return f"{game['piece']} to {to}"

    async with client_of(socket) as client:
        answer = await client.ask({"type": "MOVE_rook", "to": "a8"})
    assert answer["data"] == ["rook to a8", "rook"]
    assert seen == ["a8", ("a8", "a8")]


async def test_a_function_runs_with_what_hydrate_returned_even_none():
    socket = SocketRouter()

    @socket.route("LOAD", hydrate=lambda socket: None)
    def on_load(socket, game):
        return [game]

    async with client_of(socket) as client:
        assert (await client.ask({"type": "LOAD"}))["data"] == [None]


@COLOURS
async def test_every_faulty_field_of_a_route_is_told_at_once(colour):
    log, socket = Log(colour), SocketRouter()
    note = log.make("ran")

    def check(socket, *, n: int, of: str):
        return note(socket, None)

    def load(socket, *, team: str, n: int):
        return note(socket, None)

    @socket.route("PLAY", check_data=check, hydrate=load)
    def on_play(socket, content, *, name: str, n: int):
        return note(socket, None)

    async with client_of(socket) as client:
        answer = await client.ask({"type": "PLAY", "ref": 1, "n": "1", "name": 5})
        assert answer["errors"] == [
            {"field": "of", "text": "This field is required."},
            {"field": "n", "text": "Expected `int`, got `str`"},
            {"field": "team", "text": "This field is required."},
            {"field": "name", "text": "Expected `str`, got `int`"},
        ]
        answer = await client.ask({"type": "PLAY", "of": "", "n": 1, "team": "cooks"})
        assert answer["details"] == "The message is not valid: name."
    assert not log


async def test_hydrate_may_take_fields():
    socket = SocketRouter()

    def load(socket, *, game: int):
        return {"number": game}

    @socket.route("LOAD", hydrate=load)
    async def on_load(socket, game):
        return game

    async with client_of(socket) as client:
        assert (await client.ask({"type": "LOAD", "game": 5}))["data"] == {"number": 5}
        answer = await client.ask({"type": "LOAD", "game": "x"})
        assert (answer["status"], answer["errors"][0]["field"]) == (400, "game")


class Order(msgspec.Struct):
    table: int
    dish: str = "soup"


@COLOURS
async def test_the_schema_is_asked_after_access_and_before_the_data(colour):
    log = Log(colour)
    router = SocketRouter()

    def check_data(socket, order):
        log.append("check_data")
        return isinstance(order, Order)

    router.route(
        "ORDER", schema=Order, check_access=log.make("check_access"), check_data=check_data
    )(log.make("function", "done"))
    async with client_of(router) as client:
        refused = await client.ask({"type": "ORDER", "table": "x", "dish": 1, "ref": 1})
        assert [error["field"] for error in refused["errors"]] == ["table", "dish"]
        assert log == ["check_access"]
        assert (await client.ask({"type": "ORDER", "table": 4, "ref": 2}))["data"] == "done"
    assert log[1:] == ["check_access", "check_data", "function"]


@pytest.mark.parametrize("blocking", [True, False])
async def test_what_hydrate_asks_of_the_content_is_the_schema(blocking):
    router = SocketRouter()

    def load(socket, order: Order):
        return {"of": order.table}

    async def aload(socket, order: Order):
        return {"of": order.table}

    @router.route("ORDER", hydrate=load if blocking else aload)
    async def on_order(socket, table: "Table"):  # noqa: F821 - no schema, and not looked at
        return table

    async with client_of(router) as client:
        assert (await client.ask({"type": "ORDER", "table": 4, "ref": 1}))["data"] == {"of": 4}
        refused = await client.ask({"type": "ORDER", "ref": 2})
    assert refused["errors"] == [{"field": "table", "text": "This field is required."}]


def test_no_stage_takes_fields_of_content_that_has_a_schema():
    def check(socket, *, table: int): ...

    with pytest.raises(DeclarationError, match=r"check: expected a schema or fields after \*"):

        @SocketRouter().route("ORDER", schema=Order, check_data=check)
        async def on_order(socket): ...


async def test_data_of_the_object_is_checked_once_it_is_loaded():
    socket = SocketRouter()

    @socket.route(
        "BET",
        hydrate=lambda socket: {"chips": 5},
        check_data=lambda socket, obj, content: content["n"] <= obj["chips"],
    )
    def on_bet(socket, game):
        return game

    async with client_of(socket) as client:
        assert (await client.ask({"type": "BET", "n": 5}))["data"] == {"chips": 5}
        assert (await client.ask({"type": "BET", "n": 6}))["status"] == 400


async def test_the_stages_of_a_message_share_a_store():
    socket = SocketRouter()

    def note(socket, store):
        store["n"] = store.get("n", 0) + 1

    @socket.route("COUNT", guards=[note], hydrate=note, dehydrate=lambda socket, store: store)
    async def on_count(socket, message, store):
        assert store is message.store
        note(socket, store)

    async with client_of(socket) as client:
        for _ in range(2):
            assert (await client.ask({"type": "COUNT"}))["data"] == {"n": 3}


@pytest.mark.parametrize(
    ("returned", "status", "data"),
    [
        ({"n": 1}, 200, "told"),
        (None, 200, "told"),
        ((1, 201), 201, "told"),
        (Reply(1, 202), 202, "told"),
        ((1, 404), 404, 1),
        (Reply(1, 300), 300, 1),
    ],
)
async def test_only_success_is_dehydrated(returned, status, data):
    socket = SocketRouter()

    @socket.route("ASK", dehydrate=lambda socket: "told")
    def on_ask(socket):
        return returned

    async with client_of(socket) as client:
        answer = await client.ask({"type": "ASK", "ref": 1})
    assert (answer["status"], answer["data"]) == (status, data)


async def test_an_answer_that_was_given_early_is_not_dehydrated():
    dehydrated = []
    socket = SocketRouter()

    @socket.route("ASK", dehydrate=lambda socket, data: dehydrated.append(data))
    async def on_ask(socket):
        socket.reply("early")

    async with client_of(socket) as client:
        assert (await client.ask({"type": "ASK", "ref": 1}))["data"] == "early"
        await client.ask({"type": "TIME_SYNC"})
    assert not dehydrated


async def test_nothing_dehydrated_to_nothing_stays_silence():
    socket = SocketRouter()

    @socket.route("ASK", dehydrate=lambda socket, data: data)
    async def on_ask(socket): ...

    async with client_of(socket) as client:
        assert await client.ask({"type": "ASK", "ref": 1}) == {
            "type": "ASK",
            "ref": 1,
            "status": 204,
        }


class Loader:
    def __call__(self, socket, content):
        return ["callable object", content["n"]]


class AsyncLoader:
    async def __call__(self, socket, content):
        return ["async callable object", content["n"]]


def load(kind, socket, content):
    return [kind, content["n"]]


async def aload(kind, socket, content):
    return [kind, content["n"]]


@pytest.mark.parametrize(
    ("kind", "hydrate"),
    [
        ("lambda", lambda socket, content: ["lambda", content["n"]]),
        ("coroutine", lambda socket, content: aload("coroutine", socket, content)),
        ("partial", partial(load, "partial")),
        ("async partial", partial(aload, "async partial")),
        ("callable object", Loader()),
        ("async callable object", AsyncLoader()),
        ("static", staticmethod(partial(load, "static"))),
    ],
)
async def test_a_stage_is_any_callable_of_either_colour(kind, hydrate):
    socket = SocketRouter()

    @socket.route("LOAD", hydrate=hydrate)
    def on_load(socket, content):
        return content

    async with client_of(socket) as client:
        assert (await client.ask({"type": "LOAD", "n": 1}))["data"] == [kind, 1]


async def test_an_awaitable_that_fails_refuses():
    socket = SocketRouter()

    async def refuse(socket):
        raise Http404("No such game.")

    @socket.route("LOAD", hydrate=lambda socket: refuse(socket))
    def on_load(socket): ...

    async with client_of(socket) as client:
        assert (await client.ask({"type": "LOAD"}))["details"] == "No such game."


async def test_a_generator_may_stand_behind_stages():
    socket = SocketRouter()

    @socket.route("COUNT", hydrate=lambda socket, content: range(content["n"]))
    def on_count(socket, numbers):
        yield from numbers

    async with client_of(socket) as client:
        await client.send_json_to({"type": "COUNT", "n": 2, "ref": 1})
        statuses = [(await client.receive_json_from())["status"] for _ in range(3)]
    assert statuses == [206, 206, 200]


# Threads


@pytest.mark.parametrize(
    ("colours", "hops"),
    [
        (["def", "def", "def", "def"], 1),
        (["async def", "async def", "async def", "async def"], 0),
        (["def", "def", "async def", "async def"], 1),
        (["async def", "async def", "def", "def"], 1),
        (["def", "async def", "def", "async def"], 2),
    ],
)
async def test_stages_that_follow_one_another_share_a_thread(colours, hops, monkeypatch):
    submitted, submit = [], Lane.submit
    monkeypatch.setattr(
        Lane, "submit", lambda *args, **kwargs: submitted.append(1) or submit(*args, **kwargs)
    )
    names = ("check_access", "check_data", "hydrate", "function")
    made = {name: Log(colour).make(name) for name, colour in zip(names, colours, strict=True)}
    socket = SocketRouter()
    function = made.pop("function")
    socket.route("PLAY", login_required=True, **made)(function)
    async with client_of(socket, user=Ann()) as client:
        assert (await client.ask({"type": "PLAY", "ref": 1}))["status"] == 204
    assert len(submitted) == hops


async def test_stages_of_one_hop_run_in_one_thread():
    threads = []
    socket = SocketRouter()

    def note(socket):
        threads.append(threading.current_thread())

    socket.route("PLAY", guards=[note, note], hydrate=note, dehydrate=note)(note)
    async with client_of(socket) as client:
        await client.ask({"type": "PLAY", "ref": 1})
    assert len(threads) == 5
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()


def test_a_route_without_stages_keeps_the_plain_call():
    def on_play(socket): ...

    plain, empty = Route.of("PLAY", on_play), Route.of("PLAY", on_play, guards=[], hydrate=None)
    assert plain.call.__code__ is empty.call.__code__
    assert plain.behind(()) is plain


# The handler form


class Game(RoutedSocketHandler):
    routes = (
        ("MOVE", "on_move", {"guards": ["may_play", authenticated], "hydrate": "load"}),
        ("LOOK", "on_look", {"login_required": True, "dehydrate": "tell"}),
    )

    def may_play(self, content):
        return content["n"] > 0

    async def load(self, content):
        return content["n"] * 10

    def on_move(self, loaded):
        return loaded

    async def on_look(self):
        return "board"

    def tell(self, board):
        return [board]


async def test_a_handler_names_methods_as_stages():
    async with client_of(Game, user=Ann()) as client:
        assert (await client.ask({"type": "MOVE", "n": 2}))["data"] == 20
        assert (await client.ask({"type": "MOVE", "n": 0}))["status"] == 403
        assert (await client.ask({"type": "LOOK"}))["data"] == ["board"]


async def test_a_subclass_overrides_a_stage():
    class Louder(Game):
        def tell(self, board):
            return board.upper()

    async with client_of(Louder, user=Ann()) as client:
        assert (await client.ask({"type": "LOOK"}))["data"] == "BOARD"


@pytest.mark.parametrize("option", ["login_required", "timeout", "concurrent"])
def test_only_functions_are_named(option):
    with pytest.raises(DeclarationError, match=f"expected {option}|{option}: expected"):

        class Other(Game):
            routes = (("MOVE", "on_move", {option: "load"}),)


def test_a_stage_that_names_no_method():
    with pytest.raises(DeclarationError, match=r"names the method 'lod', .* did you mean 'load'"):

        class Other(Game):
            routes = (("MOVE", "on_move", {"hydrate": "lod"}),)


# A handler's own guards and permissions


class Room:
    """A router whose client may be shut out, and what it noted."""

    def __init__(self, colour="def", **attributes):
        self.open, self.log = True, []

        def is_open(socket):
            return self.open

        async def ais_open(socket):
            return self.open

        self.socket = socket = SocketRouter(
            guards=[is_open if colour == "def" else ais_open], **attributes
        )
        socket.connect(lambda socket: self.log.append("connect"))
        socket.disconnect(lambda socket: self.log.append("disconnect"))
        socket.route("PLAY")(lambda socket: self.log.append("play"))
        socket.group("room$")(lambda socket: self.log.append("join"))
        socket.default_route(lambda socket: self.log.append("default"))


@COLOURS
@pytest.mark.parametrize("at_handshake", [False, True])
async def test_guards_of_a_handler_refuse_before_its_hooks(colour, at_handshake):
    room = Room(colour, refuse_at_handshake=at_handshake)
    room.open = False
    client = Client(room.socket.Handler.as_asgi(), "/")
    await client.send_input({"type": "websocket.connect"})
    await client.send_json_to({"type": "PLAY"})
    if not at_handshake:
        assert (await client.receive_output())["type"] == "websocket.accept"
    event = await client.receive_output()
    assert (event["type"], event["code"]) == ("websocket.close", 4403)
    await client.disconnect()
    assert room.log == []


@COLOURS
@pytest.mark.parametrize(
    "message",
    [{"type": "PLAY"}, {"type": "OTHER"}, {"type": "JOIN", "group": "room"}],
    ids=lambda message: message["type"],
)
async def test_guards_of_a_handler_stand_before_every_message(colour, message):
    room = Room(colour)
    async with client_of(room.socket) as client:
        assert (await client.ask({**message, "ref": 1}))["status"] == 204
        passed = list(room.log)
        room.open = False
        assert (await client.ask({**message, "ref": 2}))["status"] == 403
        assert room.log == passed
        assert (await client.ask({"type": "HELLO"}))["type"] == "GOT_HELLO"
        room.open = True
        assert (await client.ask({**message, "ref": 3}))["status"] == 204


@COLOURS
@pytest.mark.parametrize(
    "message", [{"type": "KICK_attic"}, {"type": "JOIN", "group": "talk_attic"}], ids=str
)
async def test_guards_of_a_handler_take_their_arguments_from_the_url_and_never_from_a_key(
    colour, message
):
    mine = {"cellar", "attic"}

    def is_mine(socket, room):
        return room in mine

    async def ais_mine(socket, room):
        return room in mine

    socket = SocketRouter(guards=[is_mine if colour == "def" else ais_mine])
    socket.route(re.compile("KICK_(?P<room>.+)"))(lambda socket, room: room)
    socket.group("talk_(?P<room>.+)")(lambda socket, room: room)
    url_route = {"args": (), "kwargs": {"room": "cellar"}}
    async with client_of(socket, url_route=url_route) as client:
        assert (await client.ask({**message, "ref": 1}))["data"] == "attic"
        mine.remove("cellar")
        assert (await client.ask({**message, "ref": 2}))["status"] == 403


async def test_a_guard_that_closes_at_connect_refuses():
    socket = SocketRouter(guards=[lambda socket: socket.close(4003), lambda socket: 1 / 0])
    client = Client(socket.Handler.as_asgi(), "/")
    await client.send_input({"type": "websocket.connect"})
    assert (await client.receive_output())["type"] == "websocket.accept"
    assert await client.next_close() == 4003


async def test_a_handler_names_methods_as_guards():
    class Door(RoutedSocketHandler):
        guards = ("may_enter", Guard(lambda socket: None))
        routes = (("LOOK", "on_look"),)

        def may_enter(self, user):
            return user.is_authenticated

        def on_look(self):
            return "in"

    async with client_of(Door, user=Ann()) as client:
        assert (await client.ask({"type": "LOOK"}))["data"] == "in"


@pytest.mark.parametrize("guard", [lambda socket, obj: True, lambda socket, *, n: True])
def test_a_guard_of_a_handler_cannot_ask_for_content(guard):
    with pytest.raises(DeclarationError, match="asks for the content of messages"):
        _ = SocketRouter(guards=[guard]).Handler


@pytest.mark.parametrize("attribute", ["guards", "permissions"])
@pytest.mark.parametrize("value", [None, 5, [5], "may_play"])
def test_guards_and_permissions_of_a_handler_are_lists(attribute, value):
    with pytest.raises(DeclarationError, match=rf"SocketRouter\.{attribute}: expected a list of"):
        SocketRouter(**{attribute: value})


def test_an_included_router_must_not_lose_its_guards():
    inner, outer = SocketRouter(guards=[authenticated]), SocketRouter()
    with pytest.raises(DeclarationError, match="set it on the including router too"):
        outer.include(inner)


async def test_included_routes_keep_their_stages():
    inner, outer = SocketRouter(), SocketRouter()
    inner.route("PLAY", guards=[authenticated])(lambda socket: "played")
    outer.include(inner, prefix="GAME_")
    async with client_of(outer) as client:
        assert (await client.ask({"type": "GAME_PLAY"}))["status"] == 401
