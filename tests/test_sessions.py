"""What functions change in their connection's session is saved, and only that."""

import asyncio
import threading
from datetime import timedelta
from importlib import import_module

import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.sessions import SessionMiddlewareStack
from django.contrib.sessions.backends.cache import SessionStore as CacheStore
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.backends.file import SessionStore as FileStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore
from django.contrib.sessions.models import Session
from django.core.cache.backends.locmem import LocMemCache
from django.db import OperationalError
from django.utils import timezone

from sockets import RoutedSocketHandler, SocketError, SocketRouter, receivers
from sockets.sessions import SessionChanges, find_session

from .clients import Client, client_of
from .conftest import until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("closing_connections"),
]

ENGINES = ("db", "cached_db", "cache", "file")


class Cart(RoutedSocketHandler):
    """Changes its session as it is told."""

    def on_put(self, *, name: str, value: int | str):
        self.session[name] = value

    async def on_async_put(self, *, name: str, value: int | str):
        await self.session.aset(name, value)

    def on_take(self, *, name: str):
        del self.session[name]

    def on_look(self):
        return dict(self.session.items())

    async def on_async_look(self):
        return dict(await self.session.aitems())

    routes = (
        ("PUT", "on_put"),
        ("ASYNC_PUT", "on_async_put"),
        ("TAKE", "on_take"),
        ("LOOK", "on_look"),
        ("ASYNC_LOOK", "on_async_look"),
    )


both_colours = pytest.mark.parametrize("colour", ["", "ASYNC_"])


def create(store=SessionStore, **data):
    session = store()
    session.update(data)
    session.create()
    return session


def read(session):
    return dict(session.__class__(session.session_key).items())


def change(session, **data):
    """What a page does meanwhile."""
    page = session.__class__(session.session_key)
    page.update(data)
    page.save()


def end(session):
    """End a session so that nobody hears of it."""
    rows = Session.objects.filter(session_key=session.session_key)
    rows._raw_delete(rows.db)


def expire(session):
    past = timezone.now() - timedelta(seconds=1)
    Session.objects.filter(session_key=session.session_key).update(expire_date=past)


acreate, aread, achange = sync_to_async(create), sync_to_async(read), sync_to_async(change)
aend = sync_to_async(end)


async def do(client, type, **fields):
    answer = await client.ask({"type": type, "ref": 1, **fields})
    assert answer["status"] in (200, 204), answer
    return answer.get("data")


async def is_told_to_log_in(client):
    assert (await client.receive_json_from())["type"] == "RECONNECT"
    return await client.next_close() == 4401


# After a function


@both_colours
async def test_what_a_function_changes_is_saved_before_its_answer(colour):
    session = await acreate(theme="dark")
    async with client_of(Cart, session=session) as client:
        await do(client, f"{colour}PUT", name="soup", value=2)
        assert await aread(session) == {"theme": "dark", "soup": 2}
        await do(client, f"{colour}PUT", name="soup", value=3)
        assert await aread(session) == {"theme": "dark", "soup": 3}


@both_colours
@pytest.mark.parametrize("stack", [SessionMiddlewareStack, AuthMiddlewareStack])
async def test_the_sessions_of_middleware_are_saved_too(colour, stack):
    session = await acreate(theme="dark")
    client = Client(stack(Cart.as_asgi()), "/")
    client.scope["headers"] = [(b"cookie", f"sessionid={session.session_key}".encode())]
    assert (await client.connect())[0]
    await do(client, f"{colour}PUT", name="soup", value=2)
    assert await aread(session) == {"theme": "dark", "soup": 2}
    await client.disconnect()


class CountingStore(SessionStore):
    """Counts how often it goes to the database."""

    calls: list[str]

    def load(self):
        self.calls.append("load")
        return super().load()

    def save(self, must_create=False):
        self.calls.append("save")
        return super().save(must_create)


@both_colours
async def test_where_nothing_was_changed_nothing_is_asked_or_saved(colour, monkeypatch):
    monkeypatch.setattr(CountingStore, "calls", [], raising=False)
    session = await acreate(CountingStore, theme="dark")
    session.modified = False
    CountingStore.calls.clear()
    async with client_of(Cart, session=session) as client:
        assert await do(client, f"{colour}LOOK") == {"theme": "dark"}
    assert CountingStore.calls == []


async def test_a_key_that_a_function_deletes_is_deleted():
    session = await acreate(theme="dark", soup=2)
    async with client_of(Cart, session=session) as client:
        await do(client, "TAKE", name="soup")
        assert await aread(session) == {"theme": "dark"}


async def test_what_is_changed_within_a_value_is_saved_when_the_function_says_so():
    router = SocketRouter()

    @router.route("ADD")
    def add(socket, *, dish: str, says_so: bool):
        socket.session["dishes"].append(dish)
        if says_so:
            socket.session.modified = True

    session = await acreate(dishes=["soup"])
    session.modified = False
    async with client_of(router, session=session) as client:
        await do(client, "ADD", dish="pie", says_so=False)
        assert await aread(session) == {"dishes": ["soup"]}
        await do(client, "ADD", dish="cake", says_so=True)
        assert await aread(session) == {"dishes": ["soup", "pie", "cake"]}


async def test_a_session_that_is_only_touched_lasts_longer():
    router = SocketRouter()

    @router.route("TOUCH")
    def touch(socket):
        socket.session.modified = True

    def expiry():
        return Session.objects.get().expire_date

    session = await acreate(theme="dark")
    soon = timezone.now() + timedelta(minutes=1)
    await Session.objects.aupdate(expire_date=soon)
    async with client_of(router, session=SessionStore(session.session_key)) as client:
        await do(client, "TOUCH")
    assert await sync_to_async(expiry)() > soon + timedelta(days=1)
    assert await aread(session) == {"theme": "dark"}


# With pages that change the session meanwhile


@both_colours
@pytest.mark.parametrize("loaded", [True, False])
async def test_what_a_page_changed_is_kept_and_seen_after_a_save(colour, loaded):
    session = await acreate(theme="dark", soup=1, old=1)
    given = session if loaded else SessionStore(session.session_key)
    async with client_of(Cart, session=given) as client:
        await do(client, f"{colour}LOOK")
        await achange(session, theme="light", pie=4)
        await do(client, f"{colour}PUT", name="soup", value=2)
        expected = {"theme": "light", "soup": 2, "pie": 4, "old": 1}
        assert await aread(session) == expected
        assert await do(client, f"{colour}LOOK") == expected


async def test_of_two_changes_of_one_key_the_later_stays():
    session = await acreate(theme="dark")
    async with client_of(Cart, session=session) as client:
        await achange(session, theme="light")
        await do(client, "PUT", name="theme", value="blue")
        assert await aread(session) == {"theme": "blue"}
        await achange(session, theme="red")
        await do(client, "PUT", name="soup", value=1)
        assert await aread(session) == {"theme": "red", "soup": 1}


async def test_a_key_that_a_page_deleted_stays_deleted():
    def delete_soup():
        page = SessionStore(session.session_key)
        del page["soup"]
        page.save()

    session = await acreate(theme="dark", soup=2)
    async with client_of(Cart, session=session) as client:
        await do(client, "LOOK")
        await sync_to_async(delete_soup)()
        await do(client, "PUT", name="pie", value=4)
        assert await aread(session) == {"theme": "dark", "pie": 4}
        assert await do(client, "LOOK") == {"theme": "dark", "pie": 4}


async def test_clearing_leaves_what_a_page_has_put_in_since():
    router = SocketRouter(handler=Cart)

    @router.route("CLEAR")
    def clear(socket):
        socket.session.clear()

    session = await acreate(theme="dark", soup=2)
    async with client_of(router, session=session) as client:
        await do(client, "LOOK")
        await achange(session, pie=4)
        await do(client, "CLEAR")
        assert await aread(session) == {"pie": 4}


async def test_two_sockets_of_one_session_keep_each_others_changes():
    session = await acreate()
    async with (
        client_of(Cart, session=SessionStore(session.session_key)) as first,
        client_of(Cart, session=SessionStore(session.session_key)) as second,
    ):
        await do(first, "PUT", name="soup", value=1)
        await do(second, "PUT", name="pie", value=2)
        await do(first, "PUT", name="cake", value=3)
    assert await aread(session) == {"soup": 1, "pie": 2, "cake": 3}


# Sessions that end


@pytest.fixture(autouse=True)
def short_grace(monkeypatch):
    monkeypatch.setattr("sockets.socket.GRACE", 0.05)


@both_colours
@pytest.mark.parametrize("ending", [end, expire])
async def test_a_client_whose_session_has_ended_is_logged_out(colour, ending):
    session = await acreate(theme="dark")
    async with client_of(Cart, session=session) as client:
        await sync_to_async(ending)(session)
        await client.send_json_to({"type": f"{colour}PUT", "name": "soup", "value": 2})
        assert await is_told_to_log_in(client)
    assert await aread(session) == {}


async def test_messages_that_wait_when_a_client_is_logged_out_are_not_handled():
    handled = []

    class Noting(Cart):
        async def on_async_put(self, *, name: str, value: int | str):
            handled.append(name)
            await self.session.aset(name, value)

    session = await acreate(theme="dark")
    async with client_of(Noting, session=session) as client:
        await aend(session)
        for name in ("soup", "pie", "cake"):
            await client.send_json_to({"type": "ASYNC_PUT", "name": name, "value": 1})
        assert await is_told_to_log_in(client)
    assert handled == ["soup"]


async def test_a_session_that_ends_between_loading_and_saving_is_not_made_again():
    class Ending(SessionStore):
        def save(self, must_create=False):
            if not must_create:
                end(self)
            return super().save(must_create)

    session = await acreate(Ending, theme="dark")
    async with client_of(Cart, session=session) as client:
        await client.send_json_to({"type": "PUT", "name": "soup", "value": 2})
        assert await is_told_to_log_in(client)
    assert not await Session.objects.aexists()


async def test_a_database_that_is_busy_logs_nobody_out(caplog):
    faults = [OperationalError("database is locked")]

    class Busy(SessionStore):
        def create_model_instance(self, data):
            row = super().create_model_instance(data)
            if faults and self.exists(self.session_key):
                row.save = self.fail
            return row

        def fail(self, **kwargs):
            raise faults.pop()

    session = await acreate(Busy, theme="dark")
    async with client_of(Cart, session=session) as client:
        put = {"type": "PUT", "name": "soup", "value": 2, "ref": 1}
        assert (await client.ask(put))["status"] == 500
        await do(client, "LOOK")
        assert await aread(session) == {"theme": "dark", "soup": 2}
    assert "database is locked" in caplog.text


async def test_a_function_may_end_the_session(caplog):
    router = SocketRouter(handler=Cart)

    @router.route("FORGET")
    def forget(socket):
        socket.session.flush()

    session = await acreate(theme="dark")
    async with client_of(router, session=session) as client:
        await do(client, "FORGET")
        assert await do(client, "LOOK") == {}
    assert not await Session.objects.aexists()
    assert not caplog.records


async def test_a_function_may_move_the_session_to_another_key(monkeypatch):
    router = SocketRouter(handler=Cart)

    @router.route("MOVE")
    def move(socket):
        socket.session["soup"] = 2
        socket.session.cycle_key()

    session = await acreate(theme="dark")
    old = session.session_key
    monkeypatch.setattr(receivers, "GRACE", 60.0)
    async with client_of(router, session=session) as client:
        await do(client, "MOVE")
        await do(client, "PUT", name="pie", value=4)
        assert session.session_key != old
        assert await aread(session) == {"theme": "dark", "soup": 2, "pie": 4}
        monkeypatch.setattr(receivers, "GRACE", 0.0)
        await session.adelete()
        assert await is_told_to_log_in(client)


# Sessions that cannot be saved


@both_colours
async def test_without_a_session_key_it_warns_and_goes_on(colour, caplog):
    async with client_of(Cart, session=SessionStore()) as client:
        await do(client, f"{colour}PUT", name="soup", value=2)
        assert await do(client, f"{colour}LOOK") == {"soup": 2}
    [record] = caplog.records
    assert "the client has none; change it in a view" in record.getMessage()
    assert not await Session.objects.aexists()


@both_colours
async def test_a_session_in_a_cookie_warns_and_goes_on(colour, caplog):
    session = CookieStore()
    session["theme"] = "dark"
    session.save()
    session.modified = False
    async with client_of(Cart, session=session) as client:
        await do(client, f"{colour}PUT", name="soup", value=2)
        assert await do(client, f"{colour}LOOK") == {"theme": "dark", "soup": 2}
    [record] = caplog.records
    assert "it is kept in a cookie; change it in a view" in record.getMessage()


async def test_a_session_that_is_none_of_djangos_is_left_alone():
    async with client_of(Cart, session={"theme": "dark"}) as client:
        await do(client, "PUT", name="soup", value=2)
        assert await do(client, "LOOK") == {"theme": "dark", "soup": 2}


# Hooks and streams


@both_colours
async def test_what_a_connect_hook_changes_is_saved_when_the_client_comes_in(colour):
    class Counted(Cart):
        if colour:

            async def connect(self):
                await self.session.aset("visits", await self.session.aget("visits", 0) + 1)
        else:

            def connect(self):
                self.session["visits"] = self.session.get("visits", 0) + 1

    session = await acreate()
    for visits in (1, 2):
        async with client_of(Counted, session=SessionStore(session.session_key)):
            assert await aread(session) == {"visits": visits}


async def test_a_client_whose_session_ends_before_accept_is_turned_away():
    handled = []

    class Ending(Cart):
        async def connect(self):
            self.send_json({"secret": 1})
            await self.session.aset("soup", 2)
            await aend(self.session)
            await went_on.wait()

        async def on_async_put(self, *, name: str, value: int | str):
            handled.append(name)

    went_on = asyncio.Event()
    client = Client(Ending.as_asgi(), "/")
    client.scope["session"] = await acreate()
    await client.send_input({"type": "websocket.connect"})
    await client.send_json_to({"type": "ASYNC_PUT", "name": "soup", "value": 2})
    went_on.set()
    assert (await client.receive_output())["type"] == "websocket.accept"
    assert await is_told_to_log_in(client)
    await client.wait()
    assert not handled


@both_colours
async def test_what_a_disconnect_hook_changes_is_saved(colour):
    class Left(Cart):
        if colour:

            async def disconnect(self, code):
                await self.session.aset("left", code)
        else:

            def disconnect(self, code):
                self.session["left"] = code

    session = await acreate(theme="dark")
    async with client_of(Left, session=session) as client:
        await achange(session, soup=2)
        await client.disconnect(1001)
    assert await aread(session) == {"theme": "dark", "soup": 2, "left": 1001}


async def test_a_session_that_has_ended_before_the_disconnect_hook_is_no_fault(caplog):
    class Left(Cart):
        def disconnect(self, code):
            self.session["left"] = code

    session = await acreate(theme="dark")
    async with client_of(Left, session=session):
        await aend(session)
    assert not caplog.records
    assert not await Session.objects.aexists()


async def test_what_a_function_changed_before_it_failed_is_saved_in_the_end():
    router = SocketRouter()

    @router.route("FAIL")
    def fail(socket):
        socket.session["tries"] = socket.session.get("tries", 0) + 1
        raise SocketError("No.")

    session = await acreate()
    async with client_of(router, session=session) as client:
        assert (await client.ask({"type": "FAIL", "ref": 1}))["status"] == 400
        assert await aread(session) == {}
    assert await aread(session) == {"tries": 1}


@both_colours
async def test_what_a_stream_changes_is_saved_before_its_end_is_told(colour):
    router = SocketRouter()

    @router.route("SERVE")
    def serve(socket):
        for course in (1, 2):
            socket.session["served"] = course
            yield course

    @router.route("ASYNC_SERVE")
    async def serve_async(socket):
        for course in (1, 2):
            await socket.session.aset("served", course)
            yield course

    session = await acreate()
    async with client_of(router, session=session) as client:
        answers = [await client.ask({"type": f"{colour}SERVE", "ref": 1})]
        answers += [await client.receive_json_from() for _ in range(2)]
        assert [answer["status"] for answer in answers] == [206, 206, 200]
        assert await aread(session) == {"served": 2}


# Concurrent routes


@both_colours
async def test_functions_that_run_beside_one_another_all_have_their_changes_saved(colour):
    router = SocketRouter()
    together = threading.Barrier(4)

    @router.route("PUT", concurrent=True)
    def put(socket, *, name: str):
        together.wait(5)
        socket.session[name] = 1

    @router.route("ASYNC_PUT", concurrent=True)
    async def put_async(socket, *, name: str):
        await asyncio.to_thread(together.wait, 5)
        await socket.session.aset(name, 1)

    session = await acreate(theme="dark")
    names = ["soup", "pie", "cake", "tea"]
    async with client_of(router, session=session) as client:
        for name in names:
            await client.send_json_to({"type": f"{colour}PUT", "ref": name, "name": name})
        for _ in names:
            assert (await client.receive_json_from(5))["status"] == 204
        assert await aread(session) == {"theme": "dark", **dict.fromkeys(names, 1)}


@both_colours
async def test_what_is_changed_while_another_function_saves_is_saved_too(colour):
    saving, overtaken = threading.Event(), threading.Event()

    class Slow(SessionStore):
        def save(self, must_create=False):
            if not must_create and not saving.is_set():
                saving.set()
                overtaken.wait(0.3)
            super().save(must_create)
            if not must_create:
                overtaken.set()

    router = SocketRouter()

    @router.route("PUT", concurrent=True)
    def put(socket, *, name: str):
        socket.session[name] = 1

    @router.route("ASYNC_PUT", concurrent=True)
    async def put_async(socket, *, name: str):
        await socket.session.aset(name, 1)

    session = await acreate(Slow, theme="dark")
    session.modified = False
    async with client_of(router, session=session) as client:
        await client.send_json_to({"type": f"{colour}PUT", "ref": 1, "name": "soup"})
        await until(saving.is_set)
        await client.send_json_to({"type": f"{colour}PUT", "ref": 2, "name": "pie"})
        for _ in range(2):
            assert (await client.receive_json_from(5))["status"] == 204
        assert await aread(session) == {"theme": "dark", "soup": 1, "pie": 1}


def test_a_key_that_is_changed_during_a_save_keeps_its_newest_value():
    class Changing(SessionStore):
        def save(self, must_create=False):
            super().save(must_create)
            if saving:
                socket["theme"] = "newest"

    saving = False
    session = create(Changing, theme="dark")
    socket = Changing(session.session_key)
    socket.items()
    changes = SessionChanges(socket)
    socket["soup"] = 2
    change(session, theme="light")
    saving = True
    assert changes.save()
    assert dict(socket.items()) == {"theme": "newest", "soup": 2}
    assert changes.save()
    assert read(session) == {"theme": "newest", "soup": 2}


# Every engine


@pytest.fixture(params=ENGINES)
def store(request, settings, tmp_path, monkeypatch):
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "LOCATION": str(tmp_path),
        }
    }
    monkeypatch.setattr(FileStore, "_storage_path", str(tmp_path), raising=False)
    return import_module(f"django.contrib.sessions.backends.{request.param}").SessionStore


def test_changes_are_saved_in_every_engine(store):
    session = create(store, theme="dark", soup=2)
    socket = store(session.session_key)
    socket.items()  # as the middleware does that asks for the user
    changes = SessionChanges(socket)
    socket["pie"] = 4
    del socket["soup"]
    change(session, cake=3)
    assert changes.save()
    assert read(session) == dict(socket.items()) == {"theme": "dark", "pie": 4, "cake": 3}
    assert not socket.modified


def test_the_end_of_a_session_is_noticed_in_every_engine(store):
    session = create(store, theme="dark")
    socket = store(session.session_key)
    changes = SessionChanges(socket)
    socket["pie"] = 4
    session.delete()
    assert not changes.save()
    assert not store(None).exists(session.session_key)


def test_the_expiry_of_a_session_is_noticed_in_every_engine(store):
    session = create(store, theme="dark")
    session.set_expiry(-1)
    session.save()
    session.modified = False
    assert find_session(store, session.session_key) is None


def test_a_file_that_expired_leaves_no_other_in_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(FileStore, "_storage_path", str(tmp_path), raising=False)
    session = create(FileStore)
    session.set_expiry(-1)
    session.save()
    assert len(list(tmp_path.iterdir())) == 1
    assert find_session(FileStore, session.session_key) is None
    assert not list(tmp_path.iterdir())


class AwayCache(LocMemCache):
    """A cache that cannot be reached."""

    def get(self, key, default=None, version=None):
        raise ConnectionError("the cache is away")

    def has_key(self, key, version=None):
        return self.get(key)


def test_a_cache_that_is_away_has_ended_no_session(settings):
    session = create(CacheStore, theme="dark")
    settings.CACHES = {"default": {"BACKEND": "tests.test_sessions.AwayCache"}}
    socket = CacheStore(session.session_key)
    changes = SessionChanges(socket)
    socket._session_cache = {"theme": "light"}
    socket.modified = True
    with pytest.raises(ConnectionError):
        changes.save()
    assert socket.modified
