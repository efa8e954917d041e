"""Mounting handlers at their views' own URLs."""

import pytest
from channels.routing import URLRouter
from django.conf.urls.i18n import i18n_patterns
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client as Browser
from django.urls import include, path, re_path
from django.utils.translation import get_language
from django.views import View

from sockets import RoutedSocketHandler, SocketRouter
from sockets.asgi import get_asgi_application, socket_urlpatterns
from sockets.exceptions import DeclarationError
from sockets.tokens import get_websocket_token

from .clients import Client

ORIGIN = [(b"host", b"testserver"), (b"origin", b"http://testserver")]


class Table(View):
    colour = "green"
    socket = SocketRouter()

    def get(self, request, **kwargs):
        return HttpResponse("a table")

    @socket.route("WHERE")
    def on_where(socket, table):
        return [table, socket.kwargs, socket.view.colour]

    @socket.route("WHO")
    def on_who(socket, user):
        return str(user)


class Chair(Table):
    pass


class Named(View):
    live = SocketRouter()
    live.route("HERE")(lambda socket: "here")


def function_view(request):
    return HttpResponse("a function")


class Speech(View):
    socket = SocketRouter()

    @socket.route("LANGUAGE")
    def on_language(socket):
        return get_language()


class Bare(RoutedSocketHandler):
    routes = (("WHERE", lambda socket: ["bare", socket.kwargs, socket.path]),)


urlpatterns = [
    path("table/<int:table>/", Table.as_view(colour="blue")),
    path("deep/", include(([path("<slug:table>/", Chair.as_view())], "deep"))),
    re_path(r"^private/(?P<table>\d+)/$", login_required(Table.as_view())),
    path("named/", Named.as_view()),
    path("bench/<int:table>", Table.as_view()),
    path("plain/", View.as_view()),
    path("function/", function_view),
    *i18n_patterns(path("speech/", Speech.as_view())),
    path("bench/<path:rest>", function_view),
]
pytestmark = pytest.mark.urls(__name__)


async def connected(url, headers=ORIGIN, application=None, **scope):
    client = Client(application or get_asgi_application(), url, headers=headers)
    client.scope.update(scope)
    accepted, _ = await client.connect()
    return client if accepted else None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("/table/7/", [7, {"table": 7}, "blue"]),
        ("/deep/oak/", ["oak", {"table": "oak"}, "green"]),
        ("/private/3/", ["3", {"table": "3"}, "green"]),
    ],
)
async def test_a_socket_is_wherever_its_page_is(url, told):
    client = await connected(url)
    assert (await client.ask({"type": "WHERE", "ref": 1}))["data"] == told
    await client.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_the_router_may_have_any_name():
    client = await connected("/named/")
    assert (await client.ask({"type": "HERE", "ref": 1}))["data"] == "here"
    await client.disconnect()


@pytest.mark.parametrize("url", ["/bench/7", "/bench/7/"])
@pytest.mark.django_db(transaction=True)
async def test_a_page_without_a_slash_at_its_end_has_its_socket_with_one_too(url):
    client = await connected(url)
    assert (await client.ask({"type": "WHERE", "ref": 1}))["data"][0] == 7
    await client.disconnect()


@pytest.mark.parametrize(
    "url", ["/nowhere/", "/table/7", "/bench/7//", "/", "/plain/", "/function/", "/table/x/"]
)
@pytest.mark.django_db(transaction=True)
async def test_a_path_without_a_socket_is_refused_without_a_traceback(url, caplog):
    assert await connected(url) is None
    assert not caplog.records


@pytest.mark.parametrize("origin", [b"http://evil.example", b"http://testserver.evil.example"])
async def test_a_foreign_origin_is_refused(origin):
    headers = [(b"host", b"testserver"), (b"origin", origin)]
    assert await connected("/table/7/", headers) is None


@pytest.mark.django_db(transaction=True)
async def test_another_origin_may_be_let_in(settings):
    application = get_asgi_application(origins=["https://app.example"])
    for origin, is_let_in in (
        ("https://app.example", True),
        ("http://testserver", True),
        ("http://app.example", False),
        ("https://evil.example", False),
    ):
        headers = [(b"host", b"testserver"), (b"origin", origin.encode())]
        client = await connected("/table/7/", headers, application)
        assert (client is not None) is is_let_in, origin
        if client is not None:
            await client.disconnect()


def test_origins_are_a_list():
    with pytest.raises(DeclarationError, match=r"write \['https://app.example'\]"):
        get_asgi_application(origins="https://app.example")


@pytest.fixture
def anns_cookie(transactional_db):
    browser = Browser()
    browser.force_login(User.objects.create(username="ann"))
    return (b"cookie", b"sessionid=" + browser.cookies["sessionid"].value.encode())


async def test_the_user_is_the_one_of_the_page(anns_cookie):
    client = await connected("/table/7/", [*ORIGIN, anns_cookie])
    assert (await client.ask({"type": "WHO", "ref": 1}))["data"] == "ann"
    await client.disconnect()


@pytest.fixture
def anns_tokens(transactional_db):
    ann = User.objects.create(username="ann")
    return [get_websocket_token(ann) for _ in range(3)]


async def test_with_tickets_a_token_logs_in_everywhere(anns_tokens):
    application = get_asgi_application([path("bare/<str:token>/", Bare.as_asgi())], tickets=True)
    for url in (f"/table/7/?token={anns_tokens[0]}", f"/deep/{anns_tokens[1]}/"):
        client = await connected(url, application=application)
        assert (await client.ask({"type": "WHO", "ref": 1}))["data"] == "ann"
        await client.disconnect()
    client = await connected(f"/bare/{anns_tokens[2]}/", application=application)
    told = (await client.ask({"type": "WHERE", "ref": 1}))["data"]
    assert told == ["bare", {"token": "ticket"}, "/bare/ticket/"]
    await client.disconnect()


async def test_without_tickets_it_does_not(anns_tokens):
    client = await connected(f"/table/7/?token={anns_tokens[0]}")
    assert (await client.ask({"type": "WHO", "ref": 1}))["data"] == "AnonymousUser"
    await client.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_a_client_that_is_no_browser_sends_no_origin():
    client = await connected("/table/7/", headers=[(b"host", b"testserver")])
    assert (await client.ask({"type": "WHERE", "ref": 1}))["data"][0] == 7
    await client.disconnect()


async def test_the_lifespan_of_the_server_is_answered():
    client = Client(get_asgi_application(), "/")
    client.scope["type"] = "lifespan"
    for step in ("lifespan.startup", "lifespan.shutdown"):
        await client.send_input({"type": step})
        assert await client.receive_output() == {"type": f"{step}.complete"}
    await client.wait()


async def test_http_goes_to_django():
    client = Client(get_asgi_application(), "/table/7/")
    client.scope.update(type="http", method="GET", root_path="")
    await client.send_input({"type": "http.request", "body": b""})
    assert (await client.receive_output())["status"] == 200
    assert (await client.receive_output())["body"] == b"a table"
    await client.wait()


@pytest.mark.django_db(transaction=True)
async def test_consumers_without_a_view_are_mounted_beside():
    application = get_asgi_application(
        websocket_urlpatterns=[path("bare/<int:pk>/", Bare.as_asgi())]
    )
    client = await connected("/bare/3/", application=application)
    told = (await client.ask({"type": "WHERE", "ref": 1}))["data"]
    assert told == ["bare", {"pk": 3}, "/bare/3/"]
    await client.disconnect()
    client = await connected("/table/7/", application=application)
    assert (await client.ask({"type": "WHERE", "ref": 1}))["data"][0] == 7
    await client.disconnect()
    assert await connected("/nowhere/", application=application) is None


async def test_socket_urlpatterns_in_a_router_of_ones_own():
    application = URLRouter([path("bare/", Bare.as_asgi()), *socket_urlpatterns()])
    for url, told in (("/bare/", "bare"), ("/table/7/", 7)):
        client = await connected(url, application=application)
        assert (await client.ask({"type": "WHERE", "ref": 1}))["data"][0] == told
        await client.disconnect()
    assert await connected("/nowhere/", application=application) is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("url", ["/app/table/7/", "/table/7/"])
async def test_below_a_root_path(url):
    application = get_asgi_application([path("bare/", Bare.as_asgi())])
    client = await connected(url, application=application, root_path="/app")
    assert (await client.ask({"type": "WHERE", "ref": 1}))["data"][0] == 7
    await client.disconnect()
    assert await connected("/app/nowhere/", root_path="/app") is None


@pytest.mark.django_db(transaction=True)
async def test_a_path_that_only_begins_like_the_root_path_is_not_below_it():
    client = await connected("/table/7/", root_path="/tab")
    assert (await client.ask({"type": "WHERE", "ref": 1}))["data"][0] == 7
    await client.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_below_a_script_name_of_the_settings(settings):
    settings.FORCE_SCRIPT_NAME = "/app/"
    client = await connected("/app/table/7/")
    assert (await client.ask({"type": "WHERE", "ref": 1}))["data"][0] == 7
    await client.disconnect()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("language", ["de", "fr"])
async def test_a_language_prefix_is_the_language_of_the_handlers(language):
    client = await connected(f"/{language}/speech/")
    assert (await client.ask({"type": "LANGUAGE", "ref": 1}))["data"] == language
    await client.disconnect()
    assert await connected("/xx/speech/") is None


@pytest.mark.django_db(transaction=True)
async def test_a_path_that_only_looks_like_a_language_is_none(settings):
    settings.ROOT_URLCONF = (path("de/speech/", Speech.as_view()),)
    client = await connected("/de/speech/")
    assert (await client.ask({"type": "LANGUAGE", "ref": 1}))["data"] == "en-us"
    await client.disconnect()
