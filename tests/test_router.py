"""Declaring a view's socket routes with decorators."""

import functools
import re

import pytest
from django.views import View

from sockets import RoutedSocketHandler, SocketRouter
from sockets.exceptions import DeclarationError
from sockets.multiplexing import STREAM_END
from sockets.protocols.dcrf import DCRF
from sockets.protocols.native import Native

from .clients import client_of


def on_bet(socket):
    return "bet"


def on_chat(socket):
    return "chat"


def function_for(router, key):
    """The function that a router's Handler calls for a key; None where there is none."""
    found = router.Handler._declared.routes.find(key)
    return found and found[0].function


def hook_names(hooks):
    return [hook.__name__ for hook in hooks]


# Registering


@pytest.mark.parametrize(
    "decorator",
    [
        lambda socket: socket.route,
        lambda socket: socket.route(),
        lambda socket: socket.route("BET"),
        lambda socket: socket.route("BET", "RAISE", re.compile("R.+"), timeout=5),
        lambda socket: socket.connect,
        lambda socket: socket.disconnect,
        lambda socket: socket.default_route,
        lambda socket: socket.group("room-.+"),
        lambda socket: socket.group(re.compile("room-.+")),
    ],
)
def test_decorators_return_what_they_were_given(decorator):
    assert decorator(SocketRouter())(on_bet) is on_bet
    static = staticmethod(on_bet)
    assert decorator(SocketRouter())(static) is static


async def test_a_view_declares_its_socket():
    class Page(View):
        socket = SocketRouter()

        @socket.connect
        def on_open(socket):
            socket.send_json({"connected": True})

        @socket.route("BET")
        def on_bet(socket, content):
            socket.send_json({"type": "TAKEN", "n": content["n"]})

        @socket.route(re.compile(r"GAME_ACTION_(?P<move>.+)"))
        async def on_game_action(socket, content, move):
            await socket.send_json({"move": move})

        @socket.default_route
        def default_route(socket, content=None):
            socket.send_json({"unknown": content["type"]})

    async with client_of(Page.socket) as client:
        assert await client.receive_json_from() == {"connected": True}
        assert await client.ask({"type": "BET", "n": 5}) == {"type": "TAKEN", "n": 5}
        assert await client.ask({"type": "GAME_ACTION_FOLD"}) == {"move": "FOLD"}
        assert await client.ask({"type": "CHAT"}) == {"unknown": "CHAT"}


async def test_static_methods_are_routes_hooks_and_the_default_route():
    class Page(View):
        socket = SocketRouter()

        @socket.connect
        @staticmethod
        def on_open(socket):
            socket.state.opened = True

        @socket.route
        @staticmethod
        def on_bet(socket):
            return socket.state.opened

        @socket.default_route
        @staticmethod
        def on_anything(socket, content):
            return content["type"]

    async with client_of(Page.socket) as client:
        reply = await client.ask({"type": "BET", "ref": 1})
        assert reply == {"type": "BET", "ref": 1, "status": 200, "data": True}
        reply = await client.ask({"type": "CHAT", "ref": 2})
        assert reply["data"] == "CHAT"


def test_a_registered_function_stays_an_ordinary_function():
    class Page(View):
        socket = SocketRouter()

        @socket.route
        @staticmethod
        def on_bet(socket):
            return "bet"

    assert Page.on_bet(None) == "bet"


def test_disconnect_hooks_are_the_handlers():
    socket = SocketRouter()
    socket.disconnect(on_bet)
    assert socket.Handler.disconnect_hooks == (on_bet,)
    assert len(socket.Handler._declared.disconnect_hooks) == 1


def test_hooks_run_in_the_order_of_their_declaration():
    socket = SocketRouter()

    @socket.connect
    def first(socket): ...

    @socket.connect
    async def second(socket): ...

    assert hook_names(socket.Handler.connect_hooks) == ["first", "second"]


def test_a_class_method_is_refused():
    socket = SocketRouter()
    with pytest.raises(DeclarationError, match="expected a function or @staticmethod"):

        @socket.route
        @classmethod
        def on_bet(cls): ...


def test_a_hook_with_fields_is_refused():
    socket = SocketRouter()
    with pytest.raises(DeclarationError, match="a hook has no message, so no fields; found table"):

        @socket.connect
        def on_open(socket, *, table: int): ...


def test_two_default_routes_are_refused():
    socket = SocketRouter()
    socket.default_route(on_bet)
    with pytest.raises(DeclarationError, match=r"default route is .*on_bet already"):
        socket.default_route(on_chat)


def test_a_misspelt_decorator_names_the_nearest():
    with pytest.raises(AttributeError, match=r"no attribute 'conect'; did you mean 'connect'\?"):

        class Page(View):
            socket = SocketRouter()

            @socket.conect
            def on_open(socket): ...


def test_private_names_are_no_attributes():
    assert not hasattr(SocketRouter(), "_unknown")


# Keys and order


@pytest.mark.parametrize("decorate", [lambda socket: socket.route, lambda socket: socket.route()])
def test_without_a_key_the_name_of_the_function_is_it(decorate):
    socket = SocketRouter()

    @decorate(socket)
    def on_say_hello(socket): ...

    @decorate(socket)
    def shout(socket): ...

    assert function_for(socket, "SAY_HELLO") is on_say_hello
    assert function_for(socket, "SHOUT") is shout
    assert function_for(socket, "on_say_hello") is None


def test_without_a_key_options_may_be_given():
    socket = SocketRouter()

    @socket.route(timeout=3, concurrent=True)
    def on_work(socket): ...

    (route,) = socket.Handler.routes
    assert (route.keys, route.timeout, route.concurrent) == (("WORK",), 3, True)


def test_without_a_key_the_name_follows_the_protocols_rule():
    class Camel(Native):
        def key(self, name):
            return name.title().replace("_", "")

    socket = SocketRouter(protocols=(Camel(),))

    @socket.route
    def say_hello(socket): ...

    assert function_for(socket, "SayHello") is say_hello


def test_without_a_key_a_partial_has_the_name_of_its_function():
    def on_bet(socket, content, limit):
        return limit

    socket = SocketRouter()
    limited = functools.partial(on_bet, limit=5)
    assert socket.route(limited) is limited
    assert function_for(socket, "BET") is limited


def test_a_route_may_have_several_keys():
    socket = SocketRouter()
    socket.route("BET", re.compile("ECHO_.+"), "RAISE")(on_bet)
    for key in ("BET", "RAISE", "ECHO_1"):
        assert function_for(socket, key) is on_bet
    assert function_for(socket, "ECHO_") is None


async def test_last_defined_route_wins():
    class Page(View):
        socket = SocketRouter()

        @socket.route("ACT_FOLD")
        def first(socket):
            return "string before the regex"

        @socket.route(re.compile("ACT_.+"))
        def second(socket):
            return "regex"

        @socket.route("ACT_CALL")
        def third(socket):
            return "string after the regex"

        @socket.route(re.compile("ACT_R"))
        def fourth(socket):
            return "regex after the regex"

        @socket.route("ACT_CHECK")
        def fifth(socket):
            return "earlier string"

        @socket.route("ACT_CHECK")
        def sixth(socket):
            return "later string"

    winners = {
        "ACT_FOLD": "regex",
        "ACT_CALL": "string after the regex",
        "ACT_RAISE": "regex after the regex",
        "ACT_CHECK": "later string",
        "ACT_X": "regex",
    }
    async with client_of(Page.socket) as client:
        for key, winner in winners.items():
            assert (await client.ask({"type": key}))["data"] == winner


async def test_a_route_of_ones_own_replaces_a_built_in():
    socket = SocketRouter()

    @socket.route
    def on_hello(socket):
        return "mine"

    async with client_of(socket) as client:
        assert (await client.ask({"type": "HELLO"}))["data"] == "mine"


def test_options_belong_to_the_route():
    socket = SocketRouter()
    socket.route("BET", concurrent=True, timeout=None)(on_bet)
    (route,) = socket.Handler.routes
    assert route.concurrent
    assert route.timeout is None


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(DeclarationError, match=r"on_bet: no option 'timout'; .*'timeout'\?"):
        SocketRouter().route("BET", timout=5)(on_bet)


@pytest.mark.parametrize("key", [5, None, b"BET", re.compile(b"BET"), ["BET", "RAISE"]])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(DeclarationError, match="expected a string or a compiled regex"):
        SocketRouter().route(key)(on_bet)


def test_a_regex_group_with_a_reserved_name_is_refused():
    with pytest.raises(DeclarationError, match="regex group 'user' bears a reserved name"):

        @SocketRouter().route(re.compile("BAN_(?P<user>.+)"))
        def on_ban(socket, user): ...


# Attributes


def test_attributes_are_the_handlers():
    socket = SocketRouter(max_waiting=3)
    socket.login_required = True
    assert (socket.max_waiting, socket.login_required) == (3, True)
    assert (socket.Handler.max_waiting, socket.Handler.login_required) == (3, True)
    assert RoutedSocketHandler.max_waiting != 3


@pytest.mark.parametrize("number", [8, 64, 1000])
def test_how_many_messages_may_wait_is_the_routers_to_say(number):
    socket = SocketRouter(protocols=(DCRF(),), max_waiting=number)
    assert (socket.max_waiting, socket.Handler.max_waiting) == (number, number)


def test_how_many_messages_may_wait_is_a_base_classs_to_say():
    class Base(RoutedSocketHandler):
        max_waiting = 8

    assert SocketRouter(Base, protocols=(DCRF(),)).Handler.max_waiting == 8


def test_attributes_left_alone_are_the_base_classs():
    assert SocketRouter().timeout == RoutedSocketHandler.timeout


def test_an_unknown_attribute_names_the_nearest():
    message = r"RoutedSocketHandler has no attribute 'login_requierd'; .*'login_required'\?"
    with pytest.raises(DeclarationError, match=message):
        SocketRouter(login_requierd=True)
    socket = SocketRouter()
    with pytest.raises(DeclarationError, match=message):
        socket.login_requierd = True


@pytest.mark.parametrize("name", ["connect", "send_json", "user", "as_asgi"])
def test_what_is_no_option_cannot_be_set(name):
    with pytest.raises(DeclarationError, match=f"has no attribute '{name}'"):
        setattr(SocketRouter(), name, None)


@pytest.mark.parametrize("name", ["routes", "connect_hooks", "default_route"])
def test_what_decorators_declare_cannot_be_set(name):
    with pytest.raises(DeclarationError, match=f"'{name}' is .* declared by its decorators"):
        SocketRouter(**{name: ()})


def test_an_included_router_takes_no_more_routes():
    other = SocketRouter()
    SocketRouter().include(other)
    with pytest.raises(DeclarationError, match="was included in another"):
        other.route("LATE")(on_chat)


def test_a_subclass_may_replace_the_inherited_default_route_once():
    class Base(View):
        socket = SocketRouter()
        socket.default_route(on_chat)

    class Child(Base):
        pass

    Child.socket.default_route(on_bet)
    assert Child.socket.Handler._declared.default is on_bet
    assert Base.socket.Handler._declared.default is on_chat


def test_a_base_class_brings_attributes_of_its_own():
    class Form: ...

    class PokerSocketHandler(RoutedSocketHandler):
        stakes = 1
        form_class = Form

    class OtherForm(Form): ...

    socket = SocketRouter(handler=PokerSocketHandler, stakes=5, form_class=OtherForm)
    assert issubclass(socket.Handler, PokerSocketHandler)
    assert socket.Handler.stakes == 5
    assert socket.Handler.form_class is OtherForm


@pytest.mark.parametrize("handler", [View, RoutedSocketHandler(), "Handler", None])
def test_what_is_no_handler_class_is_refused(handler):
    with pytest.raises(DeclarationError, match="expected a subclass of RoutedSocketHandler"):
        SocketRouter(handler=handler)


def test_the_routes_of_the_base_class_come_first():
    class Base(RoutedSocketHandler):
        routes = (("BET", "on_bet"), ("CHAT", "on_chat"))

        def on_bet(self): ...

        def on_chat(self): ...

    socket = SocketRouter(handler=Base)
    socket.route("BET")(on_bet)
    assert function_for(socket, "BET") is on_bet
    assert function_for(socket, "CHAT") is Base.on_chat


# Views and subclasses


def test_the_handler_is_made_once_and_named_after_the_view():
    class Page(View):
        live = SocketRouter()

    handler = Page.live.Handler
    assert handler is Page.live.Handler
    assert handler is Page().live.Handler
    assert handler.__name__ == "PageHandler"
    assert handler.__qualname__ == f"{Page.__qualname__}.live.Handler"
    assert handler.__module__ == __name__
    assert handler.__doc__ == f"The sockets of {Page.__qualname__}."
    assert handler.view_class is Page


def test_a_router_works_without_a_view():
    socket = SocketRouter()
    assert socket.route("BET")(on_bet) is on_bet
    assert function_for(socket, "BET") is on_bet
    assert socket.Handler.view_class is None


def test_each_view_has_a_router_of_its_own():
    shared = SocketRouter()

    class First(View):
        socket = shared

    class Second(View):
        socket = shared

    First.socket.route("BET")(on_bet)
    assert First.socket is not Second.socket
    assert First.socket.Handler.view_class is First
    assert Second.socket.Handler.view_class is Second
    assert function_for(Second.socket, "BET") is None


def test_a_subclass_has_a_copy_with_a_handler_named_after_it():
    class Base(View):
        socket = SocketRouter(login_required=True)
        socket.route("BET")(on_bet)
        socket.connect(on_bet)
        socket.disconnect(on_chat)
        socket.default_route(on_chat)

    class Child(Base): ...

    assert Child.socket is Child().socket
    assert Child.socket is not Base.socket
    handler = Child.socket.Handler
    assert handler.__qualname__ == f"{Child.__qualname__}.socket.Handler"
    assert handler.view_class is Child
    assert handler.login_required
    assert handler.connect_hooks == (on_bet,)
    assert handler.disconnect_hooks == (on_chat,)
    assert handler.default_route is on_chat
    assert function_for(Child.socket, "BET") is on_bet


def test_registering_on_a_subclass_leaves_the_parent_alone():
    class Base(View):
        socket = SocketRouter()
        socket.route("BET")(on_bet)

    class Child(Base): ...

    class Sister(Base): ...

    Child.socket.route("BET", "CHAT")(on_chat)
    Child.socket.connect(on_bet)
    Child.socket.disconnect(on_bet)
    Child.socket.default_route(on_chat)
    Child.socket.login_required = True
    assert function_for(Child.socket, "BET") is on_chat
    for view in (Base, Sister):
        assert function_for(view.socket, "BET") is on_bet
        assert function_for(view.socket, "CHAT") is None
        assert view.socket.Handler.connect_hooks == ()
        assert view.socket.Handler.disconnect_hooks == ()
        assert view.socket.Handler._declared.routes.default is None
        assert not view.socket.Handler.login_required


def test_a_subclass_may_register_after_its_parents_handler_was_made():
    class Base(View):
        socket = SocketRouter()

    assert Base.socket.Handler

    class Child(Base): ...

    Child.socket.route("BET")(on_bet)
    assert function_for(Child.socket, "BET") is on_bet


def test_a_grandchild_inherits_from_its_parent():
    class Base(View):
        socket = SocketRouter()

    class Child(Base): ...

    Child.socket.route("BET")(on_bet)

    class Grandchild(Child): ...

    assert function_for(Grandchild.socket, "BET") is on_bet
    assert Grandchild.socket.Handler.view_class is Grandchild


def test_the_copy_of_a_router_is_of_the_same_class():
    class PokerRouter(SocketRouter): ...

    class Base(View):
        socket = PokerRouter()

    class Child(Base): ...

    assert isinstance(Child.socket, PokerRouter)


def test_a_router_may_start_from_another_views_handler():
    class Base(View):
        socket = SocketRouter(login_required=True)
        socket.route("BET")(on_bet)
        socket.connect(on_bet)
        socket.disconnect(on_bet)
        socket.default_route(on_chat)

    class Child(View):
        socket = SocketRouter(handler=Base.socket.Handler)
        socket.route("CHAT")(on_chat)
        socket.connect(on_chat)
        socket.disconnect(on_chat)

    handler = Child.socket.Handler
    assert issubclass(handler, Base.socket.Handler)
    assert handler.view_class is Child
    assert handler.login_required
    assert handler.connect_hooks == (on_bet, on_chat)
    assert handler.disconnect_hooks == (on_bet, on_chat)
    assert handler.default_route is on_chat
    assert function_for(Child.socket, "BET") is on_bet
    assert function_for(Child.socket, "CHAT") is on_chat
    assert function_for(Base.socket, "CHAT") is None


@pytest.mark.parametrize(
    "register",
    [
        lambda socket: socket.route("BET")(on_bet),
        lambda socket: socket.connect(on_bet),
        lambda socket: socket.disconnect(on_bet),
        lambda socket: socket.default_route(on_bet),
        lambda socket: socket.group("room-.+")(on_bet),
        lambda socket: socket.include(SocketRouter()),
        lambda socket: setattr(socket, "login_required", True),
    ],
)
def test_registering_after_the_handler_was_made_raises(register):
    class Page(View):
        socket = SocketRouter()

    assert Page.socket.Handler
    with pytest.raises(DeclarationError, match=r"Page\.socket\.Handler is made already"):
        register(Page.socket)


# Rules for groups


def rule_for(router, group):
    """The function that decides who may join a group; None where there is none."""
    found = router.Handler._declared.group_rules.find(group)
    return found and found[0].function


@pytest.mark.parametrize("pattern", [r"room-\d+$", re.compile(r"room-\d+$")])
def test_a_rule_is_for_the_groups_that_match(pattern):
    socket = SocketRouter()
    socket.group(pattern)(on_bet)
    assert rule_for(socket, "room-7") is on_bet
    assert rule_for(socket, "a room-7") is None
    assert rule_for(socket, "room-x") is None


def test_the_last_defined_rule_wins():
    socket = SocketRouter()
    socket.group("room-.+")(on_bet)
    socket.group("room-7")(on_chat)
    assert rule_for(socket, "room-7") is on_chat
    assert rule_for(socket, "room-8") is on_bet


def test_rules_come_from_the_base_class_and_the_parent():
    class Base(RoutedSocketHandler):
        group_rules = (("lobby", "may_enter"),)

        def may_enter(self): ...

    class Parent(View):
        socket = SocketRouter(handler=Base)
        socket.group("room-.+")(on_bet)

    class Child(Parent):
        pass

    Child.socket.group("room-7")(on_chat)
    assert rule_for(Child.socket, "lobby") is Base.may_enter
    assert rule_for(Child.socket, "room-7") is on_chat
    assert rule_for(Child.socket, "room-8") is on_bet
    assert rule_for(Parent.socket, "room-7") is on_bet


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("room-(", r"expected a regex for the names of groups, got 'room-\(': missing \)"),
        (None, "expected a regex for the names of groups, got None"),
        (5, "expected a regex for the names of groups, got 5"),
        (b"room", "over text as key"),
        (re.compile(b"room"), "over text as key"),
        ("(?P<user>.+)", "regex group 'user' bears a reserved name"),
    ],
)
def test_a_pattern_that_cannot_match_is_refused(pattern, message):
    with pytest.raises(DeclarationError, match=message):
        SocketRouter().group(pattern)(on_bet)


@pytest.mark.parametrize("given", [on_bet, staticmethod(on_bet)])
def test_a_rule_without_a_pattern_is_refused(given):
    with pytest.raises(DeclarationError, match=r'write @socket\.group\(r"\.\.\."\)'):
        SocketRouter().group(given)


def test_what_cannot_be_a_rule_is_refused():
    def parts(socket):
        yield 1

    async def async_parts(socket):
        yield 1

    for generator in (parts, async_parts):
        with pytest.raises(DeclarationError, match="allows or refuses, so it cannot be a gener"):
            SocketRouter().group("room")(generator)
    with pytest.raises(DeclarationError, match="expected the handler as first parameter"):
        SocketRouter().group("room")(lambda: None)
    with pytest.raises(DeclarationError, match="expected a function or @staticmethod"):
        SocketRouter().group("room")(None)


def test_rules_are_declared_and_not_set():
    with pytest.raises(DeclarationError, match="'group_rules' is not set on a router"):
        SocketRouter(group_rules=())


def test_a_rule_in_another_classs_body_is_refused():
    class Parent(View):
        socket = SocketRouter()

    with pytest.raises(DeclarationError, match=r"write socket = SocketRouter\(handler=Parent"):

        class Child(Parent):
            @Parent.socket.group("room")
            def may_enter(socket): ...


def test_an_include_brings_its_rules_and_no_prefix_changes_them():
    class Base(RoutedSocketHandler):
        group_rules = (("lobby", "may_enter"),)

        def may_enter(self): ...

    rooms = SocketRouter(handler=Base)
    rooms.group("room-.+")(on_bet)
    socket = SocketRouter()
    socket.include(rooms, "CHAT_")
    socket.group("room-7")(on_chat)
    assert rule_for(socket, "lobby") is Base.may_enter
    assert rule_for(socket, "room-8") is on_bet
    assert rule_for(socket, "room-7") is on_chat
    assert rule_for(socket, "CHAT_room-8") is None


def test_an_include_that_hides_an_earlier_rule_is_refused():
    rooms = SocketRouter()
    rooms.group("room-.+")(on_bet)
    socket = SocketRouter()
    socket.group("room-.+")(on_chat)
    with pytest.raises(DeclarationError, match=r"on_bet would hide .*on_chat"):
        socket.include(rooms)


def test_a_rule_that_both_routers_have_of_a_common_base_is_there_once():
    class Base(View):
        socket = SocketRouter()
        socket.group("room-.+")(on_bet)

    other = SocketRouter(handler=Base.socket.Handler)
    socket = SocketRouter(handler=Base.socket.Handler)
    socket.include(other)
    assert len(socket.Handler._declared.group_rules.routes) == 1


# Including other routers


def test_including_adds_routes_and_hooks_at_this_place():
    chat = SocketRouter()
    chat.route("CHAT")(on_chat)

    @chat.connect
    def greet(socket): ...

    @chat.disconnect
    def part(socket): ...

    socket = SocketRouter()

    @socket.connect
    def before(socket): ...

    socket.include(chat)

    @socket.connect
    def after(socket): ...

    assert function_for(socket, "CHAT") is on_chat
    assert hook_names(socket.Handler.connect_hooks) == ["before", "greet", "after"]
    assert hook_names(socket.Handler.disconnect_hooks) == ["part"]


def test_a_route_after_an_include_wins():
    chat = SocketRouter()
    chat.route("CHAT")(on_chat)
    socket = SocketRouter()
    socket.include(chat)
    socket.route("CHAT")(on_bet)
    assert function_for(socket, "CHAT") is on_bet


def test_an_included_router_stays_as_it_was():
    chat = SocketRouter()
    chat.route("SAY")(on_chat)
    socket = SocketRouter()
    socket.include(chat, "CHAT_")
    socket.route("BET")(on_bet)
    assert function_for(chat, "SAY") is on_chat
    assert function_for(chat, "BET") is None


def test_a_router_may_be_included_under_two_prefixes():
    chat = SocketRouter()
    chat.route("SAY")(on_chat)
    socket = SocketRouter()
    socket.include(chat, "LEFT_")
    socket.include(chat, "RIGHT_")
    assert function_for(socket, "LEFT_SAY") is on_chat
    assert function_for(socket, "RIGHT_SAY") is on_chat
    assert function_for(socket, "SAY") is None


def test_included_regexes_keep_their_groups_and_arguments():
    chat = SocketRouter()

    @chat.route(re.compile(r"^ROOM_(?P<number>\d+)$"))
    def on_room(socket, number): ...

    socket = SocketRouter()
    socket.include(chat, "CHAT.")
    route, groups = socket.Handler._declared.routes.find("CHAT.ROOM_7")
    assert route.function is on_room
    assert groups == {"number": "7"}
    for key in ("ROOM_7", "CHATXROOM_7", "CHAT.ROOM_7x", "chat.ROOM_7"):
        assert function_for(socket, key) is None


def test_an_included_routes_options_come_along():
    chat = SocketRouter()
    chat.route("CHAT", timeout=3, concurrent=True)(on_chat)
    socket = SocketRouter()
    socket.include(chat, "X_")
    (route,) = socket.Handler.routes
    assert (route.keys, route.timeout, route.concurrent) == (("X_CHAT",), 3, True)


def test_an_include_brings_its_default_route():
    chat = SocketRouter()
    chat.default_route(on_chat)
    socket = SocketRouter()
    socket.include(chat)
    assert socket.Handler._declared.routes.default.function is on_chat


def test_a_second_default_route_by_an_include_is_refused():
    chat = SocketRouter()
    chat.default_route(on_chat)
    socket = SocketRouter()
    socket.default_route(on_bet)
    with pytest.raises(DeclarationError, match=r"default route is .*on_bet already"):
        socket.include(chat)


@pytest.mark.parametrize(
    ("key", "by"),
    [
        ("CHAT", "CHAT"),
        ("CHAT", re.compile("CH.+")),
        (re.compile("CH.+"), re.compile("CH.+")),
    ],
)
def test_an_include_that_hides_an_earlier_route_is_refused(key, by):
    socket = SocketRouter()
    socket.route("BET", key)(on_bet)
    chat = SocketRouter()
    chat.route("SAY", by)(on_chat)
    with pytest.raises(DeclarationError, match=r"on_chat would hide .*on_bet, .*give a prefix"):
        socket.include(chat)
    socket.include(chat, prefix="CHAT_")
    assert function_for(socket, "CHAT_SAY") is on_chat


def test_an_include_may_take_a_part_of_an_earlier_regex():
    socket = SocketRouter()
    socket.route(re.compile("CHAT_.+"))(on_bet)
    chat = SocketRouter()
    chat.route("CHAT_SAY")(on_chat)
    socket.include(chat)
    assert function_for(socket, "CHAT_SAY") is on_chat
    assert function_for(socket, "CHAT_HEAR") is on_bet


def test_an_include_with_differing_attributes_is_refused():
    chat = SocketRouter(login_required=True)
    with pytest.raises(
        DeclarationError, match="has login_required = True, which would be False here"
    ):
        SocketRouter().include(chat)
    SocketRouter(login_required=True).include(chat)


def test_an_include_with_an_attribute_unknown_here_is_refused():
    class PokerSocketHandler(RoutedSocketHandler):
        stakes = 1

    poker = SocketRouter(handler=PokerSocketHandler, stakes=5)
    with pytest.raises(DeclarationError, match="stakes"):
        SocketRouter().include(poker)


def test_including_a_router_that_started_from_a_copy_adds_what_it_was_copied_from():
    class Base(View):
        socket = SocketRouter()
        socket.route("BET")(on_bet)
        socket.connect(on_bet)

    copied = SocketRouter(handler=Base.socket.Handler)
    socket = SocketRouter()
    socket.include(copied)
    assert function_for(socket, "BET") is on_bet
    assert socket.Handler.connect_hooks == (on_bet,)


async def test_including_a_router_adds_the_methods_of_its_base_class():
    class Base(RoutedSocketHandler):
        routes = (("CHAT", "on_chat"),)

        def connect(self):
            self.send_json("hello")

        def on_chat(self, content):
            return "chat"

        def default_route(self, content):
            return "default"

    socket = SocketRouter()
    socket.include(SocketRouter(handler=Base))
    async with client_of(socket) as client:
        assert await client.receive_json_from() == "hello"
        assert (await client.ask({"type": "CHAT"}))["data"] == "chat"
        assert (await client.ask({"type": "X"}))["data"] == "default"


def test_what_both_routers_have_of_a_common_base_is_there_once():
    class Base(View):
        socket = SocketRouter()
        socket.route("CHAT")(on_chat)
        socket.connect(on_chat)
        socket.disconnect(on_chat)
        socket.default_route(on_chat)

    other = SocketRouter(handler=Base.socket.Handler)
    other.route("SAY")(on_chat)
    socket = SocketRouter(handler=Base.socket.Handler)
    socket.route("CHAT")(on_bet)
    socket.include(other)
    assert socket.Handler.connect_hooks == (on_chat,)
    assert socket.Handler.disconnect_hooks == (on_chat,)
    assert function_for(socket, "CHAT") is on_bet
    assert function_for(socket, "SAY") is on_chat


def test_a_child_in_whose_body_the_parents_router_is_used_is_refused():
    class Parent(View):
        socket = SocketRouter()

    with pytest.raises(DeclarationError, match=r"write socket = SocketRouter\(handler=Parent"):

        class Child(Parent):
            @Parent.socket.route("BET")
            def on_bet(socket): ...

    assert Parent.socket.Handler._declared.routes.find("BET") is None


def chat_router(**attributes):
    chat = SocketRouter(**attributes)
    chat.route("SAY")(on_chat)
    return chat


def test_a_router_may_be_a_stream():
    socket = SocketRouter(protocols=(DCRF(),))
    socket.include(chat_router(), stream="chat")
    assert function_for(socket, f"chat{STREAM_END}SAY") is on_chat
    assert function_for(socket, "SAY") is None


def test_a_router_may_be_two_streams_and_have_a_prefix_in_one():
    chat, socket = chat_router(), SocketRouter(protocols=(DCRF(),))
    socket.include(chat, stream="left")
    socket.include(chat, "I_", stream="right")
    assert function_for(socket, f"left{STREAM_END}SAY") is on_chat
    assert function_for(socket, f"right{STREAM_END}I_SAY") is on_chat
    assert function_for(socket, f"right{STREAM_END}SAY") is None


def test_two_routers_may_share_a_stream_but_not_a_key():
    socket, more = SocketRouter(protocols=(DCRF(),)), SocketRouter()
    more.route("SHOUT")(on_bet)
    socket.include(chat_router(), stream="chat")
    socket.include(more, stream="chat")
    with pytest.raises(DeclarationError, match="would hide"):
        socket.include(chat_router(), stream="chat")
    assert function_for(socket, f"chat{STREAM_END}SHOUT") is on_bet


def test_a_key_in_a_stream_hides_none_outside_and_the_other_way_round():
    socket = SocketRouter(protocols=(DCRF(),))
    socket.route(re.compile(".*"))(on_bet)
    socket.include(chat_router(), stream="chat")
    everything = SocketRouter()
    everything.route(re.compile("A.*"))(on_bet)
    socket.include(everything)
    assert function_for(socket, f"chat{STREAM_END}SAY") is on_chat
    assert function_for(socket, "SAY") is on_bet


def test_a_stream_has_what_both_routers_have_of_a_common_base_too():
    class Base(View):
        socket = SocketRouter(protocols=(DCRF(),))
        socket.route("CHAT")(on_chat)
        socket.connect(on_chat)

    socket = SocketRouter(handler=Base.socket.Handler)
    socket.include(SocketRouter(handler=Base.socket.Handler), stream="chat")
    assert function_for(socket, "CHAT") is on_chat
    assert function_for(socket, f"chat{STREAM_END}CHAT") is on_chat
    assert socket.Handler.connect_hooks == (on_chat,)


def test_the_default_route_of_a_stream_is_its_last_resort():
    chat, socket = chat_router(), SocketRouter(protocols=(DCRF(),))
    chat.default_route(on_bet)
    socket.include(chat, "I_", stream="chat")
    assert function_for(socket, f"chat{STREAM_END}I_SAY") is on_chat
    assert function_for(socket, f"chat{STREAM_END}SHOUT") is on_bet
    assert socket.Handler._declared.routes.default is None


def test_a_router_with_streams_is_included_with_them():
    chat, both, socket = (chat_router(), *(SocketRouter(protocols=(DCRF(),)) for _ in range(2)))
    both.include(chat, stream="chat")
    socket.include(both)
    assert function_for(socket, f"chat{STREAM_END}SAY") is on_chat


@pytest.mark.parametrize("options", [{"stream": "outer"}, {"prefix": "X_"}])
def test_streams_are_not_in_one_another(options):
    both, socket = (SocketRouter(protocols=(DCRF(),)) for _ in range(2))
    both.include(chat_router(), stream="chat")
    with pytest.raises(DeclarationError, match="streams are not in one another"):
        socket.include(both, **options)


@pytest.mark.parametrize("name", ["", 5, f"a{STREAM_END}b"])
def test_a_stream_has_a_name(name):
    with pytest.raises(DeclarationError, match="expected the name of a stream"):
        SocketRouter(protocols=(DCRF(),)).include(chat_router(), stream=name)


def test_two_routers_may_each_have_made_the_same_protocols():
    SocketRouter(protocols=(DCRF(),)).include(chat_router(protocols=(DCRF(),)))
    with pytest.raises(DeclarationError, match="has protocols = "):
        SocketRouter(protocols=(DCRF(), Native())).include(chat_router(protocols=(DCRF(),)))


@pytest.mark.parametrize("given", [None, "router", View])
def test_what_is_no_router_is_not_included(given):
    with pytest.raises(DeclarationError, match="expected a SocketRouter to include"):
        SocketRouter().include(given)


def test_what_has_no_signature_is_no_function():
    with pytest.raises(DeclarationError, match="expected a function of Python's own"):
        SocketRouter().route("BET")(int)
