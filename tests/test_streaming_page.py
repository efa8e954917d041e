"""docs/streaming.md: its project is written out, asked in process, and used in a real browser."""

import asyncio
import importlib
import json
import re
import sys

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from playwright.async_api import expect

from .browsers import Visitor, chromium
from .clients import client_of
from .servers import ROOT, run, serving

PAGE = (ROOT / "docs" / "streaming.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"(?:#|<!--) (\S+)")
PACKAGES = ("story", "members")

SETTINGS = """
from pathlib import Path
SECRET_KEY = "tests keep no secrets"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "sockets",
    "story",
]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
ROOT_URLCONF = "library.urls"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(__file__).with_name("library.sqlite3"),
    }
}
"""
URLS = """
from django.http import HttpResponse
from django.urls import path
from story.views import Story

urlpatterns = [
    path("story/", Story.as_view()),
    path("favicon.ico", lambda request: HttpResponse(status=204)),  # which browsers ask for
]
"""


@pytest.fixture
def folder(tmp_path):
    """A project with what the page shows."""
    call_command("startproject", "library", tmp_path)
    (tmp_path / "library" / "settings.py").write_text(SETTINGS)
    (tmp_path / "library" / "urls.py").write_text(URLS)
    asgi = tmp_path / "library" / "asgi.py"
    asgi.write_text(asgi.read_text().replace("django.core.asgi", "sockets.asgi"))
    for language, block in BLOCKS:
        if language != "text":
            file = tmp_path / PLACE.match(block)[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block)
    return tmp_path


@pytest.fixture
def project(folder, monkeypatch):
    """What imports a module of the project."""
    monkeypatch.syspath_prepend(folder)
    yield importlib.import_module
    for name in list(sys.modules):
        if name.partition(".")[0] in PACKAGES:
            del sys.modules[name]


async def test_the_shown_exchange_is_what_happens(project):
    [exchange] = [block for language, block in BLOCKS if language == "text"]
    async with client_of(project("story.views").Story.socket) as client:
        for line in exchange.splitlines():
            frame = json.loads(line[2:])
            if line[0] == ">":
                await client.send_json_to(frame)
            else:
                assert await client.receive_json_from() == frame
        assert await client.receive_nothing()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("closing_connections")
async def test_the_export_sends_row_by_row(project):
    names = [f"user{number:04}" for number in range(2100)]  # more than `iterator` fetches at once
    await User.objects.abulk_create(User(username=name) for name in names)
    async with client_of(project("members.views").Members.socket) as client:
        await client.send_json_to({"type": "EXPORT", "ref": 1})
        parts = [await client.receive_json_from() for _ in names]
        assert [part["data"]["name"] for part in parts] == names
        assert (await client.receive_json_from())["status"] == 200


async def test_a_limit_on_each_step_ends_a_model_that_has_stalled(folder, project):
    file = folder / "story" / "patient.py"
    file.write_text(file.read_text().replace("timeout(10)", "timeout(0.2)"))
    patient = project("story.patient")
    closed = []

    async def write(prompt):
        try:
            yield "Once "
            await asyncio.sleep(60)
        finally:
            closed.append(prompt)

    async with client_of(patient.router) as client:
        await client.send_json_to({"type": "TELL", "ref": 1, "prompt": "a goat"})
        assert [(await client.receive_json_from())["status"] for _ in range(8)] == [206] * 7 + [200]
        patient.write = write
        assert (await client.ask({"type": "TELL", "ref": 2, "prompt": "it"}))["status"] == 206
        error = await client.receive_json_from()
        assert (error["status"], error["details"]) == (504, "The model has stalled.")
    assert closed == ["it"]


async def test_the_page_tells_a_story_and_stops_it(folder):
    settings = {"DJANGO_SETTINGS_MODULE": "library.settings"}
    run("manage.py", "migrate", cwd=folder, **settings)
    log, application = folder / "uvicorn.log", "library.asgi:application"
    with serving("uvicorn", application, log, cwd=folder, PYTHONPATH=f"{ROOT}:{folder}") as server:
        async with chromium() as browser:
            visitor = await Visitor.come(browser, server.origin)
            page = visitor.page
            await page.goto("/story/")
            story, end = page.locator("#story"), page.get_by_role("status")
            await page.get_by_role("button", name="Tell").click()
            await expect(end).to_have_text("The end.")
            await expect(story).to_have_text("Once upon a time there was a goat.")
            await page.get_by_label("About").fill("a ghost")
            await page.get_by_role("button", name="Tell").click()
            await expect(story).to_contain_text("Once")
            await page.get_by_role("button", name="Stop").click()
            await expect(end).to_have_text("The client cancelled this message.")
            await expect(story).not_to_contain_text("ghost")
            await page.get_by_role("button", name="Tell").click()
            await expect(story).to_have_text("Once upon a time there was a ghost.")
            assert visitor.faults == []
        assert server.faults() == []


def test_its_links_lead_somewhere():
    for file, _, heading in re.findall(r"\]\((?!https?:)([^)#]+)(#([^)]+))?\)", PAGE):
        text = (ROOT / "docs" / file).read_text()
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        assert not heading or heading in [found.lower().replace(" ", "-") for found in headings]
