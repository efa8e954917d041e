"""What nobody was told of is found by looking."""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.backends.cache import SessionStore as CacheStore
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from sockets import RoutedSocketHandler, watch
from sockets.broadcasts import Broadcast, NewSession, Target
from sockets.hub import Hub
from sockets.identity import find_ended

from .clients import client_of
from .conftest import until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("closing_connections"),
]


class Watched(RoutedSocketHandler):
    async def on_ask(self):
        return self.path

    routes = (("ASK", "on_ask"),)


@pytest.fixture(autouse=True)
def looking_often(monkeypatch):
    monkeypatch.setattr(watch, "EVERY", 0.02)
    monkeypatch.setattr(watch, "GRACE", 0.0)


@pytest.fixture
def looks(monkeypatch):
    """What each look asked for, and found to have ended."""
    looks = []

    def noting(identities):
        found = find_ended(identities)
        looks.append((identities, found))
        return found

    monkeypatch.setattr(watch, "find_ended", noting)
    return looks


@pytest.fixture
def ann(transactional_db):
    return User.objects.create(username="ann")


@pytest.fixture
def ben(transactional_db):
    return User.objects.create(username="ben")


def create(store=SessionStore):
    session = store()
    session["theme"] = "dark"
    session.create()
    return session


acreate = sync_to_async(create)


@sync_to_async
def delete_unheard(rows):
    """Delete rows so that no signal tells of it."""
    rows._raw_delete(rows.db)


async def is_told_to_log_in(client):
    assert (await client.receive_json_from(5))["type"] == "RECONNECT"
    return await client.next_close() == 4401


async def is_open(client):
    return (await client.ask({"type": "ASK", "ref": 1}))["status"] == 200


async def test_a_session_that_was_deleted_unheard_closes_its_sockets_and_no_others():
    session, other = await acreate(), await acreate()
    async with (
        client_of(Watched, session=session) as first,
        client_of(Watched, session=session) as second,
        client_of(Watched, session=other) as third,
        client_of(Watched) as fourth,
    ):
        await delete_unheard(Session.objects.filter(session_key=session.session_key))
        assert await is_told_to_log_in(first)
        assert await is_told_to_log_in(second)
        assert await is_open(third)
        assert await is_open(fourth)


async def test_a_session_that_has_expired_closes_its_sockets():
    session = await acreate()
    async with client_of(Watched, session=session) as client:
        await Session.objects.aupdate(expire_date=timezone.now())
        assert await is_told_to_log_in(client)


async def test_a_session_of_another_engine_closes_its_sockets_too(settings):
    backend = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": "watch"}}
    session = await acreate(CacheStore)
    async with client_of(Watched, session=session) as client:
        await sync_to_async(CacheStore(session.session_key).delete)()
        assert await is_told_to_log_in(client)


async def test_a_user_that_was_deactivated_unheard_is_logged_out_everywhere(ann, ben):
    async with (
        client_of(Watched, session=await acreate(), user=ann) as first,
        client_of(Watched, session=await acreate(), user=ann) as second,
        client_of(Watched, session=await acreate(), user=ben) as other,
    ):
        await User.objects.filter(pk=ann.pk).aupdate(is_active=False)
        assert await is_told_to_log_in(first)
        assert await is_told_to_log_in(second)
        assert await is_open(other)


async def test_a_user_that_was_deleted_unheard_is_logged_out(ann):
    async with client_of(Watched, user=ann) as client:
        await delete_unheard(User.objects.filter(pk=ann.pk))
        assert await is_told_to_log_in(client)


async def test_who_is_still_there_stays(ann, looks):
    async with client_of(Watched, session=await acreate(), user=ann) as client:
        await until(lambda: len(looks) > 2)
        assert await is_open(client)


async def test_connections_without_session_and_user_are_not_asked_for(ann, looks, monkeypatch):
    loops = []
    look = watch.Watch._look

    async def noting(self):
        loops.append(self)
        await look(self)

    monkeypatch.setattr(watch.Watch, "_look", noting)
    async with client_of(Watched):
        await until(lambda: len(loops) > 2)
        assert looks == []
        async with client_of(Watched, user=ann):
            await until(lambda: len(looks) > 1)
    assert {len(identities) for identities, _ in looks} == {1}


async def test_a_look_that_fails_is_logged_and_tried_again(ann, monkeypatch, caplog):
    faults = [ConnectionError("the database is away"), ConnectionError("still away")]

    def failing(identities):
        if faults:
            raise faults.pop(0)
        return find_ended(identities)

    monkeypatch.setattr(watch, "find_ended", failing)
    async with client_of(Watched, user=ann) as client:
        await User.objects.filter(pk=ann.pk).aupdate(is_active=False)
        assert await is_told_to_log_in(client)
    assert caplog.text.count("Sessions and users could not be looked at; trying again") == 2
    assert "still away" in caplog.text


async def test_a_look_may_be_wanted_at_once(ann, looks, monkeypatch):
    monkeypatch.setattr(watch, "EVERY", 600.0)
    async with client_of(Watched, user=ann) as client:
        await User.objects.filter(pk=ann.pk).aupdate(is_active=False)
        assert not looks
        Hub.current().watch.look_now()
        assert await is_told_to_log_in(client)
        assert len(looks) == 1


async def test_a_session_that_turns_out_to_have_moved_keeps_its_sockets(ann, looks, monkeypatch):
    monkeypatch.setattr(watch, "EVERY", 600.0)
    monkeypatch.setattr(watch, "GRACE", 0.5)
    old, new = await acreate(), await acreate()
    moving = NewSession(new.session_key, str(ann.pk))
    moving = Broadcast(Target("session", old.session_key), moving)
    async with client_of(Watched, session=old) as client:
        await delete_unheard(Session.objects.filter(session_key=old.session_key))
        hub = Hub.current()
        hub.watch.look_now()
        await until(lambda: looks)
        hub.deliver(moving)
        assert await client.receive_nothing(0.8)
        assert await is_open(client)
        await delete_unheard(Session.objects.filter(session_key=new.session_key))
        hub.watch.look_now()
        assert await is_told_to_log_in(client)


async def test_looking_ends_with_the_last_connection(ann, looks):
    async with client_of(Watched, user=ann):
        await until(lambda: looks)
        [task] = [task for task in asyncio.all_tasks() if "_look_often" in repr(task)]
    await until(task.done)
