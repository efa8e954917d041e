"""Having the rows of live connections written, in batches and in time."""

import asyncio
import uuid

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection
from django.utils import timezone

from sockets import RoutedSocketHandler, SocketRouter
from sockets import registry as registry_module
from sockets.hub import Hub
from sockets.lease import Lease
from sockets.models import Process, Socket

from .clients import Client, client_of

pytestmark = pytest.mark.django_db(transaction=True)


class Rows(RoutedSocketHandler):
    """Tells what the database knows, from a lane."""

    def on_rows(self):
        return list(Socket.objects.order_by("created").values_list("path", "active", "user_id"))

    def on_own(self):
        row = Socket.objects.select_related("process").get(pk=self.row.pk)
        return {
            "online": Socket.objects.online().filter(pk=row.pk).exists(),
            "view": row.view.rpartition(".")[2],
            "ip": row.user_ip,
            "session": row.session_id,
            "key": row.session_key,
        }

    routes = (("ROWS", "on_rows"), ("OWN", "on_own"))


async def rows(client):
    return (await client.ask({"type": "ROWS", "ref": 1}))["data"]


async def own(client):
    return (await client.ask({"type": "OWN", "ref": 1}))["data"]


@pytest.fixture
def ann(transactional_db):
    return User.objects.create(username="ann")


@pytest.fixture
def session(transactional_db):
    session = SessionStore()
    session.create()
    return session


async def test_a_row_is_there_from_accept_until_the_connection_ends(ann):
    async with client_of(Rows, "/stays/") as watching:
        async with client_of(Rows, "/here/", user=ann):
            assert await rows(watching) == [["/stays/", True, None], ["/here/", True, ann.pk]]
        await until_rows(watching, [["/stays/", True, None]])


async def until_rows(client, expected):
    async with asyncio.timeout(2):
        while await rows(client) != expected:
            pass


def test_nothing_is_left_when_all_connections_have_ended(ann):
    assert not Socket.objects.exists()
    assert not Process.objects.exists()


async def test_a_row_tells_view_address_and_session(session):
    class Page:
        socket = SocketRouter(handler=Rows)

    scope = {"client": ("2001:db8::1", 5), "session": session}
    async with client_of(Page.socket, **scope) as client:
        assert await own(client) == {
            "online": True,
            "view": "Page",
            "ip": "2001:db8::1",
            "session": session.session_key,
            "key": session.session_key,
        }


async def test_the_primary_key_is_known_in_connect_hooks_and_the_row_is_not_there_yet():
    seen = []

    class Early(Rows):
        def connect(self):
            seen.append((self.row.pk, Socket.objects.filter(pk=self.row.pk).exists()))

    async with client_of(Early) as client:
        assert (await own(client))["online"]
    [(pk, existed)] = seen
    assert isinstance(pk, uuid.UUID)
    assert not existed


async def test_a_refused_client_has_no_row():
    class Refusing(RoutedSocketHandler):
        def connect(self):
            self.close(4403)

    async with client_of(Rows, "/stays/") as watching:
        client = Client(Refusing.as_asgi(), "/refused/")
        await client.connect()
        await client.wait()
        assert [row[0] for row in await rows(watching)] == ["/stays/"]


async def test_an_untracked_handler_has_no_row():
    class Untracked(RoutedSocketHandler):
        tracked = False

    async with client_of(Rows, "/stays/") as watching, client_of(Untracked):
        assert [row[0] for row in await rows(watching)] == ["/stays/"]


async def test_in_disconnect_hooks_the_row_is_inactive_already():
    seen = []
    router = SocketRouter()

    @router.disconnect
    def on_disconnect(socket):
        seen.append((socket.row.active, Socket.objects.get(pk=socket.row.pk).active))

    async with client_of(router):
        pass
    assert seen == [(False, False)]


async def test_values_are_made_storable():
    path = "/nul\0/surrogate\ud800/" + "x" * 300
    client = Client(Rows.as_asgi(), "/")
    client.scope["path"] = path
    await client.connect()
    [[stored, _, _]] = await rows(client)
    await client.disconnect()
    assert stored.startswith("/nul\ufffd/surrogate?/xxx")
    assert len(stored) == 255


class CookieSession:
    session_key = "a-signed-cookie:" * 20


async def test_a_long_session_key_is_kept_as_a_digest():
    async with client_of(Rows, session=CookieSession()) as client:
        row = await own(client)
    assert row["session"] is None
    assert len(row["key"]) == 64


async def test_a_crowd_that_arrives_together_is_written_in_few_batches(monkeypatch):
    batches = []
    insert = Lease.insert

    def counting(self, new):
        new = list(new)
        batches.append(len(new))
        return insert(self, new)

    monkeypatch.setattr(Lease, "insert", counting)
    clients = [Client(Rows.as_asgi(), f"/{number}/") for number in range(100)]
    async with client_of(Rows) as watching:
        await asyncio.gather(*(client.connect(timeout=5) for client in clients))
        assert len(await rows(watching)) == 101
        assert len([size for size in batches if size]) < 30
        await asyncio.gather(*(client.disconnect() for client in clients))
        async with asyncio.timeout(3):
            while len(await rows(watching)) > 1:
                pass


REFUSE = """
    CREATE TRIGGER refuse BEFORE INSERT ON sockets_socket WHEN NEW.path LIKE '/bad/%'
    BEGIN SELECT RAISE(ABORT, 'refused'); END
"""


@pytest.fixture
def unstorable_path(transactional_db, monkeypatch):
    """A path that the database does not take."""
    monkeypatch.setattr("sockets.rows._fit", lambda text, model, name: text)
    if connection.vendor != "sqlite":
        yield "/bad/\0" if connection.vendor == "postgresql" else "/bad/" + "x" * 300
        return
    with connection.cursor() as cursor:
        cursor.execute(REFUSE)
        yield "/bad/"
        cursor.execute("DROP TRIGGER refuse")


async def test_one_row_that_cannot_be_written_harms_no_other(unstorable_path, caplog):
    clients = [Client(Rows.as_asgi(), "/good/") for _ in range(5)]
    spoiled = Client(Rows.as_asgi(), "/")
    spoiled.scope["path"] = unstorable_path
    await asyncio.gather(*(client.connect(timeout=5) for client in [*clients, spoiled]))
    assert [row[0] for row in await rows(spoiled)] == ["/good/"] * 5
    await asyncio.gather(*(client.disconnect() for client in [*clients, spoiled]))
    assert "cannot be written; it goes on without" in caplog.text


async def test_a_database_that_is_away_refuses_nobody_and_is_tried_again(monkeypatch, caplog):
    monkeypatch.setattr(registry_module, "PATIENCE", 0.1)
    monkeypatch.setattr(registry_module, "RETRY", 0.05)
    renew, away = Lease.renew, [True]

    def failing(self):
        if away:
            raise OperationalError("the database is away")
        return renew(self)

    monkeypatch.setattr(Lease, "renew", failing)
    async with client_of(Rows, "/a/") as client, client_of(Rows, "/b/"):
        assert await rows(client) == []
        assert Hub.current().registry.failures >= 1
        async with client_of(Rows, "/gone/"):
            pass
        away.clear()
        await until_rows(client, [["/a/", True, None], ["/b/", True, None]])
    assert "the database is away" in caplog.text


async def test_a_fault_that_is_none_of_the_database_leaves_connections_untracked(
    monkeypatch, caplog
):
    def broken(self):
        raise RuntimeError("no database here")

    monkeypatch.setattr(Lease, "renew", broken)
    monkeypatch.setattr(Lease, "end", broken)
    async with client_of(Rows) as client:
        assert await rows(client) == []
    assert "they go on without" in caplog.text
    assert "cannot be given back" in caplog.text


async def test_a_process_that_lost_its_lease_writes_its_rows_again(settings):
    settings.SOCKETS = {"LEASE": 0.3}

    class Losing(Rows):
        def on_lose(self):
            Process.objects.all().delete()
            Lease().reap()
            return Socket.objects.count()

        routes = (*Rows.routes, ("LOSE", "on_lose"))

    async with client_of(Losing, "/a/") as client, client_of(Rows, "/b/"):
        assert (await client.ask({"type": "LOSE", "ref": 1}))["data"] == 0
        async with asyncio.timeout(2):
            while len(await rows(client)) < 2:
                await asyncio.sleep(0.02)
        assert (await own(client))["online"]


async def test_the_lease_is_renewed_without_any_change(settings):
    settings.SOCKETS = {"LEASE": 0.3}
    async with client_of(Rows) as client:
        for _ in range(5):
            await asyncio.sleep(0.2)
            assert (await own(client))["online"]


def test_a_row_of_a_session_that_ended_can_be_written(session):
    row = Socket(
        path="/", session_id=session.session_key, process=Process.objects.create(expires=now())
    )
    Session.objects.all().delete()
    row.save()
    User.objects.all().delete()
    assert str(row) == "/ (anonymous)"


def now():
    return timezone.now()
