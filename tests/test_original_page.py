"""docs/coming-from-the-original.md: its project is used, and what it says is so."""

import json
import re

import pytest
from django.contrib.auth.models import AnonymousUser, User

from sockets import RoutedSocketHandler, SocketRouter
from sockets.compat.original import OriginalSocketHandler
from sockets.exceptions import DeclarationError
from sockets.models import Socket

from .clients import client_of
from .pages import package_of
from .servers import ROOT

PAGE = (ROOT / "docs" / "coming-from-the-original.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SOURCES = {block.partition("\n")[0][2:]: block for kind, block in BLOCKS if kind == "python"}
[EXCHANGE] = [block for kind, block in BLOCKS if kind == "text"]
PASSING = ("TIMESTAMP", "session_id", "last_ping")


@pytest.fixture
def table(tmp_path, monkeypatch):
    """The page's package."""
    with package_of(SOURCES, tmp_path, monkeypatch) as modules:
        yield modules


async def test_the_shown_exchange_is_what_happens(table, settings):
    settings.DEBUG = False
    ann = User(pk=1, username="ann")
    async with client_of(table("views").Table.socket, "/table/", user=ann) as client:
        for line in EXCHANGE.splitlines():
            shown = json.loads(line[2:])
            if line[0] == ">":
                await client.send_json_to(shown)
                continue
            frame = await client.receive_json_from()
            assert frame.keys() == shown.keys()
            assert frame | {name: shown[name] for name in PASSING if name in shown} == shown
        assert await client.receive_nothing()


async def test_who_leaves_is_told_to_the_others(table):
    handler = table("views").Table.socket
    async with client_of(handler) as staying:
        assert (await staying.receive_json_from())["type"] == "SEATS"
        async with client_of(handler) as leaving:
            await leaving.receive_json_from()
        left = await staying.receive_json_from()
        assert (left["type"], left["code"]) == ("LEFT", 1000)


def test_the_changed_imports_work():
    for kind, block in BLOCKS:
        if kind == "diff":
            exec(re.search(r"^\+(.*)$", block, re.MULTILINE)[1], {})


@pytest.mark.parametrize("base", [RoutedSocketHandler, OriginalSocketHandler])
async def test_a_visitor_is_a_user_too(base):
    class Handler(base):
        routes = (("WHO", "on_who"),)

        async def on_who(self):
            return [bool(self.user), self.user.is_authenticated]

    async with client_of(Handler, user=AnonymousUser()) as client:
        assert (await client.ask({"type": "WHO", "ref": 1}))["data"] == [True, False]


async def test_what_send_action_returns_is_no_answer():
    class Handler(OriginalSocketHandler):
        routes = (("SEND", "on_send"), ("RETURN", "on_return"))

        def on_send(self, content):
            return self.send_action("SENT")

        def on_return(self, content):
            return {"a": 1}

    async with client_of(Handler) as client:
        assert (await client.ask({"type": "SEND"}))["type"] == "SENT"
        assert (await client.ask({"type": "RETURN"}))["data"] == {"a": 1}


def test_what_nobody_knows_is_not_set_on_the_handler():
    router = SocketRouter(handler=OriginalSocketHandler)
    with pytest.raises(AttributeError, match="did you mean 'connect'"):
        _ = router.conect
    with pytest.raises(DeclarationError, match="has no attribute 'http_user'"):
        router.http_user = True


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("closing_connections")
async def test_the_old_name_of_the_row_works():
    rows = []

    class Handler(OriginalSocketHandler):
        def connect(self):
            rows.append(self.socket)

    async with client_of(Handler):
        assert rows == [await Socket.objects.aget()]
        assert rows[0].path == "/"


def test_its_links_lead_somewhere():
    for file, _, heading in re.findall(r"\]\((?!https?:)([^)#]+)(#([^)]+))?\)", PAGE):
        text = (ROOT / "docs" / file).read_text()
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        assert not heading or heading in [found.lower().replace(" ", "-") for found in headings]
