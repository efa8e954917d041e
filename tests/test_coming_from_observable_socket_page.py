"""What docs/coming-from-observable-socket.md says, with the examples that it shows."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import Group

from sockets.compat import observable

from .clients import Client, client_of
from .test_observable import request, response

PAGE = (Path(__file__).parent.parent / "docs" / "coming-from-observable-socket.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SOURCES = {block.partition("\n")[0][2:]: block for kind, block in BLOCKS if kind == "python"}
[EXCHANGE] = [block.splitlines() for kind, block in BLOCKS if kind == "text"]

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("closing_connections"),
]


@pytest.fixture
def run_block(monkeypatch):
    """Runs a block, by the name in its first line, as the module of that name."""

    def run(file):
        name = file.removesuffix(".py").replace("/", ".")
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name.partition(".")[0], ModuleType("shop"))
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(SOURCES[file], file, "exec"), vars(module))
        return module

    return run


async def test_the_consumer(run_block):
    cooks = await Group.objects.acreate(name="cooks")
    await Group.objects.acreate(name="board")
    user = SimpleNamespace(is_staff=False, is_authenticated=True, pk=1)
    async with client_of(run_block("shop/consumers.py").Teams, user=user) as client:
        for sent, answer in zip(EXCHANGE[::2], EXCHANGE[1::2], strict=True):
            expected = json.loads(answer[2:].replace('"id": 1', f'"id": {cooks.pk}'))
            assert await client.ask(json.loads(sent[2:])) == expected
        user.is_staff = True
        answer = await client.ask(request("getTeam", {"name": "board"}))
        assert answer["status"] == 200


async def test_the_application(run_block):
    run_block("shop/consumers.py")
    application = run_block("shop/asgi.py").application
    client = WebsocketCommunicator(application, "/ws/teams/")
    assert (await client.connect())[0]
    await client.send_to(json.dumps(request("sayHello", {"name": "Ada"})))
    assert json.loads(await client.receive_from()) == response("Hello, Ada!")
    await client.disconnect()


async def test_the_view(run_block):
    socket = run_block("shop/views.py").Shop.socket
    async with client_of(socket) as client:
        assert await client.ask(request("sayHello", {"name": "Ada"})) == response("Hello, Ada!")
        await client.send_json_to(request("countDown", 3, uuid="a"))
        part = re.search(r'`(\{"route": "countDown".*?)`', PAGE)[1]
        assert await client.receive_json_from() == json.loads(part)
        assert [(await client.receive_json_from())["status"] for _ in range(3)] == [206, 206, 200]
        await client.send_json_to(request("tellAll", "hi"))
        push = re.search(r'`(\{"route": "told".*?)`', PAGE)[1]
        assert json.loads(push) in [await client.receive_json_from() for _ in range(2)]


async def test_the_subprotocol(run_block):
    client = Client(run_block("shop/views.py").Shop.socket.Handler.as_asgi(), "/")
    client.scope["subprotocols"] = ["sockets.observable"]
    assert await client.connect() == (True, "sockets.observable")
    await client.disconnect()


def test_all_names_are_listed():
    [row] = re.findall(r"^\| names \| (.*) \|$", PAGE, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == set(observable.__all__)
