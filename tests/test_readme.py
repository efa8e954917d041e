"""The README's project is written out, mounted and talked to."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.management import call_command
from django.test import AsyncClient

from .clients import Client, client_of

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text()

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"(?:#|<!--) (\S+)")
PACKAGES = ("cafe", "kitchen")

# The project's settings, all but those that the suite has its own reasons for.
IN_FORCE = (
    "ASGI_APPLICATION",
    "INSTALLED_APPS",
    "MIDDLEWARE",
    "ROOT_URLCONF",
    "STATIC_URL",
    "TEMPLATES",
)


def blocks(language):
    return [block for found, block in BLOCK.findall(TEXT) if found == language]


def frames():
    """The exchange that the README shows: (`>` or `<`, frame)."""
    [exchange] = blocks("text")
    return [(line[0], json.loads(line[2:])) for line in exchange.splitlines()]


def write_project(folder):
    """What `startproject` and `startapp` write, then what the README says."""
    call_command("startproject", "cafe", folder)
    (folder / "kitchen").mkdir()
    call_command("startapp", "kitchen", folder / "kitchen")
    for block in [*blocks("python"), *blocks("html")]:
        file = folder / NAME.match(block)[1]
        file.parent.mkdir(parents=True, exist_ok=True)
        before = file.read_text() if file.name == "settings.py" else ""
        file.write_text(before + block)


@pytest.fixture
def project(tmp_path, monkeypatch, settings):
    """The README's project, importable and in force."""
    write_project(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    shown = importlib.import_module("cafe.settings")
    for name in IN_FORCE:
        setattr(settings, name, getattr(shown, name))
    yield importlib.import_module
    for name in list(sys.modules):
        if name.partition(".")[0] in PACKAGES:
            del sys.modules[name]


async def test_the_shown_exchange_is_what_happens(project):
    application = project("cafe.asgi").application
    origin = (b"origin", b"http://testserver")
    client = Client(application, "/tables/7/", headers=[origin, (b"host", b"testserver")])
    connected, _ = await client.connect()
    assert connected
    for sender, frame in frames():
        if sender == ">":
            await client.send_json_to(frame)
        else:
            assert await client.receive_json_from() == frame
    assert await client.receive_nothing()
    await client.disconnect()


def test_the_project_passes_djangos_checks(tmp_path):
    write_project(tmp_path)
    checked = subprocess.run(
        [sys.executable, "manage.py", "check", "--fail-level", "WARNING"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(README.parent),
            "DJANGO_SETTINGS_MODULE": "cafe.settings",
        },
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr


async def test_the_page_opens_a_socket(project):
    response = await AsyncClient().get("/tables/7/")
    assert response.status_code == 200
    assert "<h1>Table 7</h1>" in response.text
    assert "new WebSocket(" in response.text


async def test_the_handler_form_pours(project):
    handler = project("kitchen.handlers").BarHandler
    async with client_of(handler, user=User(username="ann")) as client:
        answer = await client.ask({"type": "POUR", "ref": 1, "drink": "tea"})
        assert answer["data"] == "One tea for ann."
    async with client_of(handler, user=AnonymousUser()) as client:
        assert (await client.ask({"type": "POUR", "ref": 1}))["type"] == "RECONNECT"


def test_readme_is_short_and_its_links_lead_somewhere():
    assert len(TEXT.splitlines()) < 150
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert links
    for link in links:
        assert (README.parent / link).is_file(), link
