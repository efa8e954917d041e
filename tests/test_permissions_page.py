"""What docs/permissions.md says, with the examples that it shows."""

import json
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, Group, Permission, User

from sockets import guards, permissions
from sockets.stages import Stages

from .clients import Client, client_of

PAGE = (Path(__file__).parent.parent / "docs" / "permissions.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SOURCES = {block.partition("\n")[0][2:]: block for kind, block in BLOCKS if kind == "python"}
EXCHANGES = [block.splitlines() for kind, block in BLOCKS if kind == "text"]

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("closing_connections"),
]


@pytest.fixture(autouse=True)
def nobody_remembered():
    permissions.users.forget_all()


def run_block(file):
    """What a block of the page defines; `file` is the name in its first line."""
    made = ModuleType(file.removesuffix(".py").replace("/", "."))
    exec(compile(SOURCES[file], file, "exec"), vars(made))
    return made


def first_cells(section, table=0):
    """The first cells of a table under a heading."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)[table].splitlines()[2:]
    return [re.split(r"(?<!\\)\|", row)[1].strip().strip("`") for row in rows]


@sync_to_async
def make_user(name, *, team=None, **fields):
    user = User.objects.create(username=name, **fields)
    if team:
        user.groups.add(Group.objects.get_or_create(name=team)[0])
    return user


async def play(client, exchange, team):
    for sent, answer in zip(exchange[::2], exchange[1::2], strict=True):
        expected = json.loads(answer[2:].replace('"id": 1', f'"id": {team.pk}'))
        assert await client.ask(json.loads(sent[2:])) == expected


async def test_the_first_example():
    ann = await make_user("ann", team="cooks")
    await Group.objects.acreate(name="waiters")
    cooks = await Group.objects.aget(name="cooks")
    async with client_of(run_block("teams/views.py").Teams.socket, user=ann) as client:
        await play(client, EXCHANGES[0], cooks)
        may_change = await Permission.objects.aget(codename="change_group")
        await ann.user_permissions.aadd(may_change)
        await play(client, EXCHANGES[1], cooks)


async def test_staff_and_suspended_users_of_the_first_example():
    socket = run_block("teams/views.py").Teams.socket
    await make_user("ann", team="cooks")
    async with client_of(socket, user=await make_user("sue", is_staff=True)) as client:
        answer = await client.ask({"type": "MEMBERS", "team": "cooks"})
        assert answer["data"] == ["ann"]
    client = Client(socket.Handler.as_asgi(), "/")
    client.scope["user"] = await make_user("max", team="suspended")
    await client.connect()
    assert await client.next_close() == 4403


def test_the_table_has_the_stages_in_their_order():
    named = [cell for cell in first_cells("The order") if cell in Stages.__struct_fields__]
    assert named == list(Stages.__struct_fields__)


def test_every_guard_is_in_the_table():
    listed = {re.split(r"\W", cell)[0] for cell in first_cells("Guards")}
    ready = {
        name
        for name, value in vars(guards).items()
        if type(value) is guards.Guard or name.startswith(("has_", "in_"))
    }
    assert listed == ready


def test_the_time_for_which_users_are_remembered():
    assert f"older than {permissions.REMEMBERED:g} seconds" in PAGE


async def test_a_guard_of_ones_own():
    is_chief = sync_to_async(run_block("teams/guards.py").is_chief)

    ann = await make_user("ann")
    assert await is_chief(SimpleNamespace(user=ann)) is False
    await User.objects.filter(pk=ann.pk).aupdate(is_superuser=True)
    permissions.users.forget_all()
    assert await is_chief(SimpleNamespace(user=ann)) is True


async def test_the_handler_form():
    handler = run_block("teams/handlers.py").TeamHandler
    message = {"type": "COUNT", "team": "cooks"}
    async with client_of(handler, user=await make_user("ann", team="cooks")) as client:
        assert (await client.ask(message))["data"] == 1
    async with client_of(handler, user=await make_user("bob")) as client:
        assert (await client.ask(message))["status"] == 403
    client = Client(handler.as_asgi(), "/")
    client.scope["user"] = await make_user("mallory", team="cooks")
    await client.connect()
    assert await client.next_close() == 4403


async def test_the_decorator():
    socket = run_block("teams/calls.py").socket
    async with client_of(socket, user=await make_user("sue", is_superuser=True)) as client:
        assert (await client.ask({"type": "PURGE"}))["data"] == "purged"
    for user, status in ((await make_user("bob"), 403), (AnonymousUser(), 401)):
        async with client_of(socket, user=user) as client:
            assert (await client.ask({"type": "PURGE"}))["status"] == status
