"""Whose a connection is, and which sessions and users are no more."""

import os
import uuid
from importlib import import_module

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.cache import SessionStore as CacheStore
from django.contrib.sessions.backends.cached_db import SessionStore as CachedStore
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.backends.file import SessionStore as FileStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore
from django.contrib.sessions.base_session import AbstractBaseSession
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import connection, connections, models
from django.test.utils import CaptureQueriesContext, isolate_apps

from sockets import RoutedSocketHandler, identity
from sockets.identity import Identity, find_ended, storable_key
from sockets.models import Socket

from .clients import client_of

pytestmark = pytest.mark.django_db(transaction=True)

ENGINES = ("db", "cached_db", "cache", "redis", "file", "signed_cookies")


class Service:
    """Somebody who has a name and no place in the database."""

    pk = "billing"
    is_authenticated = True


def create(store=SessionStore, **data):
    session = store()
    session.update(data or {"theme": "dark"})
    if store is CookieStore:
        session.save()
    else:
        session.create()
    return session


def of(session=None, user=None):
    return Identity.of({"session": session, "user": user})


def make_user(name="ann", **fields):
    return User.objects.create(username=name, **fields)


def use_redis(settings):
    url = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
    backend = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}
    settings.CACHES = {"default": {**backend, "KEY_PREFIX": uuid.uuid4().hex}}
    try:
        cache.set("there", 1, 1)
    except Exception as fault:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"Redis is not there: {fault}")


@pytest.fixture(params=ENGINES)
def store(request, settings, tmp_path, monkeypatch):
    """Each of Django's session engines; the cache's with a local cache and with Redis."""
    if request.param == "redis":
        use_redis(settings)
        return CacheStore
    backend = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": str(tmp_path)}}
    monkeypatch.setattr(FileStore, "_storage_path", str(tmp_path), raising=False)
    return import_module(f"django.contrib.sessions.backends.{request.param}").SessionStore


# Whose a connection is


@pytest.mark.parametrize("user", [None, AnonymousUser()])
def test_nobody_has_neither_session_nor_user(user):
    assert of(None, user) == Identity()
    assert of(SessionStore(), user).places == set()


def test_a_user_in_a_session_is_found_by_both():
    ann, session = make_user(), create()
    assert of(session, ann).places == {("session", session.session_key), ("user", str(ann.pk))}


def test_a_primary_key_given_as_text_is_the_same():
    ann = make_user()
    assert of(user=User(pk=str(ann.pk))) == of(user=ann)


def test_a_key_that_no_database_can_hold_is_none():
    for key in ("12345678\0", "12345678\n", "1234567\N{SNOWMAN}"):
        assert of(SessionStore(key)).session_key == ""


def test_long_keys_are_known_by_a_digest():
    session = create(CookieStore, text="long" * 100)
    [(kind, name)] = of(session).places
    assert (kind, name) == ("session", storable_key(session.session_key))
    assert len(name) == 64


# Sessions


def test_a_session_that_lives_has_not_ended(store):
    session = create(store)
    assert find_ended([of(session)]) == (set(), set())


@pytest.mark.parametrize("store", ENGINES[:-1], indirect=True)
def test_a_deleted_session_has_ended_in_every_engine_that_stores_it(store):
    here, elsewhere = create(store), create(store)
    identities = [of(here), of(elsewhere)]
    store(here.session_key).delete()
    assert find_ended(identities) == ({here.session_key}, set())


def test_an_expired_session_has_ended_in_every_engine(store, settings):
    session = create(store)
    expired = of(session)
    if store is CookieStore:
        settings.SESSION_COOKIE_AGE = -1
    else:
        session.set_expiry(-1)
        session.save()
    assert find_ended([expired]) == ({expired.session_key}, set())


def test_a_session_deleted_from_the_database_has_ended_though_a_cache_has_it():
    session = create(CachedStore)
    Session.objects.all()._raw_delete("default")
    assert CachedStore(session.session_key)["theme"] == "dark"
    assert find_ended([of(session)])[0] == {session.session_key}


@pytest.mark.parametrize("engine", [SessionStore, CacheStore])
def test_a_key_that_nobody_has_looked_up_has_not_ended(engine):
    stale = engine("a-key-from-an-old-cookie")
    assert find_ended([of(stale)]) == (set(), set())


def test_a_cookie_that_was_invalid_from_the_start_has_not_ended():
    stale = CookieStore("a:text:that-nobody-has-signed")
    assert not list(stale.items())
    assert find_ended([of(stale)]) == (set(), set())


@isolate_apps("tests")
def test_sessions_of_a_model_of_the_projects_own():
    class Visit(AbstractBaseSession):
        class Meta:
            app_label = "tests"

    class VisitStore(SessionStore):
        @classmethod
        def get_model_class(cls):
            return Visit

    with connection.schema_editor() as editor:
        editor.create_model(Visit)
    try:
        here, ended, plain = create(VisitStore), create(VisitStore), create()
        identities = [of(here), of(ended), of(plain)]
        Visit.objects.filter(session_key=ended.session_key).delete()
        assert find_ended(identities) == ({ended.session_key}, set())
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Visit)


# Users


def test_users_that_are_deleted_or_not_active_any_more_have_ended():
    ann, ben, eve = make_user("ann"), make_user("ben"), make_user("eve")
    identities = [of(user=user) for user in (ann, ben, eve)]
    assert find_ended(identities) == (set(), set())
    User.objects.filter(pk=ben.pk).update(is_active=False)
    User.objects.filter(pk=eve.pk)._raw_delete("default")
    assert find_ended(identities) == (set(), {ben.pk, eve.pk})


def test_a_user_that_was_let_in_though_not_active_has_not_ended():
    assert find_ended([of(user=make_user(is_active=False))]) == (set(), set())


def test_a_user_that_is_none_of_the_projects_is_not_asked_for(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert find_ended([of(user=Service())]) == (set(), set())


@isolate_apps("tests")
def test_users_with_other_primary_keys_and_without_is_active(monkeypatch):
    class Guest(AbstractBaseUser):
        id = models.UUIDField(primary_key=True, default=uuid.uuid4)

        class Meta:
            app_label = "tests"

    monkeypatch.setattr(identity, "get_user_model", lambda: Guest)
    with connection.schema_editor() as editor:
        editor.create_model(Guest)
    try:
        here, ended = Guest.objects.create(), Guest.objects.create()
        identities = [of(create(), user) for user in (here, ended)]
        assert find_ended(identities) == (set(), set())
        Guest.objects.filter(pk=ended.pk).delete()
        assert find_ended(identities) == (set(), {ended.pk})
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Guest)


# How it is asked


def test_sessions_and_users_are_asked_for_in_one_query(django_assert_num_queries):
    identities = [of(create(), make_user(str(number))) for number in range(5)]
    Session.objects.filter(session_key=identities[0].session_key).delete()
    User.objects.filter(pk=identities[1].user_pk).update(is_active=False)
    with django_assert_num_queries(1):
        assert find_ended(identities) == (
            {identities[0].session_key},
            {identities[1].user_pk},
        )


@pytest.mark.parametrize("with_session", [True, False])
def test_either_alone_is_one_query_too(with_session, django_assert_num_queries):
    known = of(create()) if with_session else of(user=make_user())
    with django_assert_num_queries(1):
        assert find_ended([known, known]) == (set(), set())


def test_nobody_is_no_query(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert find_ended([]) == find_ended([Identity()]) == (set(), set())


def test_many_are_asked_for_in_queries_of_a_bounded_size(monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(identity, "CHUNK", 2)
    identities = [of(create(), make_user(str(number))) for number in range(5)]
    identities += [of(create()) for _ in range(2)]
    ended = identities[-1].session_key
    Session.objects.filter(session_key=ended).delete()
    with django_assert_num_queries(4) as queries:
        assert find_ended(identities) == ({ended}, set())
    assert all(query["sql"].count("IN (") <= 2 for query in queries)


def test_the_bound_is_one_that_the_database_takes():
    numbers = range(1_000_000, 1_000_000 + 2 * identity.CHUNK)
    identities = [Identity(f"session{n}", SessionStore, True, n, True) for n in numbers]
    sessions, users = find_ended(identities)
    assert len(sessions) == len(users) == len(numbers)


class UsersElsewhere:
    """A database router that keeps users in a database of their own."""

    def db_for_read(self, model, **hints):
        return "replica" if model is User else None  # which nobody must ask

    def db_for_write(self, model, **hints):
        return "users" if model is User else None


@pytest.fixture
def users_elsewhere(settings, tmp_path):
    """A second database, in a file that can be closed, with the users."""
    file = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "users.sqlite3")}
    connections.settings["users"] = {**connections.settings["default"], **file, "OPTIONS": {}}
    try:
        connections["users"].connect()  # by hand: Django's tests forbid it for what came later
        with connections["users"].schema_editor() as editor:
            editor.create_model(User)
        settings.DATABASE_ROUTERS = ["tests.test_identity.UsersElsewhere"]
        yield connections["users"]
    finally:
        connections["users"].close()
        del connections["users"], connections.settings["users"]


def test_users_in_another_database_are_asked_for_there(users_elsewhere):
    ann, ben = (User.objects.using("users").create(username=name) for name in ("ann", "ben"))
    identities = [of(create(), ann), of(create(), ben)]
    User.objects.using("users").filter(pk=ben.pk).update(is_active=False)
    Session.objects.filter(session_key=identities[0].session_key).delete()
    with CaptureQueriesContext(connection) as here, CaptureQueriesContext(users_elsewhere) as there:
        assert find_ended(identities) == ({identities[0].session_key}, {ben.pk})
    assert (len(here), len(there)) == (1, 1)


# Rows


@pytest.mark.usefixtures("closing_connections")
async def test_the_row_of_a_service_has_no_user():
    class Rows(RoutedSocketHandler):
        def on_user(self):
            return Socket.objects.get(pk=self.id).user_id

        routes = (("USER", "on_user"),)

    async with client_of(Rows, user=Service()) as client:
        assert await client.ask({"type": "USER", "ref": 1}) == {
            "type": "USER",
            "ref": 1,
            "status": 204,
        }
