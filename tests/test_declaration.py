"""What a handler class declares, checked and compiled when the class is made."""

import functools
import re

import pytest
from channels.routing import URLRouter
from django.contrib.auth.models import User
from django.urls import path

from sockets import Route, RoutedSocketHandler, SocketRouter
from sockets.attributes import LIMITS
from sockets.declaration import NEVER_CALLED
from sockets.exceptions import DeclarationError
from sockets.protocols.observable import Observable

from .clients import Client, client_of


def function_for(handler, key):
    """The function that a handler calls for a key; None where there is none."""
    found = handler._declared.routes.find(key)
    return found and found[0].function


def on_chat(socket, content):
    return "chat"


# Routes


async def test_a_handler_declares_its_routes():
    class PokerSocketHandler(RoutedSocketHandler):
        routes = (
            *RoutedSocketHandler.routes,
            ("GET_GAMESTATE", "on_get_gamestate"),
            (re.compile("ACT_(?P<move>.+)"), "on_game_action"),
            ("CHAT", on_chat),
            Route.of(("SAY", "SHOUT"), on_chat, timeout=3),
        )

        def on_get_gamestate(self, content):
            return content["hand"]

        async def on_game_action(self, move, *, chips: int = 0):
            return [move, chips]

    async with client_of(PokerSocketHandler) as client:
        assert (await client.ask({"type": "GET_GAMESTATE", "hand": 1}))["data"] == 1
        assert (await client.ask({"type": "ACT_BET", "chips": 5}))["data"] == ["BET", 5]
        assert (await client.ask({"type": "ACT_BET", "chips": "5"}))["status"] == 400
        for key in ("CHAT", "SAY", "SHOUT"):
            assert (await client.ask({"type": key}))["data"] == "chat"


def test_last_defined_route_wins():
    class Handler(RoutedSocketHandler):
        routes = (
            ("ACT_FOLD", "first"),
            (re.compile("ACT_.+"), "second"),
            ("ACT_CALL", "third"),
        )

        def first(self): ...

        def second(self): ...

        def third(self): ...

    assert function_for(Handler, "ACT_FOLD") is Handler.second
    assert function_for(Handler, "ACT_CALL") is Handler.third
    assert function_for(Handler, "ACT_") is None


def test_a_subclass_overrides_the_method_of_a_route():
    class Base(RoutedSocketHandler):
        routes = (("BET", "on_bet"),)

        def on_bet(self): ...

    class Child(Base):
        def on_bet(self): ...

    assert function_for(Base, "BET") is Base.on_bet
    assert function_for(Child, "BET") is Child.on_bet


def test_a_route_may_name_a_static_method():
    class Handler(RoutedSocketHandler):
        routes = (("BET", "on_bet"),)

        @staticmethod
        def on_bet(socket, content): ...

    assert function_for(Handler, "BET") is Handler.on_bet


def test_a_decorated_method_stays_a_route():
    def logged(function):
        @functools.wraps(function)
        def inner(*args, **kwargs):
            return function(*args, **kwargs)

        return inner

    class Handler(RoutedSocketHandler):
        routes = (("BET", "on_bet"),)

        @logged
        def on_bet(self, content): ...

    assert function_for(Handler, "BET") is Handler.on_bet


def test_a_misspelt_method_name_names_the_nearest():
    message = r"Handler\.routes names the method 'on_bett', .* not exist; did you mean 'on_bet'\?"
    with pytest.raises(DeclarationError, match=message):

        class Handler(RoutedSocketHandler):
            routes = (("BET", "on_bett"),)

            def on_bet(self): ...


def test_a_route_to_what_is_no_method_is_refused():
    with pytest.raises(DeclarationError, match="expected a function or @staticmethod to route to"):

        class Handler(RoutedSocketHandler):
            limit = 5
            routes = (("BET", "limit"),)


@pytest.mark.parametrize("name", ["user", "state", "close", "send_json", "_handle", "_end"])
def test_a_route_to_what_every_handler_has_is_refused(name):
    with pytest.raises(DeclarationError, match=f"'{name}', which is a handler's own attribute"):
        type("Handler", (RoutedSocketHandler,), {"routes": (("BET", name),)})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("protocols", ()),
        ("protocols", "native"),
        ("protocols", ("native",)),
        ("login_required", "no"),
        ("tracked", 1),
        ("groups", "lobby"),
        ("groups", 5),
        ("groups", [1]),
        ("timeout", float("nan")),
        ("timeout", 0),
        ("routes", None),
        ("routes", "on_bet"),
        ("group_rules", None),
        ("group_rules", "room-.+"),
        ("max_groups", 0),
    ],
)
def test_an_attribute_that_cannot_work_is_refused_where_it_is_set(name, value):
    with pytest.raises(DeclarationError, match=f"Handler.{name}: expected"):
        type("Handler", (RoutedSocketHandler,), {name: value})
    if name not in ("routes", "group_rules"):
        with pytest.raises(DeclarationError, match=f"SocketRouter.{name}: expected"):
            SocketRouter(**{name: value})


@pytest.mark.parametrize(
    "entry",
    ["BET", ("BET",), ("BET", "on_bet", 5), ("BET", "on_bet", {}, {}), None, 5, on_chat],
    ids=["string", "one", "no options", "four", "None", "number", "function"],
)
def test_an_entry_that_is_no_route_is_refused(entry):
    message = r"Handler\.routes: expected \(key, method name or function\), the two with "
    with pytest.raises(DeclarationError, match=message):

        class Handler(RoutedSocketHandler):
            routes = (entry,)

            def on_bet(self): ...


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ((5, on_chat), "expected a string or a compiled regex over text as key, got 5"),
        ((re.compile(b"BET"), on_chat), "expected a string or a compiled regex over text as key"),
        ((("BET", "CALL"), on_chat), "expected a string or a compiled regex over text as key"),
        (("BET", None), "expected a function or @staticmethod to route to, got None"),
        (("BET", classmethod(on_chat)), "expected a function or @staticmethod to route to"),
        (("BET", lambda: None), "expected the handler as first parameter"),
        ((re.compile("(?P<user>.+)"), on_chat), "regex group 'user' bears a reserved name"),
    ],
)
def test_a_route_that_cannot_work_is_refused_when_the_class_is_made(entry, message):
    with pytest.raises(DeclarationError, match=message):

        class Handler(RoutedSocketHandler):
            routes = (entry,)


async def test_the_default_route_is_a_method():
    class Handler(RoutedSocketHandler):
        def default_route(self, content):
            return content["type"]

    async with client_of(Handler) as client:
        assert (await client.ask({"type": "CHAT"}))["data"] == "CHAT"


def test_without_a_method_there_is_no_default_route():
    class Handler(RoutedSocketHandler): ...

    assert Handler._declared.routes.default is None


def test_a_subclass_inherits_the_default_route():
    class Base(RoutedSocketHandler):
        def default_route(self, content): ...

    class Child(Base): ...

    assert Child._declared.routes.default.function is Base.default_route


@pytest.mark.parametrize("timeout", ["60", 0, -1, True])
def test_a_bad_timeout_is_refused(timeout):
    with pytest.raises(DeclarationError, match="timeout: expected seconds, more than 0, or None"):
        type("Handler", (RoutedSocketHandler,), {"timeout": timeout})


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("limit", ["64", 0, -1, True, 1.5, None])
def test_a_bad_limit_is_refused(name, limit):
    message = rf"Handler\.{name}: expected a whole number of at least 1, got "
    with pytest.raises(DeclarationError, match=message):
        type("Handler", (RoutedSocketHandler,), {name: limit})
    assert getattr(type("Handler", (RoutedSocketHandler,), {name: 1}), name) == 1


@pytest.mark.parametrize("limit", ["64", 0, -1, True, 1.5])
def test_how_many_messages_wait_is_a_limit_or_left_to_the_protocol(limit):
    message = r"Handler\.max_waiting: expected a whole number of at least 1, or None for what the p"
    with pytest.raises(DeclarationError, match=message):
        type("Handler", (RoutedSocketHandler,), {"max_waiting": limit})
    for fitting in (1, None):
        handler = type("Handler", (RoutedSocketHandler,), {"max_waiting": fitting})
        assert handler.max_waiting is fitting


def test_the_handlers_timeout_is_its_routes():
    class Handler(RoutedSocketHandler):
        timeout = None
        routes = (("BET", on_chat), Route.of(("CHAT",), on_chat, timeout=3))

    assert Handler._declared.routes.find("BET")[0].timeout is None
    assert Handler._declared.routes.find("CHAT")[0].timeout == 3


# Rules for groups


def rule_for(handler, group):
    found = handler._declared.group_rules.find(group)
    return found and found[0].function


def test_a_handler_declares_rules_for_groups():
    class Lobby(RoutedSocketHandler):
        group_rules = (
            ("lobby$", "may_enter"),
            (re.compile(r"room-(?P<id>\d+)$"), "may_enter_room"),
            (r"room-7$", on_chat),
            Route.of((re.compile("seat-.+"), "chair"), on_chat),
        )

        def may_enter(self): ...

        @staticmethod
        async def may_enter_room(socket, id): ...

    assert rule_for(Lobby, "lobby") is Lobby.may_enter
    assert rule_for(Lobby, "room-8") is Lobby.may_enter_room
    assert rule_for(Lobby, "room-7") is on_chat
    assert rule_for(Lobby, "seat-1") is on_chat
    assert rule_for(Lobby, "chair") is on_chat
    assert rule_for(Lobby, "room-x") is None
    assert rule_for(RoutedSocketHandler, "lobby") is None


async def test_a_method_decides_who_may_join():
    class Lobby(RoutedSocketHandler):
        group_rules = (("lobby$", "may_enter"),)
        admits = True

        def may_enter(self, *, name: str):
            return self.admits and {"hello": name}

    class Closed(Lobby):
        admits = False

    frame = {"type": "JOIN", "ref": 1, "group": "lobby", "name": "ann"}
    async with client_of(Lobby) as client:
        assert (await client.ask(frame))["data"] == {"hello": "ann"}
    async with client_of(Closed) as client:
        assert (await client.ask(frame))["status"] == 403


def test_a_subclass_overrides_the_method_of_a_rule_and_adds_to_the_rules():
    class Base(RoutedSocketHandler):
        group_rules = (rule for rule in [("lobby", "may_enter")])

        def may_enter(self): ...

    class Child(Base):
        group_rules = (*Base.group_rules, ("room", "may_enter"))

        def may_enter(self): ...

    assert rule_for(Base, "lobby") is Base.may_enter
    assert rule_for(Child, "lobby") is Child.may_enter
    assert rule_for(Child, "room") is Child.may_enter


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("lobby", r"group_rules: expected \(regex, method name or function\), got 'lobby'"),
        (("lobby",), r"group_rules: expected \(regex, method name or function\)"),
        (None, r"group_rules: expected \(regex, method name or function\), got None"),
        (("lobby(", on_chat), r"expected a regex for the names of groups, got 'lobby\(': missing"),
        ((5, on_chat), "expected a regex for the names of groups, got 5"),
        (("lobby", None), "expected a function or @staticmethod"),
        (("lobby", "may_entr"), r"Lobby\.group_rules names the method 'may_entr', .*'may_enter'\?"),
        (("lobby", "join"), r"Lobby\.group_rules names 'join', which is a handler's own attribute"),
        (("lobby", "parts"), "allows or refuses, so it cannot be a generator"),
        (("(?P<message>.+)", on_chat), "regex group 'message' bears a reserved name"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_when_the_class_is_made(rule, message):
    with pytest.raises(DeclarationError, match=message):

        class Lobby(RoutedSocketHandler):
            group_rules = (rule,)

            def may_enter(self): ...

            def parts(self):
                yield 1


# Hooks


async def test_connect_and_disconnect_are_hooks():
    codes = []

    class Handler(RoutedSocketHandler):
        def connect(self):
            self.send_json({"user": str(self.user)})

        async def disconnect(self, code):
            codes.append(code)

    async with client_of(Handler) as client:
        assert await client.receive_json_from() == {"user": "AnonymousUser"}
        await client.disconnect(1001)
    assert codes == [1001]


async def test_hooks_take_url_arguments():
    class Handler(RoutedSocketHandler):
        async def connect(self, table):
            self.send_json(table)

    client = Client(URLRouter([path("<int:table>/", Handler.as_asgi())]), "/7/")
    assert (await client.connect())[0]
    assert await client.receive_json_from() == 7
    await client.disconnect()


async def test_the_classs_own_hook_comes_before_those_of_its_router():
    class Handler(RoutedSocketHandler):
        def connect(self):
            self.send_json("own")

    socket = SocketRouter(handler=Handler)

    @socket.connect
    def on_open(socket):
        socket.send_json("router")

    async with client_of(socket) as client:
        assert await client.receive_json_from() == "own"
        assert await client.receive_json_from() == "router"


def test_a_handler_without_hooks_has_none():
    class Handler(RoutedSocketHandler): ...

    assert Handler._declared.connect_hooks == []
    assert Handler._declared.disconnect_hooks == []


def test_a_hook_that_cannot_work_is_refused_when_the_class_is_made():
    with pytest.raises(DeclarationError, match="'code' is not known here"):

        class Handler(RoutedSocketHandler):
            def connect(self, code): ...


# What is never called


@pytest.mark.parametrize("name", NEVER_CALLED)
def test_overriding_what_is_never_called_says_what_to_use(name):
    message = rf"Handler\.{name} would never be called; {re.escape(NEVER_CALLED[name])}"
    with pytest.raises(DeclarationError, match=message):
        type("Handler", (RoutedSocketHandler,), {name: lambda self: None})


def test_what_a_mixin_overrides_is_never_called_either():
    class Logged:
        def receive_json(self, content): ...

    with pytest.raises(DeclarationError, match="receive_json would never be called"):

        class Handler(Logged, RoutedSocketHandler): ...


@pytest.mark.parametrize("name", ["_handle", "_close", "_end", "_cancel"])
def test_a_private_name_of_every_handler_is_not_replaced(name):
    with pytest.raises(DeclarationError, match=f"Handler.{name} would replace a handler's own"):
        type("Handler", (RoutedSocketHandler,), {name: lambda self: None})


def test_private_names_of_ones_own_are_free():
    class Base(RoutedSocketHandler):
        def _deal(self): ...

    class Child(Base):
        def _deal(self): ...

    assert Child._deal is not Base._deal


# Events of the channel layer


class Layered(RoutedSocketHandler):
    limit = 5

    def chat_message(self, event):
        return event["text"]


def test_an_event_leads_to_the_method_of_its_name():
    route = Layered._declared.event_route({"type": "chat.message"})
    assert route.function is Layered.chat_message
    assert route.timeout == RoutedSocketHandler.timeout
    assert Layered._declared.event_route({"type": "chat_message"}) is route


@pytest.mark.parametrize(
    "event",
    [
        {"type": "unknown"},
        {"type": "close"},
        {"type": "send.json"},
        {"type": "__init__"},
        {"type": "_end"},
        {"type": "default.route"},
        {"text": "no type"},
        {"type": "limit"},
    ],
    ids=str,
)
def test_an_event_reaches_only_methods_of_the_handlers_own_classes(event):
    assert Layered._declared.event_route(event) is None


def test_groups_imply_the_channel_layer():
    class Plain(RoutedSocketHandler): ...

    class Using(RoutedSocketHandler):
        uses_channel_layer = True

    class Grouped(RoutedSocketHandler):
        groups = ("lobby",)

    declared = [handler._declared for handler in (Plain, Using, Grouped)]
    assert [each.uses_layer for each in declared] == [False, True, True]
    assert [each.groups for each in declared] == [(), (), ("lobby",)]


# Built-in routes


async def test_hello_tells_who_one_is():
    class Handler(RoutedSocketHandler): ...

    async with client_of(Handler, "/tables/", user=User(pk=7)) as client:
        hello = await client.ask({"type": "HELLO"})
    assert float(hello.pop("TIMESTAMP")) > 1_700_000_000_000
    assert hello == {"type": "GOT_HELLO", "user_id": 7, "path": "/tables/"}


async def test_hello_of_nobody_and_time_sync():
    class Handler(RoutedSocketHandler): ...

    async with client_of(Handler) as client:
        assert (await client.ask({"type": "HELLO"}))["user_id"] is None
        time = await client.ask({"type": "TIME_SYNC"})
    assert time.keys() == {"type", "TIMESTAMP"}
    assert float(time["TIMESTAMP"]) > 1_700_000_000_000


async def test_a_ping_of_the_client_and_the_cancelling_of_nothing_get_no_answer():
    class Handler(RoutedSocketHandler):
        routes = (("BET", on_chat),)

    async with client_of(Handler) as client:
        await client.send_json_to({"type": "PING"})
        await client.send_json_to({"type": "CANCEL", "ref": "unknown"})
        assert (await client.ask({"type": "BET"}))["data"] == "chat"


@pytest.mark.parametrize("key", ["HELLO", "TIME_SYNC", "PING", "CANCEL"])
def test_a_route_of_ones_own_replaces_a_built_in(key):
    handler = type("Handler", (RoutedSocketHandler,), {"routes": ((key, on_chat),)})
    assert function_for(handler, key) is on_chat


def test_routes_from_a_generator_are_there_for_subclasses_too():
    class Base(RoutedSocketHandler):
        routes = ((key, on_chat) for key in ("BET", "CHAT"))

    class Child(Base):
        routes = (*Base.routes, ("SAY", on_chat))

    assert all(Child._declared.routes.find(key) for key in ("BET", "CHAT", "SAY"))


def test_a_handshake_without_hooks_and_layer_waits_for_nothing_that_takes_long():
    class Plain(RoutedSocketHandler):
        pass

    class Hooked(RoutedSocketHandler):
        def connect(self):
            pass

    class Layered(RoutedSocketHandler):
        uses_channel_layer = True

    opens = [handler._declared.opens_at_once for handler in (Plain, Hooked, Layered)]
    assert opens == [True, False, False]


def test_rules_for_groups_need_clients_that_can_join():
    with pytest.raises(DeclarationError, match=r"Silent\.group_rules: expected a protocol whose"):

        class Silent(RoutedSocketHandler):
            protocols = (Observable(),)
            group_rules = ((r"room-\d+$", lambda socket: None),)
