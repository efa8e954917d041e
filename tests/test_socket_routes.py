"""The command that lists routes and tells who answers a key."""

import json
import re
from io import StringIO
from pathlib import Path
from types import ModuleType

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.contrib.auth.decorators import login_required
from django.core.management import CommandError, call_command
from django.core.management.color import color_style
from django.urls import include, path, re_path
from django.views import View

from sockets import RoutedSocketHandler, SocketRouter
from sockets.guards import staff
from sockets.protocols.dcrf import DCRF
from sockets.protocols.native import Native
from sockets.protocols.replykey import ReplyKey

DOCS = (Path(__file__).parent.parent / "docs" / "commands.md").read_text()

poker = SocketRouter()


@poker.route("DEAL", re.compile(r"BET_(?P<chips>\d+)$"))
async def on_bet(socket, chips=None): ...


class Game(View):
    socket = SocketRouter(login_required=True, max_waiting=8)
    socket.include(poker, prefix="poker.")

    @socket.route("CHAT", "SHOUT", timeout=5)
    def on_chat(socket, content): ...

    @socket.route("WAIT", concurrent=True, timeout=None)
    async def on_wait(socket): ...

    @socket.route(
        "COUNT",
        login_required=True,
        permissions=["auth.view_user", "auth.add_user"],
        guards=[~staff],
        hydrate=lambda socket: None,
    )
    async def on_count(socket):
        yield 1

    @socket.route(re.compile(r"sh", re.IGNORECASE))
    def on_noise(socket): ...

    @socket.route("PING")
    def on_ping(socket): ...

    @socket.group(r"table-(?P<number>\d+)$")
    async def may_watch(socket, number): ...

    @socket.group("staff$")
    def may_serve(socket): ...

    @socket.group(re.compile("staff$", re.IGNORECASE))
    def may_serve_or_shout(socket): ...

    @socket.group("staff$")
    def may_really_serve(socket): ...


class Bar(View):
    socket = SocketRouter()

    @socket.route("POUR")
    def on_pour(socket, content): ...

    @socket.default_route
    async def on_all(socket, content): ...


class Cellar(RoutedSocketHandler):
    refuse_at_handshake = True
    routes = (("FETCH", "on_fetch"),)
    group_rules = (("cellar$", "may_enter"),)

    def on_fetch(self): ...

    def may_enter(self): ...


inner = [re_path(r"^bar/(?P<stool>\d+)/$", login_required(Bar.as_view()))]
urlpatterns = [
    path("game/<int:number>/", Game.as_view()),
    path("house/", include(inner)),
    path("page/", View.as_view()),
    *i18n_patterns(path("club/", Bar.as_view())),
]
pytestmark = pytest.mark.urls(__name__)

GAME, BAR, CLUB = "/game/<int:number>/", r"/house/bar/(?P<stool>\d+)/", "/en-us/club/"


def run(*arguments, **options):
    out = StringIO()
    call_command("socket_routes", *arguments, stdout=out, no_color=True, **options)
    return out.getvalue()


def run_json(*arguments):
    return json.loads(run(*arguments, "--format", "json"))


def rows(listing):
    """The cells of a listing's lines, which stand apart by two spaces or more."""
    return [re.split(r"\s{2,}", line.strip()) for line in listing.splitlines()]


def row(listing, key):
    [found] = [cells for cells in rows(listing) if cells[0] == key]
    return [cell.removeprefix(f"{__name__}.") for cell in found[1:]]


# The list


def test_every_mounted_path_is_listed_with_its_view_and_handler():
    listing = run()
    titles = [line for line in listing.splitlines() if line.startswith("/")]
    assert titles == [GAME, BAR, CLUB]
    assert ["view", f"{__name__}.Bar"] in rows(listing)
    assert ["handler", f"{__name__}.Bar.socket.Handler"] in rows(listing)


def test_attributes_are_those_of_the_door_and_those_that_differ():
    assert row(run("--path", "/game/7/"), "attributes") == [
        "login_required=True, refuse_at_handshake=False, max_waiting=8"
    ]


def test_other_objects_among_the_attributes_are_shown_by_name():
    class Named(RoutedSocketHandler):
        protocols = (*RoutedSocketHandler.protocols, *RoutedSocketHandler.protocols)
        groups = {"b", "a"}  # noqa: RUF012
        guards = (~staff,)

    globals()["Named"] = Named
    attributes = run_json("--handler", f"{__name__}.Named")[0]["attributes"]
    formats = ["sockets.protocols.native.Native", "sockets.protocols.msgpack.MessagePack"]
    assert attributes["protocols"] == formats * 2
    assert attributes["groups"] == ["a", "b"]
    assert attributes["guards"] == ["~sockets.guards.staff"]


def test_the_route_that_wins_stands_first_and_the_built_in_ones_last():
    listing = run("--path", "/game/7/")
    keys = [cells[0] for cells in rows(listing)[5:]]
    assert keys == [
        '"PING"',
        'r"sh", re.IGNORECASE',
        '"COUNT"',
        '"WAIT"',
        '"CHAT"',
        '"SHOUT"',
        '"poker.DEAL"',
        r'"poker." + r"BET_(?P<chips>\d+)$"',
        "default route",
        'group r"staff$"',
        'group r"staff$", re.IGNORECASE',
        'group r"staff$"',
        r'group r"table-(?P<number>\d+)$"',
        '"CANCEL"',
        '"PING"',
        '"LEAVE"',
        '"JOIN"',
        '"TIME_SYNC"',
        '"HELLO"',
    ]


def test_a_protocol_that_has_nothing_built_in_has_its_own_routes_only():
    class Price(RoutedSocketHandler):
        protocols = (ReplyKey(),)
        routes = (("price", "on_price"),)

        def on_price(self): ...

    class Both(Price):
        protocols = (ReplyKey(), Native())

    globals().update(Price=Price, Both=Both)
    [told] = run_json("--handler", f"{__name__}.Price")
    assert [line["key"] for line in told["routes"]] == ["price"]
    assert told["built_in"] == []
    [told] = run_json("--handler", f"{__name__}.Both")
    assert [line["key"] for line in told["routes"]] == ["price"]
    assert len(told["built_in"]) == 6


def test_a_line_tells_function_colour_and_options():
    listing = run("--path", "/game/7/")
    assert row(listing, '"poker.DEAL"') == ["on_bet", "async def"]
    assert row(listing, '"CHAT"') == ["Game.on_chat", "def", "timeout=5"]
    assert row(listing, '"WAIT"') == ["Game.on_wait", "async def", "concurrent, timeout=None"]
    assert row(listing, '"COUNT"') == [
        "Game.on_count",
        "async generator",
        "login_required, permissions=auth.view_user, auth.add_user, "
        "guards=~sockets.guards.staff, hydrate, concurrent",
    ]
    assert row(listing, '"CANCEL"') == ["sockets.built_in.on_cancel", "def", "at once"]


def test_what_a_later_route_takes_is_hidden_by_it():
    listing = run("--path", "/game/7/")
    hidden = [cells for cells in rows(listing) if "hidden by" in cells[-1]]
    assert [(cells[0], cells[-1].removeprefix("at once, ")) for cells in hidden] == [
        ('"SHOUT"', f"timeout=5, hidden by {__name__}.Game.on_noise"),
        ('group r"staff$"', f"hidden by {__name__}.Game.may_really_serve"),
        ('"PING"', f"hidden by {__name__}.Game.on_ping"),
    ]


def test_rules_for_groups_are_listed_with_their_functions():
    listing = run("--path", "/game/7/")
    watch = row(listing, r'group r"table-(?P<number>\d+)$"')
    assert watch == ["Game.may_watch", "async def"]
    assert row(listing, 'group r"staff$", re.IGNORECASE') == ["Game.may_serve_or_shout", "def"]
    assert "group" not in run("--path", "/house/bar/7/")


def test_the_default_route_is_listed_or_said_to_be_missing():
    assert row(run("--path", "/house/bar/7/"), "default route") == ["Bar.on_all", "async def"]
    assert row(run("--path", "/game/7/"), "default route") == ["none (404)"]


def test_columns_are_aligned_but_for_cells_that_are_very_long():
    class Long(RoutedSocketHandler):
        routes = (("SHORT", "on_any"), (re.compile("L" * 80), "on_any"))

        def on_any(self): ...

    globals()["Long"] = Long
    long, short, *others = run("--handler", f"{__name__}.Long").splitlines()[4:]
    starts = {line.index("sockets.") for line in others if "sockets." in line}
    assert starts == {short.index(__name__)}
    assert long.startswith(f'  r"{"L" * 80}"  {__name__}')


def test_a_handler_without_a_view_is_named():
    listing = run("--handler", f"{__name__}.Cellar")
    assert listing.splitlines()[0] == f"{__name__}.Cellar"
    assert "view" not in [cells[0] for cells in rows(listing)]
    assert row(listing, "attributes") == ["login_required=False, refuse_at_handshake=True"]
    assert row(listing, '"FETCH"') == ["Cellar.on_fetch", "def"]
    assert row(listing, 'group r"cellar$"') == ["Cellar.may_enter", "def"]


def test_several_handlers_and_a_path_may_be_named():
    names = [f"{__name__}.Cellar", f"{__name__}.Bar.socket.Handler"]
    places = run_json("--handler", names[0], "--handler", names[1], "--path", "/game/7/")
    assert [(place["path"], place["view"]) for place in places] == [
        (GAME, f"{__name__}.Game"),
        (None, None),
        (None, f"{__name__}.Bar"),
    ]


@pytest.mark.urls("tests.urls")
def test_a_project_without_sockets_says_so():
    assert run() == "No view of this project has a socket.\n"
    assert run_json("PING") == []


def test_hidden_lines_stand_out_in_colour():
    out = StringIO()
    call_command("socket_routes", "--path", "/game/7/", stdout=out, force_color=True)
    warning = color_style(force_color=True).WARNING("|").partition("|")[0]
    lines = out.getvalue().splitlines()
    hidden = [line for line in lines if "hidden by" in line]
    assert hidden == [line for line in lines if line.startswith(warning)]


# A key


def test_a_key_is_looked_up_on_each_path():
    assert rows(run("POUR")) == [
        [GAME, "nobody (404)"],
        [BAR, '"POUR"', f"{__name__}.Bar.on_pour", "def"],
        [CLUB, '"POUR"', f"{__name__}.Bar.on_pour", "def"],
    ]


def test_the_groups_of_the_regex_are_told():
    assert rows(run("poker.BET_50", "--path", "/game/7/")) == [
        [
            GAME,
            r'"poker." + r"BET_(?P<chips>\d+)$"',
            f"{__name__}.on_bet",
            "async def",
            "chips='50'",
        ]
    ]


def test_the_default_route_answers_what_no_other_does():
    assert rows(run("WINE", "--path", "/de/club/")) == [
        ["/de/club/", "default route", f"{__name__}.Bar.on_all", "async def"]
    ]


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("chat", '"CHAT"'),
        ("CHATS", '"CHAT"'),
        ("poker.BET_", r'"poker." + r"BET_(?P<chips>\d+)$"'),
    ],
)
def test_where_nobody_answers_the_nearest_keys_are_told(asked, near):
    [[place, nobody, nearest]] = rows(run(asked, "--path", "/game/7/"))
    assert (place, nobody) == (GAME, "nobody (404)")
    assert nearest.startswith(f"nearest: {near}")


# JSON


def test_json_holds_what_the_list_does():
    [game] = run_json("--path", "/game/7/")
    assert (game["path"], game["view"]) == (GAME, f"{__name__}.Game")
    assert game["attributes"]["max_waiting"] == 8
    assert game["default_route"] is None
    assert game["routes"][-1] == {
        "stream": None,
        "key": r"BET_(?P<chips>\d+)$",
        "regex": True,
        "flags": re.UNICODE,
        "prefix": "poker.",
        "function": f"{__name__}.on_bet",
        "colour": "async def",
        "schema": None,
        "concurrent": False,
        "at_once": False,
        "timeout": 60.0,
        "stages": {},
        "hidden_by": None,
    }
    assert game["routes"][2]["stages"] == {
        "login_required": True,
        "permissions": ["auth.view_user", "auth.add_user"],
        "guards": ["~sockets.guards.staff"],
        "hydrate": f"{__name__}.Game.<lambda>",
    }
    [chat, shout] = game["routes"][4:6]
    assert (chat["key"], chat["regex"], chat["timeout"]) == ("CHAT", False, 5)
    assert shout["hidden_by"] == f"{__name__}.Game.on_noise"
    assert [line["function"].rpartition(".")[2] for line in game["group_rules"]] == [
        "may_really_serve",
        "may_serve_or_shout",
        "may_serve",
        "may_watch",
    ]
    assert game["group_rules"][2] == {
        "key": "staff$",
        "flags": re.UNICODE,
        "function": f"{__name__}.Game.may_serve",
        "colour": "def",
        "schema": None,
        "hidden_by": f"{__name__}.Game.may_really_serve",
    }
    built_in = [line["key"] for line in game["built_in"]]
    assert built_in == ["CANCEL", "PING", "LEAVE", "JOIN", "TIME_SYNC", "HELLO"]


def test_what_content_must_be_is_shown():
    class Typed(RoutedSocketHandler):
        routes = (("SUM", "on_sum"),)
        group_rules = (("cellar$", "may_enter"),)

        def on_sum(self, content: dict[str, str]): ...

        def may_enter(self, content: dict[str, str]): ...

    globals()["Typed"] = Typed
    handler = f"{__name__}.Typed"
    for name, cells in {'"SUM"': 1, 'group r"cellar$"': 1}.items():
        assert row(run("--handler", handler), name)[-cells:] == ["schema=dict[str, str]"]
    [shown] = run_json("--handler", handler)
    assert shown["routes"][0]["schema"] == shown["group_rules"][0]["schema"] == "dict[str, str]"


def make_library():
    books, library = SocketRouter(protocols=(DCRF(),)), SocketRouter(protocols=(DCRF(),))
    books.route("list", re.compile("by_.+"))(lambda socket: None)
    books.default_route(lambda socket: None)
    people = SocketRouter(protocols=(DCRF(),))
    people.route("list")(lambda socket: None)
    library.include(books, "all_", stream="books")
    library.include(people, stream="people")
    globals()["Library"] = library.Handler
    return f"{__name__}.Library"


def test_streams_and_their_keys_are_listed_apart():
    handler = make_library()
    listed = run("--handler", handler)
    for label in ('"all_list"', '"all_" + r"by_.+"', 'r""'):
        assert row(listed, f"{label} in the stream books")
    assert row(listed, '"list" in the stream people')
    assert "HELLO" not in listed
    [shown] = run_json("--handler", handler)
    assert shown["built_in"] == []
    assert [(line["stream"], line["key"], line["prefix"]) for line in shown["routes"]] == [
        ("people", "list", ""),
        ("books", "all_list", ""),
        ("books", "by_.+", "all_"),
        ("books", "", ""),
    ]


def test_a_key_is_looked_for_in_a_stream():
    handler = make_library()
    [answer] = run_json("list", "--stream", "people", "--handler", handler)
    assert (answer["key"], answer["route"]["stream"]) == ("list", "people")
    [answer] = run_json("nope", "--stream", "books", "--handler", handler)
    assert (answer["route"]["stream"], answer["route"]["key"]) == ("books", "")
    [answer] = run_json("lists", "--stream", "people", "--handler", handler)
    assert (answer["route"], answer["nearest"][0]["stream"]) == (None, "people")
    [answer] = run_json("list", "--handler", handler)
    assert answer["route"] is None


def test_json_tells_who_answers_a_key():
    [answer] = run_json("poker.BET_50", "--path", "/game/7/")
    assert (answer["path"], answer["key"]) == (GAME, "poker.BET_50")
    assert answer["route"]["function"] == f"{__name__}.on_bet"
    assert answer["groups"] == {"chips": "50"}
    assert answer["nearest"] == []
    [answer] = run_json("chat", "--path", "/game/7/")
    assert answer["route"] is None
    assert answer["nearest"][0]["key"] == "CHAT"
    [answer] = run_json("WINE", "--path", "/en/club/")
    assert (answer["route"]["key"], answer["groups"]) == (None, {})


# What does not exist


@pytest.mark.parametrize(
    ("asked", "near"), [("/gane/7/", GAME), ("/page/", GAME), ("/en/clap/", "/en/club/")]
)
def test_a_path_without_a_socket_is_an_error_that_names_the_nearest(asked, near):
    with pytest.raises(CommandError) as caught:
        run("--path", asked)
    assert str(caught.value) == f"There is no socket at {asked!r}; the nearest is {near!r}."
    assert caught.value.returncode == 1


@pytest.mark.urls("tests.urls")
def test_a_path_of_a_project_without_sockets_is_an_error():
    with pytest.raises(CommandError, match="at '/game/7/'; this project has none"):
        run("--path", "/game/7/")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (f"{__name__}.Celar", f"module '{__name__}' has no attribute 'Celar'"),
        ("test.test_socket_routes.Cellar", "module 'test' has no attribute 'test_socket_routes'"),
        (f"{__name__}.run", "it is no subclass of RoutedSocketHandler"),
    ],
)
def test_a_handler_that_is_none_is_an_error_that_names_the_nearest(asked, reason):
    with pytest.raises(CommandError) as caught:
        run("--handler", asked)
    assert str(caught.value).startswith(f"There is no handler {asked!r} ({reason}); the nearest is")


def test_the_nearest_handler_is_named():
    with pytest.raises(CommandError, match=f"the nearest is '{__name__}.Cellar'"):
        run("--handler", f"{__name__}.Celar")


# The documentation


def test_the_documentation_shows_what_is_printed(settings):
    [code] = re.findall(r"^```python\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    views, urls = ModuleType("kitchen.views"), ModuleType("kitchen.urls")
    exec(code, vars(views))
    urls.urlpatterns = [path("tables/<int:number>/", views.Table.as_view())]
    settings.ROOT_URLCONF = urls
    shown = re.findall(r"^```text\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    assert [run(), run("BILL"), run("ODER")] == shown
