"""How the arguments of a user's function are filled, by name, and how it is called."""

import functools
import re
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace

import msgspec
import pytest
from channels.routing import URLRouter
from django.urls import path
from django.views import View

from sockets import SocketRouter
from sockets.arguments import DISCONNECT_WORDS, HOOK_WORDS, ROUTE_WORDS, bind
from sockets.exceptions import DeclarationError, InvalidContent
from sockets.messages import Message

from .clients import client_of


class Bet(msgspec.Struct):
    amount: int


def a_socket(**url_arguments):
    """What a handler has that arguments are read from."""
    return SimpleNamespace(
        user="ada",
        session={"theme": "dark"},
        scope={"type": "websocket"},
        state=SimpleNamespace(seat=3),
        headers={"Host": "testserver"},
        kwargs=url_arguments,
        path="/tables/",
    )


async def routed(function, content=None, *, groups=None, ref=None, headers=None, **url_arguments):
    """What a route's function returns for a message."""
    call = bind(function, ROUTE_WORDS, frozenset(groups or ()))
    message = Message("BET", content, ref, headers, groups)
    return await call(a_socket(**url_arguments), message)


async def hooked(function, event, words=HOOK_WORDS, **url_arguments):
    """What a hook returns for an event."""
    return await bind(function, words)(a_socket(**url_arguments), event)


# Through a connection


async def test_arguments_are_filled_by_name():
    class Table(View):
        socket = SocketRouter()

        @socket.connect
        def on_open(socket, number, headers):
            socket.send_json({"table": number, "host": headers["Host"]})

        @socket.route(re.compile("ACT_(?P<move>.+)"))
        async def on_act(handler, move, number, content, ref, *, chips: int = 0):
            return [move, number, content["type"], ref, chips]

    table = URLRouter([path("tables/<int:number>/", Table.socket.Handler.as_asgi())])
    mounted = SimpleNamespace(as_asgi=lambda: table)
    async with client_of(mounted, "/tables/7/", headers=[(b"host", b"testserver")]) as client:
        assert await client.receive_json_from() == {"table": 7, "host": "testserver"}
        reply = await client.ask({"type": "ACT_BET", "ref": 1, "chips": 5})
        assert reply["data"] == ["BET", 7, "ACT_BET", 1, 5]


async def test_a_field_of_a_wrong_type_is_the_clients_error():
    socket = SocketRouter()

    @socket.route
    def on_move(socket, *, x: int):
        return x

    async with client_of(socket) as client:
        assert (await client.ask({"type": "MOVE", "x": 3}))["data"] == 3
        error = await client.ask({"type": "MOVE", "x": "3"})
        assert (error["status"], error["errors"][0]["field"]) == (400, "x")


# Reserved words


async def test_reserved_words_of_routes():
    def on_bet(table, content, payload, message, ref, user, session, scope, state, headers):
        return content, payload, message.key, ref, user, session, scope, state.seat, headers

    assert await routed(on_bet, {"chips": 5}, ref=9) == (
        {"chips": 5},
        {"chips": 5},
        "BET",
        9,
        "ada",
        {"theme": "dark"},
        {"type": "websocket"},
        3,
        {"Host": "testserver"},
    )


async def test_headers_are_the_messages_where_the_protocol_has_them():
    def on_bet(socket, headers):
        return headers

    assert await routed(on_bet, headers={"token": "x"}) == {"token": "x"}
    assert await routed(on_bet, headers={}) == {}


async def test_reserved_words_of_hooks():
    def on_open(socket, message, user, session, scope, state, headers):
        return message["type"], user, session, scope, state.seat, headers

    expected = (
        "ada",
        {"theme": "dark"},
        {"type": "websocket"},
        3,
        {"Host": "testserver"},
    )
    event = {"type": "websocket.connect"}
    assert await hooked(on_open, event) == ("websocket.connect", *expected)


async def test_disconnect_hooks_have_the_code():
    def on_close(socket, code, message):
        return code, message["type"]

    event = {"type": "websocket.disconnect", "code": 1001}
    assert await hooked(on_close, event, DISCONNECT_WORDS) == (1001, "websocket.disconnect")


async def test_the_first_parameter_is_the_handler_whatever_its_name():
    def on_bet(content):
        return content.user

    assert await routed(on_bet, {"chips": 5}) == "ada"


# A name of one's own


async def test_the_first_parameter_after_the_handler_may_have_a_name_of_its_own():
    def on_bet(socket, bet, user):
        return bet, user

    assert await routed(on_bet, {"chips": 5}) == ({"chips": 5}, "ada")


async def test_a_url_argument_comes_before_the_content():
    def on_bet(socket, table):
        return table

    assert await routed(on_bet, {"chips": 5}, table=7) == 7


async def test_a_name_of_its_own_with_a_default_gets_the_content_too():
    def on_bet(socket, bet=None):
        return bet

    assert await routed(on_bet, {"chips": 5}) == {"chips": 5}


async def test_the_code_of_disconnect_hooks_is_an_ordinary_name_in_routes():
    def on_bet(socket, content, code):
        return code

    assert await routed(on_bet, {}, code="x7") == "x7"


# Regex groups and URL arguments


async def test_groups_and_url_arguments_are_filled_by_name():
    def on_bet(socket, content, table, move):
        return content, table, move

    arguments = await routed(on_bet, "text", groups={"move": "RAISE"}, table=7)
    assert arguments == ("text", 7, "RAISE")


async def test_a_group_comes_before_a_url_argument():
    def on_bet(socket, table):
        return table

    assert await routed(on_bet, groups={"table": "group"}, table="url") == "group"


async def test_a_group_that_took_no_part_is_the_default_or_none():
    def on_bet(socket, content, move, chips=5):
        return move, chips

    assert await routed(on_bet, groups={"move": None, "chips": None}) == (None, 5)
    assert await routed(on_bet, groups={"move": "", "chips": ""}) == ("", "")


@pytest.mark.parametrize(("key", "chips"), [("FOLD", None), ("CHECK", None), ("BET_5", "5")])
async def test_a_group_of_another_key_is_the_default_or_none(key, chips):
    socket = SocketRouter()

    @socket.route("FOLD", re.compile("CHECK"), re.compile("BET_(?P<chips>.+)"))
    def on_act(socket, chips):
        return {"chips": chips}

    async with client_of(socket) as client:
        assert (await client.ask({"type": key}))["data"] == {"chips": chips}


async def test_a_url_argument_with_a_default_is_optional():
    def on_bet(socket, content, table=1):
        return table

    assert await routed(on_bet) == 1
    assert await routed(on_bet, table=7) == 7


async def test_the_clients_text_fills_no_url_argument():
    def on_bet(socket, content, table=1):
        return table

    assert await routed(on_bet, {"table": 9}) == 1


async def test_hooks_have_url_arguments():
    def on_open(socket, table, seat=None):
        return table, seat

    assert await hooked(on_open, {}, table=7) == (7, None)


async def test_a_missing_url_argument_names_path_and_function():
    def on_bet(socket, content, table): ...

    message = r"on_bet: expected a URL argument 'table', but the path '/tables/' has "
    with pytest.raises(DeclarationError, match=message + "none; add it to the path"):
        await routed(on_bet)
    with pytest.raises(DeclarationError, match=message + "room, seat; add it"):
        await routed(on_bet, room=1, seat=2)


# Fields


async def test_keyword_only_parameters_are_fields_of_the_message():
    def on_move(socket, content, *, x: int, y: int = 0, name="nobody"):
        return len(content), x, y, name

    assert await routed(on_move, {"x": 3}) == (1, 3, 0, "nobody")
    assert await routed(on_move, {"x": 3, "y": 4, "name": [1]}) == (3, 3, 4, [1])


async def test_fields_are_checked():
    def on_move(socket, *, x: int, y: int): ...

    with pytest.raises(InvalidContent, match="not valid: y, x") as caught:
        await routed(on_move, {"x": "3"})
    assert caught.value.errors == [
        {"field": "y", "text": "This field is required."},
        {"field": "x", "text": "Expected `int`, got `str`"},
    ]


async def test_fields_become_what_they_are_annotated_with():
    async def on_bet(socket, *, bet: Bet):
        return bet

    assert await routed(on_bet, {"bet": {"amount": 5}}) == Bet(5)


async def test_generators_have_fields_too():
    def on_count(socket, *, to: int):
        yield from range(to)

    assert list(await routed(on_count, {"to": 3})) == [0, 1, 2]


async def test_the_default_route_has_fields_too():
    socket = SocketRouter()

    @socket.default_route
    def on_anything(socket, *, type: str):
        return type

    async with client_of(socket) as client:
        assert (await client.ask({"type": "CHAT"}))["data"] == "CHAT"


@pytest.mark.parametrize("name", ["user", "content", "ref", "session"])
def test_a_field_with_a_reserved_name_is_refused(name):
    namespace = {}
    exec(f"def on_bet(socket, *, {name}): ...", namespace)
    with pytest.raises(DeclarationError, match=f"field '{name}' after \\* bears a reserved name"):
        bind(namespace["on_bet"], ROUTE_WORDS)


def test_a_field_with_the_name_of_a_group_is_refused():
    def on_bet(socket, *, move): ...

    with pytest.raises(DeclarationError, match=r"'move' after .* bears the name of a regex group"):
        bind(on_bet, ROUTE_WORDS, frozenset({"move"}))


def test_a_hook_has_no_fields():
    def on_open(socket, *, seat: int): ...

    with pytest.raises(DeclarationError, match=r"on_open: a hook has no message.* found seat"):
        bind(on_open, HOOK_WORDS)


# String annotations


async def test_annotations_may_be_strings():
    def on_bet(socket, *, bet: "Bet", note: "str | None" = None):
        return bet, note

    assert await routed(on_bet, {"bet": {"amount": 5}, "note": "x"}) == (Bet(5), "x")
    with pytest.raises(InvalidContent):
        await routed(on_bet, {"bet": {"amount": "5"}})


def with_string_annotation(socket, content, *, x: "int", limit=0):
    return x + limit


class Mover:
    def __call__(self, socket, *, x: "int"):
        return x

    def move(self, socket, *, x: "int"):
        return x


@functools.wraps(with_string_annotation)
def wrapped(*args, **kwargs):
    return with_string_annotation(*args, **kwargs)


@pytest.mark.parametrize(
    "function",
    [functools.partial(with_string_annotation, limit=0), Mover(), Mover().move, wrapped],
    ids=["partial", "callable object", "bound method", "wrapped"],
)
async def test_string_annotations_of_whatever_may_be_called(function):
    assert await routed(function, {"x": 3}) == 3
    with pytest.raises(InvalidContent):
        await routed(function, {"x": "3"})


def test_an_unknown_annotation_of_a_field_is_refused():
    def on_bet(socket, *, bet: "Unknown"): ...  # noqa: F821

    message = "on_bet: annotation 'Unknown' is not known .*; define it above, at module level"
    with pytest.raises(DeclarationError, match=message):
        bind(on_bet, ROUTE_WORDS)


def test_a_local_class_in_a_string_annotation_is_refused():
    class Raise(msgspec.Struct):
        amount: int

    def on_bet(socket, *, bet: "Raise"): ...

    with pytest.raises(DeclarationError, match="annotation 'Raise' is not known"):
        bind(on_bet, ROUTE_WORDS)


async def test_binding_looks_at_no_annotation_before_the_star():
    def on_bet(socket: "Unknown", content: "AlsoUnknown"):  # noqa: F821
        return content

    assert await routed(on_bet, "text") == "text"


def test_an_annotation_that_cannot_be_checked_is_refused():
    def on_bet(socket, *, table: View): ...

    with pytest.raises(DeclarationError, match="on_bet: expected 'table' to be annotated"):
        bind(on_bet, ROUTE_WORDS)


# Forms of parameters


async def test_positional_only_parameters_are_filled_by_name_as_well():
    def on_bet(socket, content, user, /, ref):
        return content, user, ref

    assert await routed(on_bet, "text", ref=1) == ("text", "ada", 1)


async def test_star_parameters_get_nothing():
    def on_bet(socket, content, *args, **kwargs):
        return content, args, kwargs

    assert await routed(on_bet, "text") == ("text", (), {})


@pytest.mark.parametrize("words", [ROUTE_WORDS, HOOK_WORDS])
async def test_nothing_but_the_handler_is_needed(words):
    def on_bet(socket):
        return socket.user

    assert await bind(on_bet, words)(a_socket(), None) == "ada"


@pytest.mark.parametrize("source", ["def f(): ...", "def f(*, x): ...", "def f(**kwargs): ..."])
def test_a_function_without_the_handler_is_refused(source):
    namespace = {"__name__": "rooms"}
    exec(source, namespace)
    with pytest.raises(DeclarationError, match=r"rooms\.f: expected the handler .*`def f\(socket"):
        bind(namespace["f"], ROUTE_WORDS)


def test_a_decorated_function_without_wraps_is_refused():
    def logged(function):
        def inner(*args, **kwargs):
            return function(*args, **kwargs)

        return inner

    @logged
    def on_bet(socket, content): ...

    with pytest.raises(DeclarationError, match=r"got \(\*args, \*\*kwargs\).* use functools.wraps"):
        bind(on_bet, ROUTE_WORDS)


async def test_a_decorated_function_with_wraps_is_filled_like_the_inner_one():
    def doubled(function):
        @functools.wraps(function)
        def inner(*args, **kwargs):
            return 2 * function(*args, **kwargs)

        return inner

    @doubled
    def on_bet(socket, content, *, x: int):
        return content["y"] + x

    assert await routed(on_bet, {"x": 1, "y": 2}) == 6


@pytest.mark.parametrize("words", [HOOK_WORDS, DISCONNECT_WORDS])
@pytest.mark.parametrize("name", ["content", "payload", "ref"])
def test_hooks_have_no_words_of_messages(words, name):
    namespace = {}
    exec(f"def on_open(socket, {name}): ...", namespace)
    with pytest.raises(DeclarationError, match=f"'{name}' is not known here; choose from "):
        bind(namespace["on_open"], words)


def test_connect_hooks_have_no_code():
    def on_open(socket, code): ...

    with pytest.raises(DeclarationError, match="'code' is not known here; choose from headers"):
        bind(on_open, HOOK_WORDS)


async def test_a_word_from_elsewhere_with_a_default_is_the_default():
    def on_open(socket, content=None, code=0):
        return content, code

    assert await hooked(on_open, {}) == (None, 0)


@pytest.mark.parametrize("name", ["content", "user", "ref", "headers"])
def test_a_group_with_a_reserved_name_is_refused(name):
    def on_bet(socket): ...

    message = f"on_bet: the regex group '{name}' bears a reserved name"
    with pytest.raises(DeclarationError, match=message):
        bind(on_bet, ROUTE_WORDS, frozenset({name}))


# What may be called


async def test_def_runs_on_a_thread_and_async_def_on_the_loop():
    def on_bet(socket):
        return threading.get_ident()

    async def aon_bet(socket):
        return threading.get_ident()

    assert await routed(on_bet) != threading.get_ident()
    assert await routed(aon_bet) == threading.get_ident()


async def test_an_awaitable_that_a_def_returns_is_awaited():
    async def later():
        return "later"

    def on_bet(socket):
        return later()

    assert await routed(on_bet) == "later"
    assert await routed(lambda socket: later()) == "later"


class Caller:
    def __call__(self, socket, content):
        return "called", content


class AsyncCaller:
    async def __call__(self, socket, content):
        return "awaited", content


def limited(socket, content, limit):
    return limit, content


async def alimited(socket, content, limit):
    return limit, content


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (Caller(), "called"),
        (AsyncCaller(), "awaited"),
        (Caller().__call__, "called"),
        (AsyncCaller().__call__, "awaited"),
        (functools.partial(limited, limit=5), 5),
        (functools.partial(alimited, limit=5), 5),
        (functools.partial(Caller()), "called"),
    ],
)
async def test_whatever_may_be_called_is_a_function(function, expected):
    result = await bind(function, ROUTE_WORDS)(a_socket(limit=5), Message("BET", "text"))
    assert result == (expected, "text")


async def test_the_client_sets_nothing_that_a_partial_has_set():
    partial = functools.partial(limited, limit=5)

    @functools.wraps(partial)
    def wrapped_partial(*args, **kwargs):
        return partial(*args, **kwargs)

    for function in (partial, functools.partial(partial), wrapped_partial):
        assert await routed(function, {"limit": 1000}) == (5, {"limit": 1000})


async def test_generators_are_made_and_not_run():
    def count(socket, content):
        yield content

    async def acount(socket, content):
        yield content

    assert list(await routed(count, "text")) == ["text"]
    stream = await routed(acount, "text")
    assert isinstance(stream, AsyncIterator)
    assert [part async for part in stream] == ["text"]


class Counter:
    def __call__(self, socket):
        yield 1


class AsyncCounter:
    async def __call__(self, socket):
        yield 1


def count(socket):
    yield 1


async def acount(socket):
    yield 1


@pytest.mark.parametrize(
    "function", [count, acount, functools.partial(count), Counter(), AsyncCounter()]
)
def test_a_hook_is_no_generator(function):
    with pytest.raises(DeclarationError, match="a hook answers nobody"):
        bind(function, HOOK_WORDS)
