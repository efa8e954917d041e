"""The admin of live sockets."""

import asyncio
import os
import re
import subprocess
import sys
import uuid
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import escape

from sockets import RoutedSocketHandler
from sockets.models import Process, Socket

from .clients import client_of

urlpatterns = [path("admin/", admin.site.urls)]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
live = pytest.mark.usefixtures("transactional_db", "closing_connections")

LIST = "/admin/sockets/socket/"
KEY = "abcdefghijklmnopqrstuvwxyz012345"


class Table(RoutedSocketHandler):
    pass


@pytest.fixture
def boss(db):
    """The browser of somebody who may do everything."""
    return browser_of(User.objects.create_superuser("boss"))


@pytest.fixture
def staff(db):
    """The browser of somebody with these permissions on sockets, and no others."""

    def make(*permissions):
        user = User.objects.create_user("staff", is_staff=True)
        names = [f"{permission}_socket" for permission in permissions]
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        return browser_of(user)

    return make


@pytest.fixture
def process(db):
    return Process.objects.create(expires=timezone.now() + timedelta(hours=1))


@pytest.fixture
def make_row(process):
    def make(path="/table/7/", *, age=timedelta(), **fields):
        row = Socket.objects.create(path=path, **{"process": process, **fields})
        Socket.objects.filter(pk=row.pk).update(created=timezone.now() - age)
        return row

    return make


def browser_of(user):
    browser = Client()
    browser.user = user
    browser.force_login(user)
    return browser


def page_of(row, name="change"):
    return reverse(f"admin:sockets_socket_{name}", args=[row.pk])


def listed(browser, **query):
    """The rows of the list, in the order in which it shows them."""
    response = browser.get(LIST, query)
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def cells(browser):
    """The texts of the list's first row, by their columns."""
    html = browser.get(LIST).text
    found = re.findall(r'<t[dh] class="field-(\w+)[^"]*">(.*?)</t[dh]>', html)
    return {name: re.sub("<[^>]+>", "", cell).replace("\xa0", " ") for name, cell in found}


def ask(browser, action, rows, query="", **fields):
    """Post an action of the list, as its page does."""
    chosen = {"action": action, "index": 0, ACTION_CHECKBOX_NAME: [str(row.pk) for row in rows]}
    return browser.post(f"{LIST}{query}", {**chosen, **fields})


def confirm(browser, page, **fields):
    """Fill in the page that an action has answered with, and return what people are told."""
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text)
    posted = {}
    for name, value in hidden:
        posted.setdefault(name, []).append(value)
    return told(browser.post(page.request["PATH_INFO"] + query_of(page), {**posted, **fields}))


def query_of(page):
    query = page.request["QUERY_STRING"]
    return f"?{query}" if query else ""


def told(response):
    """The message on the list after an action, which leads back to it."""
    assert response.status_code == 302, response.text
    assert response.url.startswith(LIST)
    [message] = response.wsgi_request._messages
    return str(message)


@asynccontextmanager
async def guest(path="/table/7/", **scope):
    """A client, and the row of its connection."""
    async with client_of(Table, path, **scope) as client:
        yield client, await Socket.objects.aget(path=path)


async def until_gone(row):
    async with asyncio.timeout(2):
        while await Socket.objects.filter(pk=row.pk).aexists():
            await asyncio.sleep(0.005)


# What is shown


def test_the_list_tells_who_is_connected_where_and_since_when(boss, make_row):
    ann = User.objects.create_user("ann")
    row = make_row(
        view="cafe.views.Table", user=ann, user_ip="192.0.2.1", age=timedelta(hours=3, minutes=5)
    )
    assert cells(boss) == {
        "path": "/table/7/",
        "username": "ann",
        "view_name": "Table",
        "age": "3 hours",
        "active": "",
        "user_ip": "192.0.2.1",
        "short_process": str(row.process_id)[:8],
    }
    assert 'title="cafe.views.Table"' in boss.get(LIST).text


def test_a_new_connection_has_no_age_in_minutes_yet(boss, make_row):
    make_row()
    assert cells(boss)["age"] == "seconds"


def test_the_newest_connection_stands_first(boss, make_row):
    old, new = make_row(age=timedelta(days=1)), make_row()
    assert listed(boss) == [new, old]


def test_somebody_who_is_not_logged_in_is_anonymous(boss, make_row):
    row = make_row()
    assert cells(boss)["username"] == "anonymous"
    assert "anonymous" in boss.get(page_of(row)).text


def test_a_user_who_was_deleted_meanwhile_spoils_no_page(boss, make_row):
    ann = User.objects.create_user("ann")
    row = make_row(user=ann)
    User.objects.filter(pk=ann.pk).delete()
    assert cells(boss)["username"] == f"deleted ({ann.pk})"
    assert f"deleted ({ann.pk})" in boss.get(page_of(row)).text
    assert boss.get(page_of(row, "delete")).status_code == 200


def test_a_row_whose_process_is_gone_is_shown_too(boss, make_row):
    row = make_row(process_id=uuid.uuid4(), process=None)
    assert listed(boss) == [row]
    assert str(row.process_id)[:8] in boss.get(page_of(row)).text


def test_more_connections_take_no_more_queries(boss, make_row):
    def queries():
        with CaptureQueriesContext(
            connection,
        ) as captured:
            listed(boss)
        return len(captured)

    make_row(user=User.objects.create_user("first"))
    for_one = queries()
    for number in range(20):
        make_row(f"/table/{number}/", user=User.objects.create_user(f"guest {number}"))
        make_row(user_id=10_000 + number, process_id=uuid.uuid4(), process=None)
    assert len(listed(boss)) == 41
    assert queries() == for_one <= 6


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"active__exact": 1}, {"/here/", "/dead/", "/gone/"}),
        ({"active__exact": 0}, {"/leaving/"}),
        ({"online": 1}, {"/here/"}),
        ({"online": 0}, {"/leaving/", "/dead/", "/gone/"}),
        ({"view": "cafe.views.Bar"}, {"/leaving/"}),
        ({"view": "cafe.views.Table", "online": 0}, {"/dead/", "/gone/"}),
    ],
)
def test_the_list_can_be_narrowed(boss, make_row, query, found):
    dead = Process.objects.create(expires=timezone.now() - timedelta(minutes=1))
    make_row("/here/", view="cafe.views.Table")
    make_row("/leaving/", view="cafe.views.Bar", active=False)
    make_row("/dead/", view="cafe.views.Table", process=dead)
    make_row("/gone/", view="cafe.views.Table", process_id=uuid.uuid4(), process=None)
    assert {row.path for row in listed(boss, **query)} == found


@pytest.mark.parametrize("text", ["/bar/", "ann", KEY, "192.0.2.", "2001:db8::1", "bar ann"])
def test_search_finds_by_path_user_session_and_address(boss, make_row, text):
    ip = text if text == "2001:db8::1" else "192.0.2.9"
    row = make_row("/bar/1/", user=User.objects.create_user("joanna"), session_key=KEY, user_ip=ip)
    make_row("/table/7/", user=User.objects.create_user("ben"), user_ip="198.51.100.1")
    make_row("/table/8/", session_key=KEY[::-1])
    assert listed(boss, q=text) == [row]


def test_the_page_of_a_connection_shows_all_there_is_and_changes_nothing(boss, make_row):
    row = make_row(
        view="cafe.views.Table", channel_name="specific.1", user_ip="192.0.2.1", session_key=KEY
    )
    html = boss.get(page_of(row)).text
    for text in ("cafe.views.Table", "specific.1", "192.0.2.1", str(row.pk), KEY[:6]):
        assert text in html
    assert 'name="path"' not in html
    assert 'name="_save"' not in html


# Session keys


def test_nobody_is_shown_a_session_key(boss, make_row):
    row = make_row(session_key=KEY, session_id=KEY)
    for address in (LIST, page_of(row), page_of(row, "delete"), page_of(row, "history")):
        assert KEY[:7] not in boss.get(address).text


@pytest.mark.parametrize("lookup", ["session_key__startswith", "session__startswith", "session"])
def test_no_filter_lets_a_session_key_be_guessed(boss, make_row, lookup):
    make_row(session_key=KEY, session_id=KEY)
    assert boss.get(LIST, {lookup: KEY[:3]}).status_code == 400


def test_no_search_lets_a_session_key_be_guessed(boss, make_row):
    make_row(session_key=KEY)
    assert listed(boss, q=KEY[:-1]) == []


# Permissions


def test_no_connection_is_added_or_changed_by_hand(boss, make_row):
    row = make_row()
    assert boss.get(reverse("admin:sockets_socket_add")).status_code == 403
    assert boss.post(page_of(row), {"path": "/elsewhere/"}).status_code == 403
    row.refresh_from_db()
    assert row.path == "/table/7/"


@pytest.mark.parametrize(
    ("permissions", "actions"),
    [
        (["view"], set()),
        (["view", "change"], {"send_message", "close"}),
        (["view", "delete"], {"delete_selected", "purge_inactive"}),
    ],
)
def test_actions_are_offered_to_those_who_may(staff, make_row, permissions, actions):
    browser = staff(*permissions)
    make_row()
    form = browser.get(LIST).context["action_form"]
    offered = {name for name, _ in form.fields["action"].choices} if form else set()
    assert offered - {""} == actions


@pytest.mark.parametrize(
    ("action", "permission"),
    [
        ("send_message", "delete"),
        ("close", "delete"),
        ("delete_selected", "change"),
        ("purge_inactive", "change"),
    ],
)
def test_an_action_that_is_not_offered_does_nothing(staff, make_row, action, permission):
    browser = staff("view", permission)
    row = make_row(active=False, age=timedelta(hours=1))
    filled_in = {"_filled_in": 1, "content": "{}", "post": "yes"}
    assert told(ask(browser, action, [row], **filled_in)) == "No action selected."
    assert Socket.objects.filter(pk=row.pk).exists()


def test_who_may_not_view_sockets_sees_none(staff, make_row):
    browser, row = staff(), make_row()
    assert browser.get(LIST).status_code == 403
    assert browser.get(page_of(row)).status_code == 403


def test_processes_have_no_pages(boss):
    assert not admin.site.is_registered(Process)


# Sending


@live
async def test_a_message_is_sent_to_the_selected_only(boss):
    async with guest("/table/1/") as (chosen, row), guest("/table/2/") as (other, _):

        def send():
            page = ask(boss, "send_message", [row])
            assert "Send a message to 1 socket" in page.text
            return confirm(boss, page, content='{"type": "NOTICE", "text": "We close."}')

        assert await sync_to_async(send)() == "The message goes to 1 socket."
        assert await chosen.receive_json_from() == {"type": "NOTICE", "text": "We close."}
        assert await other.receive_nothing()


@live
async def test_a_message_to_all_that_the_list_has_found_goes_to_no_others(boss):
    async with (
        guest("/table/1/") as (first, row),
        guest("/table/2/") as (second, _),
        guest("/bar/") as (other, _),
    ):

        def send():
            page = ask(boss, "send_message", [row], "?q=table", select_across=1)
            assert "Send a message to 2 sockets" in page.text
            return confirm(boss, page, content='"all"')

        assert await sync_to_async(send)() == "The message goes to 2 sockets."
        assert await first.receive_json_from() == await second.receive_json_from() == "all"
        assert await other.receive_nothing()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('{"type": NOTICE}', "line 1, column 10: Expecting value"),
        ('{"a": 1,\n "b": [}', "line 2, column 8: Expecting value"),
        ("hello", "line 1, column 1"),
        ("[NaN]", "got a value that cannot"),
        ("1e400", "got a value that cannot"),
        (r'"\ud800"', "got a value that cannot"),
        ("9" * 5000, "got a value that cannot"),
        ("[" * 100_000 + "]" * 100_000, "got a value that cannot"),
        ("  ", "This field is required"),
    ],
)
def test_what_is_no_json_comes_back_with_the_place_of_the_fault(boss, make_row, content, error):
    row = make_row()
    page = ask(boss, "send_message", [row], _filled_in=1, content=content)
    assert page.status_code == 200
    assert error in page.text
    assert escape(content.strip()) in page.text
    assert str(row.pk) in page.text  # and can be sent once it is mended


@pytest.mark.parametrize("content", ["null", "7", '"\\ud83d\\ude00"', "[]", "9" * 30])
def test_any_json_value_can_be_sent(boss, make_row, content):
    page = ask(boss, "send_message", [make_row()])
    assert confirm(boss, page, content=content) == "The message goes to 1 socket."


def test_the_second_form_of_the_list_does_the_same(boss, make_row, monkeypatch):
    monkeypatch.setattr(admin.site.get_model_admin(Socket), "actions_on_bottom", True)
    posted = {"action": ["", "send_message"], "index": 1}
    page = boss.post(LIST, {**posted, ACTION_CHECKBOX_NAME: [str(make_row().pk)]})
    assert confirm(boss, page, content="1") == "The message goes to 1 socket."


# Closing


@live
@pytest.mark.parametrize(("answer", "code"), [({"may_return": "on"}, 1000), ({}, 4403)])
async def test_sockets_are_closed_for_now_or_for_good(boss, answer, code):
    async with guest("/table/1/") as (chosen, row), guest("/table/2/") as (other, _):

        def close():
            page = ask(boss, "close", [row])
            assert "Close 1 socket" in page.text
            return confirm(boss, page, **answer)

        assert await sync_to_async(close)() == "1 socket is being closed."
        assert await chosen.next_close() == code
        await chosen.wait()
        await until_gone(row)
        assert await other.receive_nothing()


@live
async def test_deleting_a_row_closes_its_connection(boss):
    async with guest("/table/1/") as (chosen, row), guest("/table/2/") as (other, _):
        await sync_to_async(boss.post)(page_of(row, "delete"), {"post": "yes"})
        assert not await Socket.objects.filter(pk=row.pk).aexists()
        assert await chosen.next_close() == 1000
        await chosen.wait()
        assert await other.receive_nothing()


@live
async def test_deleting_selected_rows_closes_their_connections(boss):
    async with guest("/table/1/") as (client, row):
        response = await sync_to_async(ask)(boss, "delete_selected", [row], post="yes")
        assert told(response) == "Successfully deleted 1 socket."
        assert await client.next_close() == 1000
        await client.wait()
        await until_gone(row)


@pytest.mark.parametrize("way", ["page", "action"])
def test_a_row_that_nobody_closes_any_more_is_deleted(boss, make_row, way):
    row, other = make_row(process_id=uuid.uuid4(), process=None), make_row()
    if way == "page":
        boss.post(page_of(row, "delete"), {"post": "yes"})
    else:
        ask(boss, "delete_selected", [row], post="yes")
    assert list(Socket.objects.all()) == [other]


def test_purging_takes_those_that_have_long_been_inactive(boss, make_row):
    old = timedelta(minutes=6)
    gone = [make_row("/gone/", active=False, age=old) for _ in range(2)]
    kept = [
        make_row("/active/", age=old),
        make_row("/fresh/", active=False),
        make_row("/heard/", active=False, age=old, last_ping=timezone.now()),
    ]
    spared = make_row("/not-selected/", active=False, age=old)
    response = ask(boss, "purge_inactive", [*gone, *kept])
    assert told(response) == "2 inactive sockets were purged."
    assert set(Socket.objects.all()) == {*kept, spared}


# Projects of other kinds

DOCS = Path(__file__).parents[1] / "docs" / "admin.md"


def test_the_documented_admin_decides_who_may_send(staff, rf, monkeypatch):
    ours = admin.site.get_model_admin(Socket)
    monkeypatch.setitem(admin.site._registry, Socket, ours)  # and again when the test has ended
    [example] = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    exec(example, {"__name__": "kitchen.admin"})
    request = rf.get(LIST)
    request.user = staff("view", "change").user
    own = admin.site.get_model_admin(Socket)
    assert own.get_actions(request).keys() == {"close"}
    request.user.is_superuser = True
    assert "send_message" in own.get_actions(request)


PERSON = """
from django.contrib.auth.models import AbstractBaseUser, PermissionsMixin
from django.db import models

class Person(AbstractBaseUser, PermissionsMixin):
    number = models.UUIDField(primary_key=True)
    email = models.EmailField(unique=True)
    is_staff = is_active = True
    USERNAME_FIELD = "email"
"""
PROJECT = """
from tests.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "people"]
AUTH_USER_MODEL = "people.Person"
ROOT_URLCONF = "tests.test_admin"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
"""
VISIT = """
import uuid
import django
django.setup()
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from people.models import Person
from sockets.models import Process, Socket

call_command("migrate", run_syncdb=True, verbosity=0)
call_command("check", fail_level="WARNING", verbosity=0)
ann = Person.objects.create(number=uuid.uuid4(), email="ann@cafe.example", is_superuser=True)
process = Process.objects.create(expires=timezone.now())
Socket.objects.create(path="/table/7/", user=ann, process=process)
Socket.objects.create(path="/bar/", process=process)
browser = Client()
browser.force_login(ann)
print(browser.get("/admin/sockets/socket/", {"q": "ann@cafe", "o": "2"}).text)
"""


def test_any_user_model_is_shown_and_found_by_its_user_name(tmp_path):
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "models.py").write_text(PERSON)
    (tmp_path / "project.py").write_text(PROJECT)
    root = Path(__file__).parents[1]
    visit = subprocess.run(
        [sys.executable, "-c", VISIT],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)]),
            "DJANGO_SETTINGS_MODULE": "project",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert visit.returncode == 0, visit.stderr
    assert '<td class="field-username">ann@cafe.example</td>' in visit.stdout
    assert "/table/7/" in visit.stdout
    assert "/bar/" not in visit.stdout
