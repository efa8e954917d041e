"""What `manage.py check` says of sockets that cannot work, and of those that are not safe."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import AppConfig
from django.apps.registry import Apps
from django.contrib.auth.decorators import login_not_required, login_required, permission_required
from django.contrib.auth.mixins import (
    LoginRequiredMixin,
    PermissionRequiredMixin,
    UserPassesTestMixin,
)
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.generic import DetailView

import sockets
import tests
from sockets import RoutedSocketHandler, SocketRouter
from sockets.compat.observable import SocketRouterConsumer
from sockets.exceptions import DeclarationError
from sockets.guards import Guard, require_perms, staff

from . import settings

MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
PUBSUB = {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer"}}
MIDDLEWARE = "django.contrib.auth.middleware.LoginRequiredMiddleware"
SOURCES = Path(sockets.__file__).parent


class Table(View):
    socket = SocketRouter()

    @socket.route("MOVE")
    def on_move(socket, content): ...


def check(*views, id, deploy=False, at="table/<int:table>/", **changed):
    """The messages with this id, of a project whose views are at `at`."""
    patterns = tuple(view if hasattr(view, "pattern") else at_url(view, at) for view in views)
    with override_settings(ROOT_URLCONF=patterns, **changed):
        found = run_checks(tags=["sockets"], include_deployment_checks=deploy)
    return [message for message in found if message.id == f"sockets.{id}"]


def at_url(view_class, at):
    return path(at, view_class.as_view())


def texts(messages):
    assert all(message.hint for message in messages)
    return [message.msg for message in messages]


def test_a_project_in_order_is_silent():
    with override_settings(ROOT_URLCONF=(at_url(Table, "table/"),), CHANNEL_LAYERS=PUBSUB):
        found = run_checks(tags=["sockets"])
    # Views of other tests, which no URL leads to, are in this process too, and their consumers.
    assert {message.id for message in found} <= {"sockets.W001", "sockets.W012"}


def test_a_broken_urlconf_is_left_to_the_checks_of_django():
    with override_settings(ROOT_URLCONF="tests.nowhere"):
        assert run_checks(tags=["sockets"]) == []


def test_every_check_is_in_the_docs_and_tested():
    docs = (SOURCES.parent / "docs" / "checks.md").read_text()
    sources = "".join(file.read_text() for file in SOURCES.glob("*checks.py"))
    ids = re.findall(r'id="sockets\.(\w+)"', sources)
    assert (
        sorted(ids) == sorted(set(ids)) == sorted(re.findall(r"^\| `sockets\.(\w+)`", docs, re.M))
    )
    assert all(f'id="{id}"' in Path(__file__).read_text() for id in ids)


# Views and their sockets


def test_a_handler_that_cannot_be_made():
    class Picky(RoutedSocketHandler):
        def __init_subclass__(cls):
            raise DeclarationError("expected a felt")

    class Broken(View):
        socket = SocketRouter()
        socket._base = Picky

    [message] = check(Broken, id="E001")
    assert "/table/<int:table>/" in message.msg and "expected a felt" in message.msg
    assert message.obj is Broken
    assert not check(Table, id="E001")


def unmounted(*views, **changed):
    return [message.obj for message in check(*views, id="W001", **changed)]


def test_a_router_that_is_never_mounted():
    class Forgotten(View):
        socket = SocketRouter()

    [message] = [each for each in check(Table, id="W001") if each.obj is Forgotten]
    assert "Forgotten is never mounted" in message.msg
    assert Table not in unmounted(Table)


def test_a_base_is_mounted_where_a_subclass_is():
    class Base(View):
        socket = SocketRouter()

    class Sub(Base):
        pass

    assert Base in unmounted(Table)
    assert not {Base, Sub} & set(unmounted(Sub))


def test_a_router_that_others_are_made_of_is_mounted_with_them():
    class Included(View):
        socket = SocketRouter()

    class Base(View):
        socket = SocketRouter()

    class Page(View):
        socket = SocketRouter(handler=Base.socket.Handler)
        socket.include(Included.socket)

    assert not {Included, Base} & set(unmounted(Page))


def test_a_router_mounted_by_hand_is_found_in_the_asgi_module(tmp_path, monkeypatch):
    class MountedByHand(View):
        socket = SocketRouter()

    monkeypatch.setattr(sys.modules[__name__], "MountedByHand", MountedByHand, raising=False)
    (tmp_path / "asgi_by_hand.py").write_text(
        f"from {__name__} import MountedByHand\n"
        "application = MountedByHand.socket.Handler.as_asgi()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "asgi_by_hand", raising=False)
    assert MountedByHand in unmounted(Table)
    assert MountedByHand not in unmounted(Table, ASGI_APPLICATION="asgi_by_hand.application")


def test_without_its_asgi_module_nobody_knows_what_a_project_mounts():
    class Forgotten(View):
        socket = SocketRouter()

    assert Forgotten in unmounted(Table)
    assert unmounted(Table, ASGI_APPLICATION="tests.nowhere.application") == []


def test_a_class_that_its_module_no_longer_has_is_not_missed(monkeypatch):
    class Forgotten(View):
        socket = SocketRouter()

    assert Forgotten in unmounted(Table)
    monkeypatch.setattr(sys.modules[__name__], "Forgotten", View, raising=False)
    assert Forgotten not in unmounted(Table)


def page(*bases, **attributes):
    return type("Page", (*bases, View), {"socket": SocketRouter(**attributes)})


@pytest.mark.parametrize("mixin", [LoginRequiredMixin, UserPassesTestMixin])
def test_a_socket_more_open_than_the_page_of_a_mixin(mixin):
    [message] = check(page(mixin), id="W004")
    assert "Page at /table/<int:table>/ is not for everybody, but its socket is" in message.msg


@pytest.mark.parametrize("decorate", [login_required, permission_required("auth.view_user")])
def test_a_socket_more_open_than_its_decorated_page(decorate):
    view = page()
    assert check(path("table/", decorate(view.as_view())), id="W004")
    assert check(method_decorator(decorate, name="dispatch")(page()), id="W004")


def test_a_socket_more_open_than_all_pages_of_the_middleware():
    assert check(page(), id="W004", MIDDLEWARE=[*settings.MIDDLEWARE, MIDDLEWARE])
    open_page = method_decorator(login_not_required, name="dispatch")(page())
    assert not check(open_page, id="W004", MIDDLEWARE=[*settings.MIDDLEWARE, MIDDLEWARE])


@pytest.mark.parametrize("decided", [True, False])
def test_a_socket_that_says_who_may_come_in_is_believed(decided):
    class Decided(RoutedSocketHandler):
        login_required = decided

    assert not check(page(LoginRequiredMixin, login_required=decided), id="W004")
    assert not check(page(LoginRequiredMixin, handler=Decided), id="W004")


@pytest.mark.parametrize("attributes", [{"permissions": ["auth.view_user"]}, {"guards": [staff]}])
def test_a_socket_with_permissions_or_guards_says_who_may_come_in(attributes):
    assert not check(page(LoginRequiredMixin, **attributes), id="W004")
    assert check(page(LoginRequiredMixin, guards=[], permissions=[]), id="W004")


@pytest.mark.parametrize(
    ("required", "advice"),
    [
        ("auth.view_user", "permissions = ['auth.view_user']"),
        (("auth.view_user", "auth.add_user"), "permissions = ['auth.view_user', 'auth.add_user']"),
    ],
)
def test_a_socket_is_advised_to_ask_for_the_permissions_of_its_page(required, advice):
    view = page(PermissionRequiredMixin)
    view.permission_required = required
    [message] = check(view, id="W004")
    assert f"Set {advice} on the router" in message.hint


def test_an_open_page_may_have_an_open_socket():
    assert not check(page(), id="W004")


# Routes and their functions


def routed(*keys_of_functions, base=RoutedSocketHandler):
    """A view with one function per tuple of keys: on_0, on_1, ..."""
    router = SocketRouter(handler=base)
    for number, keys in enumerate(keys_of_functions):

        def function(socket, content): ...

        function.__qualname__ = f"on_{number}"
        router.route(*keys)(function)
    return type("Page", (View,), {"socket": router})


ACT = re.compile("ACT_.+")


@pytest.mark.parametrize(
    "keys",
    [
        [("MOVE",), ("MOVE",)],
        [("MOVE", "GO"), ("GO",), ("MOVE",)],
        [("ACT_FOLD",), (ACT,)],
        [(ACT,), (ACT,)],
    ],
)
def test_a_route_whose_keys_are_all_hidden(keys):
    [message] = check(routed(*keys), id="W002")
    assert f"{__name__}.on_0 is never called" in message.msg
    assert f"{__name__}.on_1" in message.msg


@pytest.mark.parametrize(
    "keys",
    [
        [("MOVE", "GO"), ("GO",)],
        [(ACT,), ("ACT_FOLD",)],
        [(ACT,), (re.compile("ACT_F.+"),)],
        [("HELLO",), ("PING",)],
        [()],
    ],
)
def test_a_route_with_a_key_left_is_fine(keys):
    assert not check(routed(*keys), id="W002")


def test_a_subclass_may_override_the_routes_of_its_base():
    base = routed(("MOVE",), ("GO",)).socket.Handler
    assert not check(routed(("MOVE",), base=base), id="W002")


def test_a_hidden_route_of_a_base_is_told_once():
    base = routed(("MOVE",), ("MOVE",)).socket.Handler
    views = [at_url(routed(("GO",), base=base), f"{number}/") for number in range(2)]
    assert len(check(*views, id="W002")) == 1


def test_a_regex_that_may_take_exponential_time():
    [message] = check(routed((re.compile(r"(\w+\s?)*$"),)), id="W003")
    assert r"(\w+\s?)*$" in message.msg.replace("\\\\", "\\")
    assert f"{__name__}.on_0" in message.msg
    assert not check(routed((re.compile(r"(\d+,)*$"), "MOVE")), id="W003")


def ruled(*patterns):
    """A view with one function per pattern of groups: may_0, may_1, ..."""
    router = SocketRouter()
    for number, pattern in enumerate(patterns):

        def function(socket): ...

        function.__qualname__ = f"may_{number}"
        router.group(pattern)(function)
    return type("Page", (View,), {"socket": router})


def test_a_rule_whose_groups_another_takes():
    [message] = check(ruled("room-.+", "room-.+", "lobby$"), id="W002")
    assert f"{__name__}.may_0 is never called with 'room-.+'" in message.msg
    assert f"{__name__}.may_1" in message.msg
    assert not check(ruled("room-.+", r"room-\d+"), id="W002")


def test_a_subclass_may_override_the_rules_of_its_base():
    base = ruled("room-.+").socket.Handler

    class Page(View):
        socket = SocketRouter(handler=base)

        @socket.group("room-.+")
        def may_enter(socket): ...

    assert not check(Page, id="W002")


def test_a_rule_that_may_take_exponential_time():
    [message] = check(ruled("room-1", r"(\w+\s?)*$"), id="W003")
    assert f"{__name__}.may_1" in message.msg


def test_a_rule_is_a_function_of_the_socket_too():
    class Page(View):
        socket = SocketRouter()

        @socket.group("room-.+")
        def get(socket, content, chair): ...

    assert "Page.get is a function of the socket" in check(Page, id="E002")[0].msg
    assert "Page.get takes 'chair' from the URL" in check(Page, id="E003")[0].msg


def test_a_routed_function_in_the_place_of_a_http_method():
    class Page(View):
        socket = SocketRouter()

        @socket.route("GET")
        def get(socket, content): ...

    [message] = check(Page, id="E002")
    assert "Page.get is a function of the socket" in message.msg
    assert "on_get" in message.hint


def test_a_hook_in_the_place_of_a_method_of_the_view():
    class Page(DetailView):
        socket = SocketRouter()

        @socket.connect
        @staticmethod
        def setup(socket): ...

        @socket.default_route
        def get_object(socket, content): ...

    first, second = texts(check(Page, id="E002"))
    assert "Page.get_object is a function of the socket" in first
    assert "Page.setup is a function of the socket" in second


def test_other_names_are_free():
    class Base(View):
        socket = SocketRouter()

        @socket.route("GET")
        def fetch(socket, content): ...

        def get(self, request): ...

    class Sub(Base):
        socket = SocketRouter(handler=Base.socket.Handler)

        @socket.route("GET")
        def fetch(socket, content): ...

    assert not check(Base, id="E002")
    assert not check(Sub, id="E002")


def test_a_url_argument_that_no_path_has():
    class Page(View):
        socket = SocketRouter()

        @socket.route("MOVE")
        def on_move(socket, content, chair): ...

        @socket.connect
        def on_open(socket, lamp): ...

        @socket.disconnect
        def on_close(socket, code, rug): ...

        @socket.default_route
        def default_route(socket, content, door): ...

    found = texts(check(Page, id="E003", at="room/<int:room>/"))
    assert len(found) == 4
    for function, name in {
        "on_move": "chair",
        "on_open": "lamp",
        "on_close": "rug",
        "default_route": "door",
    }.items():
        [text] = [text for text in found if f"Page.{function} takes {name!r}" in text]
        assert "/room/<int:room>/" in text


def test_a_url_argument_of_a_guard_or_a_stage_that_no_path_has():
    def on_move(socket, content): ...
    def is_seated(socket, content, chair): ...
    def is_lit(socket, content, lamp): ...
    def load(socket, content, rug, table): ...

    router = SocketRouter(guards=[Guard(is_seated)])
    router.route("MOVE", guards=[~Guard(is_lit)], hydrate=load)(on_move)
    found = texts(check(type("Page", (View,), {"socket": router}), id="E003"))
    assert len(found) == 3
    for name in ("chair", "lamp", "rug"):
        assert any(f"takes {name!r}" in text for text in found)


def test_the_first_argument_of_a_handlers_guard_is_of_the_url_too():
    router = SocketRouter(guards=[lambda socket, room: True, lambda socket, content, hall=None: 1])
    page = type("Page", (View,), {"socket": router})
    [text] = texts(check(page, id="E003"))
    assert "takes 'room' from the URL" in text
    assert not check(page, id="E003", at="rooms/<int:room>/")


def test_arguments_that_something_fills():
    class Page(View):
        socket = SocketRouter()

        @socket.route(re.compile("MOVE_(?P<move>.+)"))
        def on_move(socket, bet, move, table, user, chair=None, *, amount: int): ...

        @socket.connect
        def on_open(socket, table, user): ...

        @socket.disconnect
        def on_close(socket, code, table): ...

    assert not check(Page, id="E003")


def test_a_name_of_its_own_that_no_content_fits_is_of_the_url():
    class Page(View):
        socket = SocketRouter()

        @socket.route("MOVE")
        def on_move(socket, table: int): ...

        @socket.route("BET")
        def on_bet(socket, bet: dict[str, str]): ...

    [text] = texts(check(Page, id="E003", at="room/"))
    assert "Page.on_move takes 'table' from the URL" in text
    assert not check(Page, id="E003", at="table/<int:table>/")


def test_content_with_a_name_of_its_own_stands_first():
    class Page(View):
        socket = SocketRouter()

        @socket.route("BET")
        def on_bet(socket, user, bet: dict[str, str]): ...

    [message] = check(Page, id="E003")
    assert "put it first after the handler" in message.hint


def test_one_path_with_the_argument_is_enough():
    class Page(View):
        socket = SocketRouter()

        @socket.connect
        def on_open(socket, table): ...

    paths = [at_url(Page, "table/"), at_url(Page, "table/<int:table>/")]
    assert not check(*paths, id="E003")
    assert check(paths[0], id="E003")


def test_a_permission_that_is_misspelt():
    socket = SocketRouter(permissions=["auth.veiw_user"])
    socket.route("ADD", permissions=["auth.add_group", "auth.adds_group"])(lambda socket: None)

    @require_perms("sockets.veiw_socket")
    def may_join(socket): ...

    socket.group("room$")(may_join)
    found = check(type("Page", (View,), {"socket": socket}), id="W011")
    assert [message.msg.split("'")[1] for message in found] == [
        "auth.veiw_user",
        "auth.adds_group",
        "sockets.veiw_socket",
    ]
    assert "Page.socket.Handler asks for the permission" in found[0].msg
    assert "Did you mean 'auth.view_user'?" in found[0].hint


@pytest.mark.parametrize("name", ["auth.view_user", "billing.refund", "desk.open"])
def test_a_permission_that_a_model_or_a_backend_may_have(name):
    assert not check(page(permissions=[name]), id="W011")


# Consumers of other systems


class Unfinished(SocketRouterConsumer):
    routes = ({"route": "getArticle", "hydrate": str}, {"route": "sayHello"})

    def on_say_hello(self): ...


def unfinished(*views, **changed):
    return {message.obj: message for message in check(*views, id="W012", **changed)}


def test_a_route_of_a_consumer_without_its_method():
    message = unfinished()[Unfinished]
    assert "Unfinished has the route 'getArticle' but no method 'on_get_article'" in message.msg
    assert message.hint


def test_a_consumer_whose_subclass_has_the_method():
    class Finished(Unfinished):
        def on_get_article(self): ...

    assert Unfinished in unfinished()
    assert Finished not in unfinished()


def test_consumers_are_imported_with_the_application_where_no_view_has_a_socket(
    tmp_path, monkeypatch
):
    (tmp_path / "consumers_by_hand.py").write_text(
        "from sockets.compat.observable import SocketRouterConsumer\n"
        "class Articles(SocketRouterConsumer):\n"
        "    routes = [{'route': 'getArticle'}]\n"
        "application = Articles.as_asgi()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    application = "consumers_by_hand.application"
    assert "consumers_by_hand" not in sys.modules
    assert "Articles" in {found.__name__ for found in unfinished(ASGI_APPLICATION=application)}
    del sys.modules["consumers_by_hand"]


# The project around them


@pytest.mark.parametrize("name", ["auth", "contenttypes", "sessions"])
def test_an_app_that_sockets_need(name):
    others = [app for app in settings.INSTALLED_APPS if app != f"django.contrib.{name}"]
    [text] = texts(check(Table, id="E004", INSTALLED_APPS=others))
    assert f"'django.contrib.{name}'" in text
    assert not check(id="E004", INSTALLED_APPS=others)
    assert not check(Table, id="E004")


def test_django_refuses_a_second_app_with_our_label():
    class ShopSockets(AppConfig):
        name, path = "shop.sockets", "shop/sockets"

    with pytest.raises(ImproperlyConfigured, match="labels aren't unique, duplicates: sockets"):
        Apps([AppConfig.create("sockets"), ShopSockets("shop.sockets", tests)])
    ShopSockets.label = "shop_sockets"
    Apps([ShopSockets("shop.sockets", tests)])


DAPHNE = ["daphne", *settings.INSTALLED_APPS]
STATICFILES = "django.contrib.staticfiles"


def test_a_development_server_that_serves_no_websockets():
    [message] = check(Table, id="W005", DEBUG=True)
    assert "runserver" in message.msg and "daphne" in message.hint
    assert not check(Table, id="W005", DEBUG=True, INSTALLED_APPS=DAPHNE)
    assert not check(Table, id="W005", DEBUG=False)
    assert not check(id="W005", DEBUG=True)


def test_where_daphne_stands_is_left_to_its_own_check():
    late = [STATICFILES, *settings.INSTALLED_APPS, "daphne"]
    assert not check(Table, id="W005", DEBUG=True, INSTALLED_APPS=late)


def test_daphne_without_an_application():
    assert check(Table, id="E005", INSTALLED_APPS=DAPHNE)
    application = "demo.asgi.application"
    assert not check(Table, id="E005", INSTALLED_APPS=DAPHNE, ASGI_APPLICATION=application)
    assert not check(Table, id="E005")


def test_daphne_in_production():
    assert check(id="W009", INSTALLED_APPS=DAPHNE, deploy=True)
    assert not check(id="W009", INSTALLED_APPS=DAPHNE)
    assert not check(id="W009", INSTALLED_APPS=DAPHNE, deploy=True, DEBUG=True)
    assert not check(id="W009", deploy=True)


def layered(**attributes):
    return type("Page", (View,), {"socket": SocketRouter(**attributes)})


@pytest.mark.parametrize("attributes", [{"uses_channel_layer": True}, {"groups": ["news"]}])
def test_a_channel_layer_that_is_not_set(attributes):
    view = layered(**attributes)
    [message] = check(view, id="E006", CHANNEL_LAYERS={})
    assert "'default'" in message.msg and message.obj is view.socket.Handler
    assert check(layered(channel_layer_alias="far", **attributes), id="E006", CHANNEL_LAYERS=MEMORY)
    assert not check(view, id="E006", CHANNEL_LAYERS=MEMORY)
    assert not check(Table, id="E006", CHANNEL_LAYERS={})


def test_a_channel_layer_in_memory():
    view = layered(uses_channel_layer=True)
    [text] = texts(check(view, id="W006", CHANNEL_LAYERS=MEMORY))
    assert "'default' is in memory" in text
    assert not check(view, id="W006", CHANNEL_LAYERS=MEMORY, DEBUG=True)
    assert not check(Table, id="W006", CHANNEL_LAYERS=MEMORY)
    assert not check(view, id="W006", CHANNEL_LAYERS=PUBSUB)


@pytest.mark.parametrize(
    ("layers", "broker", "found"),
    [
        ({}, {}, "'default' is not set"),
        (MEMORY, {}, "'default' is in memory"),
        ({"far": MEMORY["default"]}, {"BROKER": "far"}, "'far' is in memory"),
    ],
)
def test_broadcasts_that_stay_in_their_process(layers, broker, found):
    changed = {"CHANNEL_LAYERS": layers, "SOCKETS": broker}
    [message] = check(Table, id="W010", **changed)
    assert "Broadcasts and logouts do not reach" in message.msg and found in message.msg
    assert "channels_redis" in message.hint and '"BROKER": "local"' in message.hint
    assert not check(Table, id="W010", **changed, DEBUG=True)
    assert not check(id="W010", **changed)


@pytest.mark.parametrize("layers", [{}, MEMORY, PUBSUB])
def test_a_project_that_says_it_has_one_process_is_believed(layers):
    assert not check(Table, id="W010", CHANNEL_LAYERS=layers, SOCKETS={"BROKER": "local"})


def test_broadcasts_that_leave_their_process():
    assert not check(Table, id="W010", CHANNEL_LAYERS=PUBSUB)
    far = {"far": PUBSUB["default"], **MEMORY}
    assert not check(Table, id="W010", CHANNEL_LAYERS=far, SOCKETS={"BROKER": "far"})


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"SOCKETS": {"BROKER": "far"}}, "'far', which is neither in CHANNEL_LAYERS nor a class"),
        ({"SOCKETS": {"BROKER": 1}}, "expected SOCKETS['BROKER'] to be a text"),
        ({"SOCKETS": {"BROCKER": "far"}}, "SOCKETS has no setting 'BROCKER'"),
        ({"SOCKETS": {"LANES": 0}}, "expected SOCKETS['LANES'] to be a whole number"),
        ({"CHANNEL_LAYERS": {"default": {"BACKEND": "tests.nowhere.Layer"}}}, "Cannot import"),
    ],
)
def test_settings_with_which_no_client_can_connect(changed, found):
    [message] = check(Table, id="E007", **changed)
    assert found in message.msg and "no client can connect" in message.hint
    assert check(id="E007", **changed)
    assert not check(Table, id="E007")


@pytest.fixture
def redis(tmp_path, monkeypatch):
    """Only this release of redis-py is installed; with None, none is."""

    def install(version):
        folder = tmp_path / f"redis-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: redis\nVersion: {version}")

    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return install


def redis_layer(hosts=None, backend="core.RedisChannelLayer"):
    config = {} if hosts is None else {"CONFIG": {"hosts": hosts}}
    return {"default": {"BACKEND": f"channels_redis.{backend}", **config}}


ADDRESS = "redis://localhost:6379"
LAYERED = layered(uses_channel_layer=True)


@pytest.mark.parametrize(
    "hosts",
    [
        None,
        [ADDRESS],
        [("localhost", 6379)],
        [{"address": ADDRESS}],
        [{"address": ADDRESS, "socket_timeout": 5}],
        [{"address": ADDRESS, "socket_timeout": None}, ADDRESS],
    ],
)
def test_a_redis_layer_that_fails_when_idle(redis, hosts):
    redis("8.1.0")
    [message] = check(LAYERED, id="W007", CHANNEL_LAYERS=redis_layer(hosts))
    assert "redis-py 8" in message.msg and '"socket_timeout": None' in message.hint


@pytest.mark.parametrize(
    "host",
    [
        {"address": ADDRESS, "socket_timeout": None},
        {"address": ADDRESS, "socket_timeout": 30},
        f"{ADDRESS}?socket_timeout=30",
    ],
)
def test_a_redis_layer_that_waits_longer(redis, host):
    redis("8.1.0")
    assert not check(LAYERED, id="W007", CHANNEL_LAYERS=redis_layer([host]))


def test_the_layer_that_carries_broadcasts_is_never_idle(redis):
    redis("8.1.0")
    assert not check(Table, id="W007", CHANNEL_LAYERS=redis_layer())
    layers = {"near": redis_layer()["default"], **PUBSUB}
    assert not check(LAYERED, id="W007", CHANNEL_LAYERS=layers)


def test_the_pubsub_layer_waits_in_another_way(redis):
    redis("8.1.0")
    layers = redis_layer([ADDRESS], backend="pubsub.RedisPubSubChannelLayer")
    assert not check(LAYERED, id="W007", CHANNEL_LAYERS=layers)


def test_earlier_releases_of_redis_wait_for_ever(redis):
    assert not check(LAYERED, id="W007", CHANNEL_LAYERS=redis_layer())
    redis("7.4.0")
    assert not check(LAYERED, id="W007", CHANNEL_LAYERS=redis_layer())


def test_pages_of_every_site_may_open_sockets():
    assert check(Table, id="W008", ALLOWED_HOSTS=["*"])
    assert not check(Table, id="W008", ALLOWED_HOSTS=["*"], DEBUG=True)
    assert not check(Table, id="W008", ALLOWED_HOSTS=[".example.com"])
    assert not check(id="W008", ALLOWED_HOSTS=["*"])


def test_a_server_starts_without_the_modules_of_the_checks():
    code = (
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'\n"
        "import sys, django; django.setup(); loaded = {*sys.modules}\n"
        "from django.core.checks import run_checks; run_checks(tags=['sockets'])\n"
        "assert 'sockets.checks' not in loaded, 'loaded at the start'\n"
        "assert 'sockets.checks' in sys.modules, 'the checks were not run'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SOURCES.parent, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
