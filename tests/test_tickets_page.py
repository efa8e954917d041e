"""docs/tickets.md is followed: its project is served, its page and its app pour a drink."""

import http.server
import json
import re
import sys
import threading
from contextlib import contextmanager
from types import ModuleType

import pytest
from channels.routing import URLRouter
from django.contrib.auth.models import User
from django.core.management import call_command
from django.urls import path
from websockets.exceptions import InvalidStatus

from sockets.tokens import get_websocket_token

from .browsers import chromium
from .clients import Client
from .servers import ROOT, free_port, run, serving

PAGE = (ROOT / "docs" / "tickets.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SOURCES = {block.partition("\n")[0][2:]: block for kind, block in BLOCKS if kind == "python"}
[SCRIPT] = [block for kind, block in BLOCKS if kind == "js"]
[RECEIVED] = [block for kind, block in BLOCKS if kind == "text"]

SETTINGS = """
INSTALLED_APPS = [*INSTALLED_APPS, "sockets", "kitchen"]
ALLOWED_HOSTS = ["127.0.0.1"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""
ANN = """
from django.contrib.auth.models import User
User.objects.create_user("ann", password="secret")
"""


def here(block, server, elsewhere):
    """A block with the addresses of the servers of this test."""
    block = re.sub(r"(http|ws)s://cafe\.example\.com", rf"\1://127.0.0.1:{server}", block)
    return block.replace("https://app.example.com", f"http://localhost:{elsewhere}")


@pytest.fixture(scope="module")
def elsewhere():
    """The port of another site, with an empty page."""

    class Empty(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Empty) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield site.server_port
        site.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory, elsewhere):
    """The page's project, with ann in it."""
    folder, port = tmp_path_factory.mktemp("cafe"), free_port()
    call_command("startproject", "cafe", folder)
    (folder / "kitchen").mkdir()
    call_command("startapp", "kitchen", folder / "kitchen")
    for name, block in SOURCES.items():
        (folder / name).write_text(here(block, port, elsewhere))
    settings = folder / "cafe" / "settings.py"
    settings.write_text(settings.read_text() + SETTINGS)
    run("manage.py", "migrate", "--verbosity=0", cwd=folder)
    run("manage.py", "shell", "-v0", "-c", ANN, cwd=folder)
    log = folder / "server.log"
    with serving("uvicorn", "cafe.asgi:application", log, cwd=folder, port=port) as server:
        yield server
        assert server.faults() == []


@pytest.fixture
async def token(server):
    body = json.dumps({"username": "ann", "password": "secret"})
    status, _, text = server._request("POST", "/ticket/for-password/", body)
    assert status == 200, text
    return json.loads(text)["token"]


def frames(text):
    return [json.loads(line) for line in text.splitlines()]


@contextmanager
def refused():
    with pytest.raises(InvalidStatus) as caught:
        yield
    assert caught.value.response.status_code == 403


async def test_a_page_on_another_site_opens_a_socket(server, elsewhere):
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto(f"http://localhost:{elsewhere}/")
        script = here(SCRIPT, server.port, elsewhere).replace("console.log(data)", "told(data)")
        told = await page.evaluate(
            f"""() => new Promise(async (told, fail) => {{
                try {{ {script}; socket.onerror = fail }} catch (fault) {{ fail(fault) }}
            }})"""
        )
    assert json.loads(told) == {**frames(RECEIVED)[1], "ref": 1}


async def test_a_page_of_no_site_that_is_listed_does_not(server, token):
    with refused():
        async with server.client("/bar/", origin="https://evil.example", subprotocols=[token]):
            pass


async def test_a_native_app_opens_one(server, elsewhere, token):
    app = ModuleType("app")
    exec(here(SOURCES["app.py"], server.port, elsewhere), vars(app))
    assert await app.pour(token, "tea") == frames(RECEIVED)


@pytest.mark.parametrize(
    ("url", "subprotocols"),
    [("/bar/", ["sockets.json", None]), ("/bar/?token={}", None), ("/bar/{}/", None)],
)
async def test_a_token_may_be_anywhere_in_the_handshake(server, token, url, subprotocols):
    offered = subprotocols and [name or token for name in subprotocols]
    async with server.client(url.format(token), subprotocols=offered) as client:
        assert (await client.ask("POUR", drink="tea"))["data"] == "One tea for ann."
        assert client.connection.subprotocol == ("sockets.json" if offered else None)
    async with server.client(url.format(token), subprotocols=offered) as client:
        assert (await client.tell("POUR", drink="tea"))["type"] == "RECONNECT"
        assert await client.close_code() == 4401


async def test_who_is_not_logged_in_gets_no_token_by_the_session(server):
    status, headers, _ = await server.get("/ticket/")
    assert (status, headers["Location"]) == (302, "/accounts/login/?next=/ticket/")


def test_the_shown_token_has_the_form_of_one():
    shown = re.search(r"^    (\S+) \. (\d+) \. 43 letters", PAGE, re.MULTILINE)
    assert len(shown[1]) == 32 and len(shown[2]) == 10


# By hand


@pytest.fixture
def kitchen(monkeypatch):
    """The modules of the page that others import."""
    for name in ("kitchen", "kitchen.bar"):
        module = ModuleType(name)
        exec(SOURCES.get(f"{name.replace('.', '/')}.py", ""), vars(module))
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def anns_token(transactional_db):
    return get_websocket_token(User.objects.create(username="ann"))


@pytest.mark.usefixtures("closing_connections")
async def test_the_middleware_stands_around_any_router(kitchen, anns_token):
    made = ModuleType("by_hand")
    exec(SOURCES["by_hand.py"], vars(made))
    client = Client(made.websocket, f"/bar/{anns_token}/")
    assert (await client.connect())[0]
    answer = await client.ask({"type": "POUR", "ref": 1, "drink": "tea"})
    assert answer["data"] == "One tea for ann."
    await client.disconnect()


@pytest.mark.usefixtures("closing_connections")
async def test_a_consumer_asks_itself(anns_token):
    made = ModuleType("consumers")
    exec(SOURCES["consumers.py"], vars(made))
    routed = URLRouter([path("<str:token>/", made.Till.as_asgi())])
    client = Client(routed, f"/{anns_token}/")
    assert (await client.connect())[0]
    assert await client.receive_json_from() == {"user": "ann"}
    await client.disconnect()
    for token in (anns_token, "null"):
        client = Client(routed, f"/{token}/")
        assert (await client.connect())[0] is False
