"""Logins, logouts and deletions, and the sockets that they concern."""

import asyncio
import threading
import time

import pytest
from asgiref.sync import sync_to_async
from channels.auth import login as channels_login
from channels.auth import logout as channels_logout
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, alogin, alogout, login, logout
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from sockets import RoutedSocketHandler, receivers
from sockets.hub import Hub
from sockets.models import Socket

from .clients import Client, client_of
from .conftest import until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("closing_connections"),
]

closed: list[str] = []
"""The threads in which streams were closed."""


class Watched(RoutedSocketHandler):
    async def on_ask(self):
        return self.user.pk

    async def on_stream(self):
        try:
            while True:
                yield 1
                await asyncio.sleep(0.01)
        finally:
            closed.append(threading.current_thread().name)

    def on_stream_sync(self):
        try:
            while True:
                yield 1
                time.sleep(0.01)
        finally:
            closed.append(threading.current_thread().name)

    routes = (("ASK", "on_ask"), ("STREAM", "on_stream"), ("STREAM_SYNC", "on_stream_sync"))


@pytest.fixture(autouse=True)
def short_grace(monkeypatch):
    monkeypatch.setattr(receivers, "GRACE", 0.1)


@pytest.fixture
def ann(transactional_db):
    return User.objects.create_user("ann")


@pytest.fixture
def ben(transactional_db):
    return User.objects.create_user("ben")


def session_of(user=None):
    """A stored session, in which the user is logged in."""
    session = SessionStore()
    if user is not None:
        session[SESSION_KEY] = str(user.pk)
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return session


def request_in(session):
    """A request of the browser that has this session."""
    request = HttpRequest()
    request.session = SessionStore(session.session_key)
    request.COOKIES = {"sessionid": session.session_key}
    return request


def tab(session, **scope):
    return client_of(Watched, session=SessionStore(session.session_key), **scope)


async def is_open(client):
    return (await client.ask({"type": "ASK", "ref": 1}))["status"] in (200, 204)


async def is_told_to_log_in(client):
    assert (await client.receive_json_from())["type"] == "RECONNECT"
    return await client.next_close() == 4401


async def rows_of(session_key):
    return [row async for row in Socket.objects.filter(session_key=session_key)]


async def test_a_logout_closes_the_sockets_of_its_session_and_no_others(ann):
    session, elsewhere = await sync_to_async(session_of)(ann), await sync_to_async(session_of)(ann)
    async with (
        tab(session, user=ann) as first,
        tab(session, user=ann) as second,
        tab(elsewhere, user=ann) as other,
    ):
        await sync_to_async(logout)(request_in(session))
        assert await is_told_to_log_in(first)
        assert await is_told_to_log_in(second)
        assert await is_open(other)
        async with asyncio.timeout(2):
            while await rows_of(session.session_key):
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("type", ["STREAM", "STREAM_SYNC"])
async def test_a_logout_ends_the_streams_of_its_session(ann, type):
    closed.clear()
    session = await sync_to_async(session_of)(ann)
    async with tab(session, user=ann) as client:
        assert (await client.ask({"type": type, "ref": 1}))["status"] == 206
        await sync_to_async(logout)(request_in(session))
        while (frame := await client.receive_json_from()).get("status") == 206:
            pass
        assert frame["type"] == "RECONNECT"
        assert await client.next_close() == 4401
        await until(lambda: closed)
    assert len(closed) == 1
    assert ("sockets-lane" in closed[0]) == (type == "STREAM_SYNC")


async def test_an_async_logout_does_the_same(ann):
    session = await sync_to_async(session_of)(ann)
    request = request_in(session)
    request.auser = sync_to_async(lambda: ann)
    async with tab(session, user=ann) as client:
        await alogout(request)
        assert await is_told_to_log_in(client)


async def test_a_logout_that_is_rolled_back_closes_nothing(ann):
    session = await sync_to_async(session_of)(ann)

    def log_out_in_vain():
        with transaction.atomic():
            logout(request_in(session))
            transaction.set_rollback(True)

    async with tab(session, user=ann) as client:
        await sync_to_async(log_out_in_vain)()
        assert await client.receive_nothing(0.3)
        assert await is_open(client)


async def test_a_client_that_was_on_its_way_when_the_session_ended_does_not_come_in(ann):
    session = await sync_to_async(session_of)(ann)
    async with client_of(Watched):  # so that there is a hub, as there is in a server's handshake
        late = Client(Watched.as_asgi(), "/")
        late.scope |= {"session": SessionStore(session.session_key), "user": ann}
        await sync_to_async(logout)(request_in(session))
        assert (await late.connect())[0]
        assert await is_told_to_log_in(late)
        await late.wait()
        assert not await rows_of(session.session_key)


async def test_a_logout_during_the_connect_hooks_refuses_the_client(ann):
    session = await sync_to_async(session_of)(ann)
    began, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Watched):
        async def connect(self):
            self.send_json({"secret": 1})
            began.set()
            await go_on.wait()

    client = Client(Slow.as_asgi(), "/")
    client.scope |= {"session": SessionStore(session.session_key), "user": ann}
    connecting = asyncio.create_task(client.connect())
    await began.wait()
    await sync_to_async(logout)(request_in(session))
    await connecting
    assert await is_told_to_log_in(client)
    go_on.set()
    await client.wait()
    assert not await rows_of(session.session_key)


async def test_a_login_keeps_the_visitors_sockets_under_the_new_key(ann):
    session = await sync_to_async(session_of)()
    request = request_in(session)
    async with tab(session) as client:
        await sync_to_async(login)(request, ann, "django.contrib.auth.backends.ModelBackend")
        new = request.session.session_key
        assert new != session.session_key
        async with asyncio.timeout(2):
            while not (rows := await rows_of(new)):
                await asyncio.sleep(0.01)
        assert rows[0].session_id == new
        assert await client.receive_nothing(2 * receivers.GRACE)
        assert await is_open(client)
        await sync_to_async(logout)(request_in(request.session))
        assert await is_told_to_log_in(client)


async def test_an_async_login_does_the_same(ann):
    session = await sync_to_async(session_of)()
    request = request_in(session)
    async with tab(session) as client:
        await alogin(request, ann, "django.contrib.auth.backends.ModelBackend")
        assert await client.receive_nothing(2 * receivers.GRACE)
        assert await is_open(client)


@pytest.mark.parametrize("colour", ["def", "async def"])
async def test_a_session_that_changes_its_key_keeps_its_sockets(ann, colour):
    session = await sync_to_async(session_of)(ann)
    changing = SessionStore(session.session_key)
    async with tab(session, user=ann) as client:
        await (
            changing.acycle_key() if colour == "async def" else sync_to_async(changing.cycle_key)()
        )
        assert await client.receive_nothing(3 * receivers.GRACE)
        assert await is_open(client)
        async with asyncio.timeout(2):
            while not await rows_of(changing.session_key):
                await asyncio.sleep(0.01)
        assert not await rows_of(session.session_key)


async def test_a_receiver_that_takes_long_does_not_end_the_sockets_of_who_logs_in(ann):
    session = await sync_to_async(session_of)()

    def send_mail(**kwargs):
        time.sleep(3 * receivers.GRACE)

    user_logged_in.connect(send_mail)
    user_logged_in.receivers.insert(0, user_logged_in.receivers.pop())
    try:
        async with tab(session) as client:
            request = request_in(session)
            await sync_to_async(login)(request, ann, "django.contrib.auth.backends.ModelBackend")
            assert await client.receive_nothing(2 * receivers.GRACE)
            assert await is_open(client)
    finally:
        user_logged_in.disconnect(send_mail)


async def test_a_login_as_somebody_else_closes_the_sockets_of_who_was_there(ann, ben):
    session = await sync_to_async(session_of)(ann)
    async with tab(session, user=ann) as client:
        request = request_in(session)
        await sync_to_async(login)(request, ben, "django.contrib.auth.backends.ModelBackend")
        assert await is_told_to_log_in(client)


async def test_a_second_login_of_the_same_user_keeps_the_sockets(ann):
    session = await sync_to_async(session_of)(ann)
    async with tab(session, user=ann) as client:
        request = request_in(session)
        await sync_to_async(login)(request, ann, "django.contrib.auth.backends.ModelBackend")
        assert await client.receive_nothing(2 * receivers.GRACE)
        assert await is_open(client)


async def test_a_deleted_session_closes_its_sockets(ann):
    session = await sync_to_async(session_of)(ann)
    async with tab(session, user=ann) as client:
        await Session.objects.filter(pk=session.session_key).adelete()
        assert await is_told_to_log_in(client)


async def test_clearing_sessions_that_ran_out_tells_nobody(ann, monkeypatch):
    told = []
    monkeypatch.setattr(receivers, "send", lambda broadcast, **kwargs: told.append(broadcast))
    session = await sync_to_async(session_of)(ann)
    await Session.objects.aupdate(expire_date=timezone.now())
    await sync_to_async(SessionStore.clear_expired)()
    assert not await Session.objects.filter(pk=session.session_key).aexists()
    assert told == []


@pytest.mark.parametrize("end", ["delete", "deactivate", "queryset"])
async def test_a_user_who_is_deleted_or_deactivated_loses_all_sockets(ann, ben, end):
    session = await sync_to_async(session_of)(ann)
    async with (
        tab(session, user=ann) as first,
        client_of(Watched, user=ann) as without_session,
        client_of(Watched, user=ben) as other,
    ):
        if end == "delete":
            await ann.adelete()
        elif end == "queryset":
            await User.objects.filter(username="ann").adelete()
        else:
            ann.is_active = False
            await ann.asave()
        assert await is_told_to_log_in(first)
        assert await is_told_to_log_in(without_session)
        assert await is_open(other)


async def test_a_new_password_ends_the_sockets_and_keeps_out_nobody(ann, ben):
    async with client_of(Watched, user=ann) as client, client_of(Watched, user=ben) as other:
        ann.set_password("a new one")
        await ann.asave()
        assert await is_told_to_log_in(client)
        assert await is_open(other)
        async with client_of(Watched, user=ann) as again:
            assert await is_open(again)


async def test_a_deactivation_that_is_rolled_back_closes_nothing(ann):
    def deactivate_in_vain():
        with transaction.atomic():
            ann.is_active = False
            ann.save()
            transaction.set_rollback(True)

    async with client_of(Watched, user=ann) as client:
        await sync_to_async(deactivate_in_vain)()
        assert await client.receive_nothing(0.1)
        assert await is_open(client)


async def test_a_login_or_logout_without_a_request_tells_nobody(ann):
    async with client_of(Watched, user=ann) as client:
        await user_logged_in.asend(User, user=ann)
        await user_logged_out.asend(User, user=ann)
        assert await client.receive_nothing(0.1)
        assert await is_open(client)


class Leaving(Watched):
    """Logs its own session in and out, with the functions that Channels has for it."""

    async def on_login(self):
        user = await User.objects.aget(username="ann")
        await channels_login(self.scope, user, "django.contrib.auth.backends.ModelBackend")
        self.session.modified = True

    async def on_logout(self):
        await channels_logout(self.scope)
        self.session.modified = True

    routes = (*Watched.routes, ("LOGIN", "on_login"), ("LOGOUT", "on_logout"))


def leaving_tab(session, **scope):
    return client_of(Leaving, session=SessionStore(session.session_key), **scope)


async def test_a_function_that_logs_out_is_answered_and_its_client_told(ann):
    session = await sync_to_async(session_of)(ann)
    async with leaving_tab(session, user=ann) as client, tab(session, user=ann) as other:
        assert (await client.ask({"type": "LOGOUT", "ref": 1}))["status"] == 204
        assert await is_told_to_log_in(client)
        assert await is_told_to_log_in(other)


async def test_a_function_that_logs_in_keeps_the_sockets_and_their_rows_are_the_users(ann):
    session = await sync_to_async(session_of)()
    async with leaving_tab(session) as client, tab(session) as other:
        assert (await client.ask({"type": "LOGIN", "ref": 1}))["status"] == 204
        assert await other.receive_nothing(3 * receivers.GRACE)
        assert await is_open(client)
        assert await is_open(other)
        async with asyncio.timeout(2):
            while not await Socket.objects.filter(user=ann).aexists():
                await asyncio.sleep(0.01)
        assert await Socket.objects.exclude(session_key=session.session_key).acount() == 2


async def test_saving_an_active_user_closes_nothing(ann):
    async with client_of(Watched, user=ann) as client:
        ann.first_name = "Ann"
        await ann.asave()
        assert await client.receive_nothing(0.1)
        assert await is_open(client)


async def test_a_login_of_a_user_whom_a_backend_lets_in_though_inactive_closes_nothing(ann):
    await User.objects.aupdate(is_active=False)
    await ann.arefresh_from_db()
    request = await sync_to_async(lambda: request_in(session_of()))()
    async with client_of(Watched, user=ann) as client:
        await alogin(request, ann, "django.contrib.auth.backends.AllowAllUsersModelBackend")
        assert await client.receive_nothing(0.1)
        assert await is_open(client)


async def test_who_was_logged_out_is_remembered_for_a_while_only(ann, monkeypatch):
    monkeypatch.setattr("sockets.members.REMEMBERED", 0.05)
    session = await sync_to_async(session_of)(ann)
    async with client_of(Watched):
        members = Hub.current().members
        await sync_to_async(logout)(request_in(session))
        await until(lambda: members._logged_out)
        await asyncio.sleep(0.1)
        async with client_of(Watched, user=ann) as client:
            assert await is_open(client)
