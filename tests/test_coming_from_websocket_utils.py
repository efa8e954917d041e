"""docs/coming-from-websocket-utils.md is followed, and its project is served."""

import asyncio
import json
import re
import subprocess

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from websockets.exceptions import InvalidStatus

from sockets.tokens import MAX_AGE

from .node import FOLDER, find_node
from .servers import ROOT, run, serving

PAGE = (ROOT / "docs" / "coming-from-websocket-utils.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
NAME = re.compile(r"(?:# |<!-- )(\S+)")
SOURCES = {NAME.match(block)[1]: block for kind, block in BLOCKS if kind in ("python", "html")}
OLD, NEW = (block.splitlines() for kind, block in BLOCKS if kind == "text")

SCRIPT = "sockets/static/websocket_utils/WebSocketManager.js"

SETTINGS = """
INSTALLED_APPS = ["daphne", *INSTALLED_APPS, "sockets", "kitchen"]
ASGI_APPLICATION = "cafe.asgi.application"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
LOGIN_URL = "login"
SOCKETS = {"BROKER": "local"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""
USERS = """
from django.contrib.auth.models import User
from django.test import Client
for name in ("ann", "bob"):
    client = Client()
    client.force_login(User.objects.create_user(name))
    open(name, "w").write(client.cookies["sessionid"].value)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The folder of the page's project, and the cookies with which ann and bob are logged in."""
    folder = tmp_path_factory.mktemp("cafe")
    call_command("startproject", "cafe", folder)
    (folder / "kitchen").mkdir()
    call_command("startapp", "kitchen", folder / "kitchen")
    (folder / "kitchen" / "templates" / "kitchen").mkdir(parents=True)
    for name, block in SOURCES.items():
        (folder / name).write_text(block)
    settings = folder / "cafe" / "settings.py"
    settings.write_text(settings.read_text() + SETTINGS)
    run("manage.py", "migrate", "--verbosity=0", cwd=folder)
    run("manage.py", "check", "--fail-level=WARNING", cwd=folder)
    run("manage.py", "shell", "-v0", "-c", USERS, cwd=folder)
    return folder, {name: f"sessionid={(folder / name).read_text()}" for name in ("ann", "bob")}


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(request, project):
    folder, cookies = project
    log = folder / f"{request.param}.log"
    with serving(request.param, "cafe.asgi:application", log, cwd=folder) as server:
        server.cookies = cookies
        yield server
        expected = "KeyError: 'dish'"  # what the page has a method fail with
        assert server.log.count("Traceback") == server.log.count(expected)
        assert "Exception inside application" not in server.log


async def token_of(server, name):
    """What the page gives its WebSocketManager."""
    status, _, text = await server.get("/kitchen/", cookie=server.cookies[name])
    assert status == 200, text
    return re.search(r'WebSocketManager\("/kitchen/", "(.*?)"\)', text)[1]


async def opens(server, path, name=None):
    cookie = server.cookies[name] if name else ""
    try:
        async with server.client(path, cookie=cookie):
            return True
    except InvalidStatus as fault:
        assert fault.response.status_code == 403
        return False


async def play(client, exchange):
    """Send and receive; after a message that is followed by no answer comes none."""
    for line in exchange:
        content = json.loads(line[2:])
        if line[0] == ">":
            await client.send(content)
        else:
            assert await client.receive() == content


async def test_the_consumer_on_the_wire(server):
    token = await token_of(server, "ann")
    async with server.client(f"/kitchen/{token}", cookie=server.cookies["ann"]) as client:
        await play(client, OLD)
        await play(client, OLD)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.connection.recv(), 0.1)


async def test_bad_frames_leave_the_connection_open(server):
    token = await token_of(server, "ann")
    async with server.client(f"/kitchen/{token}", cookie=server.cookies["ann"]) as client:
        for frame in ("{", "[1]", "null", b"\x00", {"reply_key": {}}, {"type": 5}, {"type": "x"}):
            await client.send(frame)
            await play(client, OLD[:2])


async def test_whose_token_opens_and_how_often(server):
    anns = await token_of(server, "ann")
    assert not await opens(server, f"/kitchen/{anns}")
    assert not await opens(server, f"/kitchen/{await token_of(server, 'bob')}", "ann")
    assert await opens(server, f"/kitchen/{anns}", "ann")
    assert not await opens(server, f"/kitchen/{anns}", "ann")
    for malformed in ("null", "undefined", "%00", "é" * 40):
        assert not await opens(server, f"/kitchen/{malformed}", "ann")


async def test_of_simultaneous_uses_of_a_token_one_is_admitted(server):
    token = await token_of(server, "ann")
    admitted = await asyncio.gather(*(opens(server, f"/kitchen/{token}", "ann") for _ in range(6)))
    assert sorted(admitted) == [False] * 5 + [True]


async def test_the_script_of_the_page(server):
    node, script = find_node(), str(ROOT / SCRIPT)
    token, cookie = await token_of(server, "ann"), server.cookies["ann"]
    done = await asyncio.to_thread(
        subprocess.run,
        [node, FOLDER / "websocket_manager.js", script, f"{server.origin}/kitchen/", token, cookie],
        capture_output=True,
        timeout=30,
    )
    assert not done.stderr, done.stderr
    told = json.loads(done.stdout)
    assert told["isManager"]  # though it was called without `new`
    assert told["address"] == f"ws://127.0.0.1:{server.port}/kitchen/{token}"
    assert told["replies"] == [
        {"key": "reply-1", "price": 6.0},
        {"key": "reply-2", "status": 404, "details": "We have no cake.", "success": False},
    ]
    assert told["ready"] == [{"key": "ready", "dish": "pie"}]
    assert told["warnings"] == ['WebSocketManager: nobody listens for "ready"']
    assert [message.get("reply_key") for message in told["sent"]] == [
        "reply-1",
        None,
        "reply-2",
        None,
    ]


def test_the_script_is_where_the_page_has_it():
    assert "{% static 'websocket_utils/WebSocketManager.js' %}" in PAGE
    assert finders.find("websocket_utils/WebSocketManager.js") == str(ROOT / SCRIPT)


@pytest.mark.parametrize(
    ("address", "token", "opened"),
    [
        ("https://cafe.example/kitchen/", "null", "wss://cafe.example/kitchen/null"),
        ("http://127.0.0.1:8000/kitchen/", '"t"', "ws://127.0.0.1:8000/kitchen/t"),
        ("http://127.0.0.1:8000/kitchen/", "undefined", "ws://127.0.0.1:8000/kitchen/null"),
    ],
)
def test_the_script_opens_a_socket_of_the_pages_host(address, token, opened):
    program = f"""
        globalThis.location = new URL({json.dumps(address)});
        globalThis.WebSocket = class {{
          constructor(address) {{ console.log(address); }}
          addEventListener() {{}}
        }};
        new (require({json.dumps(str(ROOT / SCRIPT))}))("/kitchen/", {token});
    """
    done = subprocess.run([find_node(), "-e", program], capture_output=True, text=True, timeout=30)
    assert (done.stdout.strip(), done.stderr) == (opened, "")


@pytest.mark.parametrize("path", ["/counter/", "/counter/null"])
async def test_the_view_on_the_wire(server, path):
    async with server.client(path, cookie=server.cookies["ann"]) as client:
        await play(client, NEW)
    async with server.client(path) as client:
        await client.send({"type": "price", "dish": "pie", "reply_key": "r1"})
        with pytest.raises(Exception, match="4401"):
            await client.receive()


def test_how_long_a_token_lasts():
    assert f"{MAX_AGE:g} seconds, unless" in PAGE
