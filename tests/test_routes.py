"""Which function a message goes to."""

import re

import pytest

from sockets import Route
from sockets.exceptions import DeclarationError
from sockets.routes import CACHED_KEY_LENGTH, CACHED_KEYS, Routes


def on_ping(socket): ...


def on_chat(socket): ...


def table(*routes, default=None, timeout=60.0):
    return Routes(routes, default=default, timeout=timeout)


# One route


def test_a_route_holds_its_function_and_keys():
    pattern = re.compile("P.+")
    route = Route.of(["PING", pattern], on_ping)
    assert route.function is on_ping
    assert route.keys == ("PING", pattern)


def test_a_static_method_is_unwrapped():
    assert Route.of(("PING",), staticmethod(on_ping)).function is on_ping


def test_a_route_runs_in_order_unless_told_otherwise():
    assert not Route.of(("PING",), on_ping).concurrent
    assert Route.of(("PING",), on_ping, concurrent=True).concurrent


def test_generators_are_concurrent_unless_told_otherwise():
    def count(socket):
        yield 1

    async def acount(socket):
        yield 1

    class Count:
        def __call__(self, socket):
            yield 1

    for function in (count, acount, Count()):
        assert Route.of(("COUNT",), function).concurrent
        assert not Route.of(("COUNT",), function, concurrent=False).concurrent


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(DeclarationError, match=r"no option 'concurent'; .*'concurrent'\?"):
        Route.of(("PING",), on_ping, concurent=True)


@pytest.mark.parametrize("timeout", [0, -1, True, "5", [5], float("nan")])
def test_a_bad_timeout_is_refused(timeout):
    with pytest.raises(
        DeclarationError, match="on_ping: expected timeout in seconds, more than 0, or None"
    ):
        Route.of(("PING",), on_ping, timeout=timeout)


@pytest.mark.parametrize("key", [5, None, b"PING", re.compile(b"P.+"), ("PING", "PONG")])
def test_a_key_is_a_string_or_a_regex_over_text(key):
    with pytest.raises(DeclarationError, match="on_ping: expected a string or a compiled regex"):
        Route.of(("GOOD", key), on_ping)


@pytest.mark.parametrize(
    ("own", "earlier", "hidden"),
    [
        ("PING", "PING", "PING"),
        ("PING", "PONG", None),
        (re.compile("P"), "PING", "PING"),
        (re.compile("ING"), "PING", None),
        (re.compile("P.+"), re.compile("P.+"), re.compile("P.+")),
        (re.compile("P.+"), re.compile("P.+", re.IGNORECASE), None),
        ("PING", re.compile("P.+"), None),
    ],
)
def test_a_route_hides_a_key_that_it_answers_instead(own, earlier, hidden):
    assert Route.of((own,), on_ping).hides(Route.of(("X", earlier), on_chat)) == hidden


# Finding


def test_an_unknown_key_is_not_found():
    assert table(Route.of(("PING",), on_ping)).find("PONG") is None
    assert table().find("PING") is None


def test_last_defined_route_wins():
    string = Route.of(("ACT_FOLD", "ACT_CALL"), on_ping)
    pattern = Route.of((re.compile("ACT_.+"),), on_ping)
    later_string = Route.of(("ACT_CALL", "ACT_RAISE"), on_chat)
    later_pattern = Route.of((re.compile("ACT_R"),), on_chat)
    routes = table(string, pattern, later_string, later_pattern, timeout=None)
    assert routes.find("ACT_FOLD") == (pattern, {})
    assert routes.find("ACT_CALL") == (later_string, None)
    assert routes.find("ACT_RAISE") == (later_pattern, {})
    assert routes.find("ACT_X") == (pattern, {})


def test_patterns_match_from_the_start_and_end_anywhere():
    routes = table(Route.of((re.compile("ING"), re.compile("PONG$")), on_ping))
    assert routes.find("INGOT")
    assert routes.find("PING") is None
    assert routes.find("PONGS") is None


def test_named_groups_are_found():
    routes = table(Route.of((re.compile(r"ROOM_(?P<room>\d+)(_(?P<seat>\d+))?"),), on_ping))
    assert routes.find("ROOM_7")[1] == {"room": "7", "seat": None}
    assert routes.find("ROOM_7_2")[1] == {"room": "7", "seat": "2"}


def test_found_keys_are_remembered_and_others_are_not():
    routes = table(Route.of((re.compile("P.+"),), on_ping), Route.of(("SIT",), on_ping))
    match = routes.find("PING")
    plain, _ = routes.find("SIT")
    assert routes.find("UNKNOWN") is None
    assert routes.matches == {"PING": match}
    assert routes.found == {"SIT": plain}


def test_long_keys_are_not_remembered():
    routes = table(Route.of((re.compile("P+"),), on_ping))
    assert routes.find("P" * CACHED_KEY_LENGTH)
    assert routes.find("P" * (CACHED_KEY_LENGTH + 1))
    assert list(routes.matches) == ["P" * CACHED_KEY_LENGTH]
    assert CACHED_KEY_LENGTH == 128


def test_a_bounded_number_of_keys_is_remembered():
    routes = table(Route.of((re.compile(r"\d+"),), on_ping))
    for number in range(3 * CACHED_KEYS + 5):
        assert routes.find(str(number))
        assert len(routes.matches) <= CACHED_KEYS
    assert str(number) in routes.matches
    assert CACHED_KEYS == 1024


def test_a_table_gives_its_timeout_to_routes_without_one():
    plain = Route.of(("PLAIN",), on_ping)
    unlimited = Route.of(("UNLIMITED",), on_ping, timeout=None)
    short = Route.of(("SHORT",), on_ping, timeout=0.5)
    routes = table(plain, unlimited, short, default=Route.of((), on_chat), timeout=7)
    assert routes.find("PLAIN")[0].timeout == 7
    assert routes.find("UNLIMITED")[0].timeout is None
    assert routes.find("SHORT")[0].timeout == 0.5
    assert routes.default.timeout == 7


# Prefixes


def test_a_prefix_goes_before_every_string():
    route = Route.of(("SAY", "HEAR"), on_chat, timeout=3).prefixed("CHAT_")
    assert route.keys == ("CHAT_SAY", "CHAT_HEAR")
    assert (route.function, route.timeout) == (on_chat, 3)


def test_an_empty_prefix_changes_nothing():
    route = Route.of(("SAY", re.compile("^H.+$")), on_chat)
    assert route.prefixed("") == route


def test_a_prefix_may_go_before_a_prefix():
    route = Route.of(("SAY", re.compile("H.+")), on_chat).prefixed("B.").prefixed("A.")
    routes = table(route)
    assert routes.find("A.B.SAY")
    assert routes.find("A.B.HEAR")
    assert not routes.find("B.A.HEAR")


@pytest.mark.parametrize(
    ("prefix", "hidden"), [("", None), ("C.", "C.SAY"), ("C.S", None), ("X.", None)]
)
def test_a_prefixed_regex_hides_what_it_matches(prefix, hidden):
    prefixed = Route.of((re.compile("SAY"),), on_chat).prefixed(prefix)
    assert prefixed.hides(Route.of(("C.SAY",), on_ping)) == hidden


def test_regexes_under_other_prefixes_hide_nothing():
    pattern = re.compile("S.+")
    left, right = (Route.of((pattern,), on_chat).prefixed(prefix) for prefix in ("L", "R"))
    assert left.hides(right) is None
    assert left.hides(Route.of((pattern,), on_ping).prefixed("L")) == pattern


@pytest.mark.parametrize(
    ("pattern", "matches", "fails"),
    [
        (re.compile("SAY"), ["C.SAY", "C.SAYING"], ["SAY", "CxSAY", "C.XSAY"]),
        (re.compile("SAY$"), ["C.SAY"], ["C.SAYING"]),
        (re.compile("^SAY"), ["C.SAY"], ["SAY", "C.XSAY"]),
        (re.compile("SAY|HEAR"), ["C.SAY", "C.HEAR"], ["HEAR", "SAY"]),
        (re.compile("(?i)say"), ["C.SAY", "C.say"], ["c.say"]),
        (re.compile("(?i)^say$"), ["C.SAY", "C.say"], ["c.say", "C.says"]),
        (re.compile("say", re.IGNORECASE), ["C.SAY"], ["c.SAY"]),
        (re.compile("(?is)say.x"), ["C.SAY\nX"], ["c.say x"]),
        (re.compile("(?i)(?s)say.x"), ["C.SAY\nX"], ["c.say x"]),
        (re.compile("(?x) S A Y"), ["C.SAY"], ["C.S A Y"]),
        (re.compile("(?x) S A Y  # aloud"), ["C.SAY"], ["C.S A Y"]),
        (re.compile(r"\ASAY"), ["C.SAY"], ["SAY"]),
        (re.compile("^SAY|^HEAR"), ["C.SAY", "C.HEAR"], ["HEAR", "C.XHEAR"]),
        (re.compile("(^SAY|^HEAR)"), ["C.SAY", "C.HEAR"], ["HEAR"]),
    ],
    ids=lambda value: value.pattern if isinstance(value, re.Pattern) else "",
)
def test_a_prefix_is_literal_before_a_regex(pattern, matches, fails):
    routes = table(Route.of((pattern,), on_chat).prefixed("C."))
    assert [key for key in matches if not routes.find(key)] == []
    assert [key for key in fails if routes.find(key)] == []


def test_a_prefixed_regex_keeps_its_groups_and_back_references():
    route = Route.of((re.compile(r"(?P<a>\w)(?P<b>\w)\1"),), on_chat)
    routes = table(route.prefixed("("))
    assert routes.find("(xyx")[1] == {"a": "x", "b": "y"}
    assert routes.find("(xyz") is None


def test_a_single_key_needs_no_tuple():
    assert Route.of("PING", on_ping).keys == ("PING",)
    assert Route.of(re.compile("P"), on_ping).keys == (re.compile("P"),)


# Asking the table


def test_the_key_that_led_to_a_route_is_told():
    wide, narrow = re.compile("ACT"), re.compile("ACT_.+")
    route = Route.of(("PING", wide, narrow), on_ping).prefixed("game.")
    assert route.key_of("game.PING") == "game.PING"
    assert route.key_of("game.ACT") is wide
    assert route.key_of("game.ACT_FOLD") is narrow


def test_a_table_tells_what_hides_a_key():
    ping, chat = Route.of(("PING", "PONG"), on_ping), Route.of(("CHAT",), on_chat)
    later = Route.of((re.compile("PI"),), on_chat)
    routes = table(ping, chat, later, timeout=None)
    ping, chat, later = routes.routes
    assert routes.hider(ping, "PING") is later
    assert routes.hider(ping, "PONG") is None
    assert routes.hider(chat, "CHAT") is None
    assert routes.hider(later, later.keys[0]) is None


def test_a_regex_is_hidden_by_itself_under_the_same_prefix():
    pattern = re.compile("ACT_.+")
    routes = table(Route.of((pattern,), on_ping), Route.of((pattern,), on_chat))
    assert routes.hider(routes.routes[0], pattern) is routes.routes[1]
    prefixed = Route.of((pattern,), on_chat).prefixed("game.")
    routes = table(Route.of((pattern,), on_ping), prefixed)
    assert routes.hider(routes.routes[0], pattern) is None


@pytest.mark.parametrize("concurrent", ["no", 1, None])
def test_concurrent_is_a_switch(concurrent):
    with pytest.raises(DeclarationError, match="expected concurrent to be True or False"):
        Route.of("PING", on_ping, concurrent=concurrent)
