"""Tickets: tokens that open one socket, each once and soon."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import URLRouter
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, alogout, logout
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.cache import SessionStore as CacheStore
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore
from django.core.exceptions import SynchronousOnlyOperation
from django.core.management import call_command
from django.core.signing import Signer
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.http import HttpRequest
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone

from sockets import RoutedSocketHandler, tokens, watch
from sockets.models import Socket, Ticket
from sockets.tokens import (
    TicketMiddleware,
    aget_websocket_token,
    avalidate_websocket_token,
    get_websocket_token,
    prune_tickets,
    validate_websocket_token,
)

from .clients import Client

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)

VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE")
UNSIGNED = f"{'a' * 32}.9999999999.{'b' * 43}"


@pytest.fixture
def ann(db):
    return User.objects.create_user("ann", password="first")


@pytest.fixture
def ben(db):
    return User.objects.create_user("ben")


def session_of(user=None, store=SessionStore):
    session = store()
    if user is not None:
        session[SESSION_KEY] = str(user.pk)
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session


def request_of(user, session=None):
    request = HttpRequest()
    request.user = user
    if session is not None:
        request.session = session
    return request


def scope_of(token, user=None, **scope):
    """What a consumer has of a handshake that has the token in its path, as a URL argument."""
    return {
        "type": "websocket",
        "user": user or AnonymousUser(),
        "url_route": {"args": (), "kwargs": {"token": token}},
        **scope,
    }


def opens(token, user=None, **scope):
    return validate_websocket_token(scope_of(token, user, **scope))


# A token opens one socket


def test_ones_own_fresh_token_opens_once(ann):
    token = get_websocket_token(ann)
    assert opens(token, ann) is True
    assert opens(token, ann) is False


def test_the_twins_do_the_same(ann):
    async def use():
        token = await aget_websocket_token(ann)
        scope = scope_of(token)
        return await avalidate_websocket_token(scope), scope["user"], scope_of(token)

    valid, user, again = async_to_sync(use)()
    assert (valid, user) == (True, ann)
    assert not validate_websocket_token(again)


@committed
@pytest.mark.usefixtures("closing_connections")
async def test_in_a_coroutine_the_twin_is_named(ann):
    with pytest.raises(SynchronousOnlyOperation, match="aget_websocket_token"):
        get_websocket_token(ann)
    with pytest.raises(SynchronousOnlyOperation, match="avalidate_websocket_token"):
        validate_websocket_token({})


def test_the_scopes_user_is_the_tokens(ann):
    scope = scope_of(get_websocket_token(ann))
    assert validate_websocket_token(scope)
    assert scope["user"] == ann


def test_each_token_is_another(ann):
    first, second = get_websocket_token(ann), get_websocket_token(ann)
    assert first != second
    assert opens(second) and opens(first)


@pytest.mark.parametrize(
    "place",
    [
        lambda token: {"url_route": {"args": (), "kwargs": {"token": token}}},
        lambda token: {"path": f"/rooms/{token}/"},
        lambda token: {"query_string": f"a=1&token={token}&b".encode()},
        lambda token: {"subprotocols": ["sockets.json", token]},
    ],
)
def test_it_is_found_in_the_path_the_query_and_the_subprotocols(ann, place):
    scope = {"type": "websocket", **place(get_websocket_token(ann))}
    assert validate_websocket_token(scope)
    assert scope["user"] == ann


def test_it_may_be_given(ann):
    scope = {"type": "websocket"}
    assert validate_websocket_token(scope, token=get_websocket_token(ann))
    assert scope["user"] == ann


# Whom it opens nothing for


def test_another_users_token_opens_nothing_and_is_used_up(ann, ben):
    token = get_websocket_token(ann)
    assert not opens(token, ben)
    assert not opens(token, ann)


def test_an_anonymous_visitors_token_opens_nothing(ann):
    for visitor in (AnonymousUser(), request_of(AnonymousUser(), session_of())):
        token = get_websocket_token(visitor)
        assert tokens.TOKEN.fullmatch(token)
        assert not opens(token)
        assert not opens(token, ann)
    assert not Ticket.objects.exists()


def test_a_deleted_users_token_opens_nothing(ann):
    token = get_websocket_token(ann)
    ann.delete()
    assert not opens(token)


def test_a_deactivated_users_token_opens_nothing(ann):
    token = get_websocket_token(ann)
    User.objects.update(is_active=False)
    assert not opens(token)


def test_a_new_password_ends_it(ann):
    token = get_websocket_token(ann)
    ann.set_password("second")
    ann.save()
    assert not opens(token)


def test_what_is_not_a_saved_user_of_the_project_is_a_fault():
    class Service:
        pk, is_authenticated = "billing", True

    for given in (None, "ann", User(username="new"), Service(), request_of(Service())):
        with pytest.raises(TypeError, match="expected a request or a saved user"):
            get_websocket_token(given)


# What is no token


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        "null",
        "undefined",
        "a.b.c",
        "ä" * 32 + ".9999999999." + "ß" * 43,
        "\ud800",
        "\0",
        "²" * 100,
        "x" * 10_000_000,
        ".".join(["y" * 1_000_000] * 3),
        UNSIGNED,
        f"{UNSIGNED}\n",
        5,
        b"bytes",
        ["list"],
        {"a": "dict"},
        True,
    ],
    ids=lambda token: repr(token)[:20],
)
def test_what_is_no_token_opens_nothing_and_asks_no_database(token, ann, caplog):
    caplog.set_level(logging.DEBUG)
    with CaptureQueriesContext(connection) as queries:
        assert validate_websocket_token(scope_of(token)) is False
        assert validate_websocket_token(scope_of("null"), token=token) is False
    assert not queries
    assert not caplog.records


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"query_string": b"token=%FF%ED%A0%80&token&=&%"},
        {"query_string": b"token=a&" * 100_000},
        {"subprotocols": None},
        {"subprotocols": ["x" * 100_000] * 10},
        {"path": "/\udcff/" * 1000},
    ],
    ids=lambda scope: repr(scope)[:30],
)
def test_a_handshake_without_a_token_opens_nothing(scope, caplog):
    assert validate_websocket_token({"type": "websocket", **scope}) is False
    assert not caplog.records


def test_a_scope_that_no_server_makes_opens_nothing():
    assert validate_websocket_token({"url_route": None}) is False


def test_every_change_of_a_token_is_noticed(ann):
    token = get_websocket_token(ann)
    for place, letter in enumerate(token):
        # The last letter of a signature has two bits that mean nothing, and are compared too.
        other = token[:place] + ("b" if letter == "a" else "a") + token[place + 1 :]
        assert not opens(other)
    assert opens(token)


def test_what_was_signed_for_something_else_is_no_token(ann):
    random, expires, _ = get_websocket_token(ann).split(".")
    assert not opens(Signer(sep=".").sign(f"{random}.{expires}"))


def test_another_secret_key_opens_nothing(ann, settings):
    token = get_websocket_token(ann)
    settings.SECRET_KEY = "another"
    assert not opens(token)


def test_a_key_that_is_being_replaced_still_opens(ann, settings):
    token = get_websocket_token(ann)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another"
    assert opens(token)
    assert opens(get_websocket_token(ann))


# Time


def test_it_lasts_a_minute(ann, monkeypatch):
    token, now = get_websocket_token(ann), time.time()
    for seconds in (63, 3600, 10**9):
        monkeypatch.setattr(time, "time", lambda: now + seconds)  # noqa: B023
        assert not opens(token)
    monkeypatch.setattr(time, "time", lambda: now + 59)
    assert opens(token)


def test_it_lasts_as_long_as_one_says(ann, monkeypatch):
    token, now = get_websocket_token(ann, max_age=600), time.time()
    monkeypatch.setattr(time, "time", lambda: now + 599)
    assert opens(token)


def test_a_clock_that_is_behind_opens_all_the_same(ann, monkeypatch):
    token, now = get_websocket_token(ann), time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    assert opens(token)


@pytest.mark.parametrize("max_age", [0, -1, float("inf"), float("nan")])
def test_a_time_that_is_none_is_a_fault(ann, max_age):
    with pytest.raises(ValueError, match="expected max_age in seconds, more than 0"):
        get_websocket_token(ann, max_age=max_age)


# The session


@pytest.fixture(params=["db", "cache", "signed_cookies"])
def store(request, settings, tmp_path):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    backend = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": str(tmp_path)}}
    return {"db": SessionStore, "cache": CacheStore, "signed_cookies": CookieStore}[request.param]


def test_the_scopes_session_is_the_one_of_the_request(ann, store):
    session = session_of(ann, store)
    scope = scope_of(get_websocket_token(request_of(ann, session)))
    assert validate_websocket_token(scope)
    assert scope["user"] == ann
    assert scope["session"].session_key == session.session_key


@pytest.mark.parametrize("store", ["db", "cache"], indirect=True)
def test_a_logout_ends_it(ann, store):
    session = session_of(ann, store)
    request = request_of(ann, session)
    token = get_websocket_token(request)
    logout(request)
    assert not opens(token)


def test_a_session_of_somebody_else_by_now_ends_it(ann, ben):
    session = session_of(ann)
    token = get_websocket_token(request_of(ann, session))
    session[SESSION_KEY] = str(ben.pk)
    session.save()
    assert not opens(token)


def test_the_page_of_the_session_uses_it_with_its_cookie(ann):
    session = session_of(ann)
    here = SessionStore(session.session_key)
    scope = scope_of(get_websocket_token(request_of(ann, session)), ann, session=here)
    assert validate_websocket_token(scope)
    assert scope["session"] is here


def test_with_the_cookie_of_another_session_it_opens_nothing(ann):
    token = get_websocket_token(request_of(ann, session_of(ann)))
    assert not opens(token, ann, session=session_of(ann))


def test_a_token_of_a_user_alone_goes_with_every_session_of_theirs(ann):
    assert opens(get_websocket_token(ann), ann, session=session_of(ann))


@pytest.mark.parametrize("logged_in", [False, None])
def test_who_is_logged_in_without_a_session_is_bound_to_none(ann, logged_in):
    session = None if logged_in is None else session_of()
    token = get_websocket_token(request_of(ann, session))
    assert Ticket.objects.get().session_key == ""
    assert opens(token)


def test_a_session_that_has_no_key_yet_is_none(ann):
    session = SessionStore()
    session[SESSION_KEY] = str(ann.pk)
    assert opens(get_websocket_token(request_of(ann, session)))


# What the database has


def test_the_token_is_kept_nowhere(ann):
    token = get_websocket_token(ann)
    parts = token.split(".")
    [kept] = Ticket.objects.values()
    for text in (token, parts[0], parts[2], ann.get_session_auth_hash()):
        assert text not in str(kept)
    assert str(Ticket.objects.get()) == f"{kept['digest'][:8]} ({ann.pk})"


def test_the_token_tells_nothing_of_its_user(ann):
    random, expires, _ = get_websocket_token(ann).split(".")
    assert len(random) == 32
    assert time.time() < int(expires) <= time.time() + 61


def test_a_project_may_have_tickets_of_its_own():
    assert not hasattr(User, "ticket_set")


@committed
def test_expired_tickets_go_when_another_is_made(ann):
    for _ in range(3):
        get_websocket_token(ann)
    opens(get_websocket_token(ann))
    Ticket.objects.update(expires=timezone.now() - timedelta(seconds=1))
    token = get_websocket_token(ann)
    assert Ticket.objects.count() == 1
    assert opens(token)


@committed
def test_they_go_after_the_transaction_in_which_one_is_made(ann):
    get_websocket_token(ann)
    Ticket.objects.update(expires=timezone.now() - timedelta(seconds=1))
    with transaction.atomic():
        get_websocket_token(ann)
        assert Ticket.objects.count() == 2
    assert Ticket.objects.count() == 1


@committed
def test_a_database_that_deletes_nothing_keeps_no_token_back(ann, monkeypatch, caplog):
    def fail():
        raise DatabaseError("locked")

    monkeypatch.setattr(tokens, "prune_tickets", fail)
    assert opens(get_websocket_token(ann))
    assert "locked" in caplog.text


def test_the_command_deletes_them_all(ann, capsys, monkeypatch):
    monkeypatch.setattr(tokens, "BATCH", 2)
    for _ in range(5):
        get_websocket_token(ann)
    Ticket.objects.update(expires=timezone.now() - timedelta(seconds=1))
    kept = Ticket.objects.create(digest="a", user=ann, expires=timezone.now() + timedelta(1))
    call_command("prune_sockets")
    assert capsys.readouterr().out == "5 rows deleted.\n"
    assert Ticket.objects.get() == kept
    assert prune_tickets() == 0


@committed
def test_making_and_using_one_take_few_statements(ann):
    with CaptureQueriesContext(connection) as made:
        token = get_websocket_token(ann)
    with CaptureQueriesContext(connection) as used:
        assert opens(token)
    verbs = [[query["sql"].split()[0] for query in found] for found in (made, used)]
    made, used = ([verb for verb in found if verb in VERBS] for found in verbs)
    assert made == ["INSERT", "SELECT"]
    assert used == ["UPDATE", "SELECT", "SELECT"]


# Two at once, and transactions


@committed
@pytest.mark.parametrize("inside_atomic", [False, True])
def test_of_two_at_once_one_is_let_in(ann, inside_atomic, caplog):
    start = threading.Barrier(2)

    def use(token):
        try:
            start.wait(5)
            if not inside_atomic:
                return opens(token)
            with transaction.atomic():
                valid = opens(token)
                time.sleep(0.02)
                assert User.objects.count() == 1  # the transaction can still be used
                return valid
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        for _ in range(10):
            token = get_websocket_token(ann)
            assert sorted(threads.map(use, [token] * 2)) == [False, True]
    assert not caplog.records


def test_what_is_rolled_back_was_not_used(ann):
    token = get_websocket_token(ann)
    with transaction.atomic():
        assert opens(token)
        transaction.set_rollback(True)
    assert opens(token)


def test_a_database_that_is_away_opens_nothing(ann, monkeypatch, caplog):
    token = get_websocket_token(ann)

    def fail():
        raise OperationalError("away")

    monkeypatch.setattr(tokens, "_tickets", fail)
    assert not opens(token)
    assert "A ticket cannot be looked at" in caplog.text and "away" in caplog.text
    assert token not in caplog.text
    monkeypatch.undo()
    assert opens(token)


def test_a_users_model_without_hashes_and_switches_will_do(ann, monkeypatch):
    monkeypatch.delattr("django.contrib.auth.base_user.AbstractBaseUser.get_session_auth_hash")
    assert opens(get_websocket_token(ann))


# The middleware


class Plain(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.accept()
        await self.send_json(
            {
                "user": self.scope["user"].username,
                "path": self.scope["path"],
                "subprotocols": self.scope["subprotocols"],
                "valid": await avalidate_websocket_token(self.scope),
            }
        )


class Own(RoutedSocketHandler):
    def connect(self):
        if not validate_websocket_token(self.scope):
            self.close(4403)

    def on_who(self):
        row = Socket.objects.get(pk=self.id)
        return [self.user.username, row.user_id == self.user.pk, row.path]

    routes = (("WHO", "on_who"),)


class Rooms(RoutedSocketHandler):
    def on_who(self):
        row = Socket.objects.get(pk=self.id)
        told = [self.user.username, row.user and row.user.username]
        return [*told, row.session_key, row.path, self.joined]

    routes = (("WHO", "on_who"),)


urls = [
    path("plain/<str:token>/", Plain.as_asgi()),
    path("plain/", Plain.as_asgi()),
    path("rooms/<str:token>/", Rooms.as_asgi()),
    path("rooms/", Rooms.as_asgi()),
    path("own/<str:token>/", Own.as_asgi()),
]
application = AuthMiddlewareStack(TicketMiddleware(URLRouter(urls)))


async def connect(url, **options):
    client = Client(application, url, **options)
    connected, subprotocol = await client.connect()
    assert connected
    return client, subprotocol


@pytest.fixture
def token(ann):
    return get_websocket_token(ann)


@committed
@pytest.mark.usefixtures("closing_connections")
async def test_a_consumer_of_channels_has_the_user(token):
    client, _ = await connect(f"/plain/{token}/")
    told = {"user": "ann", "path": "/plain/ticket/", "subprotocols": [], "valid": True}
    assert await client.receive_json_from() == told
    await client.disconnect()


@committed
@pytest.mark.usefixtures("closing_connections")
@pytest.mark.parametrize("url", ["/plain/null/", f"/plain/?token={UNSIGNED}", "/plain/"])
async def test_without_a_valid_token_the_user_is_the_one_of_the_cookie(url):
    client, _ = await connect(url)
    told = {"user": "", "path": url.split("?")[0], "subprotocols": [], "valid": False}
    assert await client.receive_json_from() == told
    await client.disconnect()


def test_a_handshake_without_a_token_waits_for_nothing():
    seen = []

    async def inner(scope, receive, send):
        seen.append(scope["ticket"])

    scope = {"type": "websocket", "path": "/rooms/", "query_string": b"token=", "headers": []}
    with pytest.raises(StopIteration):
        TicketMiddleware(inner)(scope, None, None).send(None)
    assert seen == [False]


@committed
@pytest.mark.usefixtures("closing_connections")
async def test_the_path_as_the_server_got_it_has_no_token_either(token):
    seen = []

    async def inner(scope, receive, send):
        seen.append(scope)

    for brought in (token, UNSIGNED):
        path, raw_path = f"/caf\u00e9/{brought}/", f"/caf%C3%A9/{brought}/".encode()
        scope = {"type": "websocket", "path": path, "raw_path": raw_path}
        await TicketMiddleware(inner)(scope, None, None)
        assert (scope["path"], scope["raw_path"]) == (path, raw_path)
    assert [scope["ticket"] for scope in seen] == [True, False]
    for scope in seen:
        assert (scope["path"], scope["raw_path"]) == ("/caf\u00e9/ticket/", b"/caf%C3%A9/ticket/")


def test_a_token_that_is_given_counts_though_the_handshake_had_one(ann):
    scope = {"user": ann, "ticket": True}
    assert validate_websocket_token(scope)
    assert not validate_websocket_token(scope, token=UNSIGNED)
    token = get_websocket_token(ann)
    assert validate_websocket_token(scope, token=token)
    assert not validate_websocket_token(scope, token=token)


@committed
@pytest.mark.usefixtures("closing_connections")
async def test_a_token_is_never_the_subprotocol_that_is_chosen(token):
    client, chosen = await connect("/rooms/", subprotocols=[token, "sockets.json"])
    assert chosen == "sockets.json"
    assert (await client.ask({"type": "WHO", "ref": 1}))["data"][0] == "ann"
    await client.disconnect()
    client, chosen = await connect("/plain/", subprotocols=[UNSIGNED, "own"])
    told = await client.receive_json_from()
    assert (told["user"], told["subprotocols"], chosen) == ("", ["own"], None)
    await client.disconnect()


@committed
@pytest.mark.usefixtures("closing_connections")
async def test_the_row_is_the_users_and_has_no_token(token):
    client, _ = await connect(f"/rooms/{token}/")
    told = (await client.ask({"type": "WHO", "ref": 1}))["data"]
    assert told == ["ann", "ann", "", "/rooms/ticket/", []]
    await client.disconnect()


@committed
@pytest.mark.usefixtures("closing_connections")
async def test_a_hook_may_ask_for_the_token_itself(token):
    routed = URLRouter(urls)
    client = Client(routed, f"/own/{token}/")
    assert (await client.connect())[0]
    told = (await client.ask({"type": "WHO", "ref": 1}))["data"]
    assert told[:2] == ["ann", True]
    await client.disconnect()
    client = Client(routed, f"/own/{token}/")
    assert (await client.connect())[0]
    assert await client.next_close() == 4403
    await client.wait()


@committed
@pytest.mark.usefixtures("closing_connections")
async def test_what_is_no_websocket_goes_through():
    seen = []

    async def inner(scope, receive, send):
        seen.append(scope)

    scope = {"type": "lifespan"}
    await TicketMiddleware(inner)(scope, None, None)
    assert seen == [scope] and seen[0] is scope


# What ends a socket that was opened without a cookie


async def is_told_to_log_in(client):
    assert (await client.receive_json_from())["type"] == "RECONNECT"
    code = await client.next_close()
    await client.wait()
    return code == 4401


@committed
@pytest.mark.usefixtures("closing_connections")
async def test_a_logout_closes_it(ann):
    session = await sync_to_async(session_of)(ann)
    request = request_of(ann, session)
    request.auser = sync_to_async(lambda: ann)
    client, _ = await connect(f"/rooms/?token={await aget_websocket_token(request)}")
    told = (await client.ask({"type": "WHO", "ref": 1}))["data"]
    assert told[:3] == ["ann", "ann", session.session_key]
    await alogout(request)
    assert await is_told_to_log_in(client)


@committed
@pytest.mark.usefixtures("closing_connections")
@pytest.mark.parametrize("bound", [True, False])
async def test_deleting_the_user_closes_it(ann, bound):
    given = request_of(ann, await sync_to_async(session_of)(ann)) if bound else ann
    client, _ = await connect(f"/rooms/?token={await aget_websocket_token(given)}")
    await client.ask({"type": "WHO", "ref": 1})
    await ann.adelete()
    assert await is_told_to_log_in(client)


@committed
@pytest.mark.usefixtures("closing_connections")
async def test_a_session_that_was_deleted_unheard_closes_it(ann, monkeypatch):
    monkeypatch.setattr(watch, "EVERY", 0.02)
    monkeypatch.setattr(watch, "GRACE", 0.0)
    session = await sync_to_async(session_of)(ann)
    token = await aget_websocket_token(request_of(ann, session))
    client, _ = await connect(f"/rooms/?token={token}")
    await client.ask({"type": "WHO", "ref": 1})
    rows = SessionStore.get_model_class().objects.filter(session_key=session.session_key)
    await sync_to_async(rows._raw_delete)(rows.db)
    assert await is_told_to_log_in(client)


# Logs


@committed
@pytest.mark.usefixtures("closing_connections")
async def test_no_log_has_a_token(ann, caplog, settings):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "django")
    settings.DEBUG = True  # which has every statement logged, with its values

    class Failing(Rooms):
        def on_who(self):
            raise ZeroDivisionError

    routed = TicketMiddleware(URLRouter([path("<str:token>/", Failing.as_asgi())]))
    token = await aget_websocket_token(ann)
    for url in (f"/{token}/", f"/{token}/", f"/{token}/?token={token}"):
        client = Client(routed, url, subprotocols=[token])
        assert (await client.connect())[0]
        assert (await client.ask({"type": "WHO", "ref": 1}))["status"] == 500
        await client.disconnect()
    assert "ZeroDivisionError" in caplog.text and "sockets_ticket" in caplog.text
    for record in caplog.records:
        assert token not in f"{record.getMessage()} {record.args} {record.exc_text}"
