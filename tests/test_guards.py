"""Conditions on who may: composed of functions, and the ready-made ones."""

import pytest
from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.core.handlers.exception import convert_exception_to_response
from django.test import RequestFactory

from sockets import CallError, RoutedSocketHandler, SocketError, SocketRouter
from sockets.exceptions import DeclarationError, LoginRequired
from sockets.guards import (
    Guard,
    authenticated,
    has_object_perm,
    has_perm,
    in_group,
    require_perms,
    staff,
)
from sockets.permissions import users

from .clients import Client, client_of

with_users = pytest.mark.usefixtures("transactional_db", "closing_connections")
COLOURS = pytest.mark.parametrize("colour", ["def", "async def"])


@pytest.fixture(autouse=True)
def nobody_remembered():
    users.forget_all()


def make_user(*permissions, name="ann", **fields):
    user = User.objects.create(username=name, **fields)
    for permission in permissions:
        user.user_permissions.add(Permission.objects.get(codename=permission))
    return user


async def amake_user(*permissions, **fields):
    return await sync_to_async(make_user)(*permissions, **fields)


def guard_of(verdict, colour="def"):
    def guard(socket):
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    async def aguard(socket):
        return guard(socket)

    return Guard(guard if colour == "def" else aguard)


async def ask(guard, **scope):
    """The status and text with which a route behind the guard answers."""
    socket = SocketRouter()

    @socket.route("ASK", guards=[guard])
    async def on_ask(socket):
        return "passed"

    async with client_of(socket, **scope) as client:
        answer = await client.ask({"type": "ASK", "ref": 1})
    return answer["status"], answer.get("details", answer.get("data"))


# Composition

PASSED = 200, "passed"
DENIED = 403, "You may not do this."
MEMBERS = PermissionDenied("Members only.")
SAID = 403, "Members only."


@COLOURS
@pytest.mark.parametrize(
    ("verdict", "answer"),
    [
        (True, PASSED),
        (None, PASSED),
        (False, DENIED),
        (MEMBERS, SAID),
        (LoginRequired(), (401, "You are not logged in; log in and reload.")),
    ],
)
async def test_a_guard_passes_or_refuses(verdict, answer, colour):
    assert await ask(guard_of(verdict, colour)) == answer


@pytest.mark.parametrize("value", [0, 1, "", "yes", [], object()])
async def test_an_answer_that_is_none_is_a_fault_and_no_pass(value, caplog):
    assert await ask(guard_of(value)) == (500, "The server failed.")
    assert "expected True or None to pass, or False to refuse" in caplog.text


@COLOURS
@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        (True, None, PASSED),
        (True, False, DENIED),
        (False, MEMBERS, DENIED),
        (MEMBERS, False, SAID),
    ],
)
async def test_both(first, second, answer, colour):
    assert await ask(guard_of(first, colour) & guard_of(second)) == answer


@COLOURS
@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        (True, ZeroDivisionError(), PASSED),
        (False, True, PASSED),
        (MEMBERS, None, PASSED),
        (False, False, DENIED),
        (False, MEMBERS, SAID),
        (MEMBERS, False, SAID),
        (MEMBERS, PermissionDenied("Staff only."), SAID),
    ],
)
async def test_either_tells_the_first_reason(first, second, answer, colour):
    assert await ask(guard_of(first) | guard_of(second, colour)) == answer


@COLOURS
@pytest.mark.parametrize(
    ("verdict", "answer"), [(True, DENIED), (None, DENIED), (False, PASSED), (MEMBERS, PASSED)]
)
async def test_not(verdict, answer, colour):
    assert await ask(~guard_of(verdict, colour)) == answer


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (KeyError("n"), 500),
        (ObjectDoesNotExist("Gone."), 404),
        (SocketError("Wrong."), 400),
        (CallError(403), 403),
        ("nonsense", 500),
    ],
)
@pytest.mark.parametrize("compose", [lambda guard: ~guard, lambda guard: guard | authenticated])
async def test_a_fault_is_no_verdict_to_be_turned_round(compose, fault, status):
    class Ann:
        is_authenticated = True

    assert (await ask(compose(guard_of(fault)), user=Ann()))[0] == status


async def test_plain_functions_are_composed_with_guards():
    def never(socket):
        return False

    async def always(socket):
        return True

    assert await ask(never | Guard(always)) == PASSED
    assert await ask(Guard(always) & never) == DENIED
    assert await ask(always & ~Guard(never)) == PASSED
    assert await ask((Guard(never) | always) & always) == PASSED


def test_a_guard_is_composed_with_functions_only():
    for other in ("may_play", None, 5):
        with pytest.raises(TypeError, match="unsupported operand"):
            _ = authenticated & other
        with pytest.raises(TypeError, match="unsupported operand"):
            _ = other | authenticated
        with pytest.raises(DeclarationError, match="expected a function as guard"):
            Guard(other)
    with pytest.raises(DeclarationError, match="expected a function as guard"):
        Guard(authenticated)


def test_a_guard_is_written_as_it_was_composed():
    guard = ~has_perm("app.view_a", "app.add_a") & (staff | in_group("cooks"))
    assert str(guard) == (
        "(~has_perm('app.view_a', 'app.add_a') & (sockets.guards.staff | in_group('cooks')))"
    )
    assert str(has_object_perm("app.view_a")) == "has_object_perm('app.view_a')"


async def test_guards_have_their_arguments_by_name():
    socket = SocketRouter()

    @socket.route("MOVE", guards=[lambda socket, message: message.content["n"] == 1])
    async def on_move(socket): ...

    async with client_of(socket) as client:
        assert (await client.ask({"type": "MOVE", "n": 1, "ref": 1}))["status"] == 204
        assert (await client.ask({"type": "MOVE", "n": 2, "ref": 1}))["status"] == 403


# Ready-made guards

LOG_IN = 401, "You are not logged in; log in and reload."


async def test_authenticated():
    class Ann:
        is_authenticated = True

    assert await ask(authenticated, user=Ann()) == PASSED
    assert await ask(authenticated, user=AnonymousUser()) == LOG_IN
    assert await ask(authenticated) == LOG_IN


@with_users
async def test_staff():
    assert await ask(staff, user=await amake_user(is_staff=True)) == PASSED
    assert await ask(staff, user=await amake_user(name="bob")) == DENIED
    former = await amake_user(name="cid", is_staff=True, is_active=False)
    assert await ask(staff, user=former) == DENIED
    assert await ask(staff) == LOG_IN


@with_users
async def test_has_perm():
    ann = await amake_user("view_user", "add_user")
    assert await ask(has_perm("auth.view_user", "auth.add_user"), user=ann) == PASSED
    assert await ask(has_perm("auth.view_user", "auth.delete_user"), user=ann) == DENIED
    assert await ask(has_perm("auth.view_user")) == LOG_IN
    bob = await amake_user(name="bob")
    assert await ask(has_perm("auth.view_user") | authenticated, user=bob) == PASSED
    chief = await amake_user(name="cid", is_superuser=True)
    assert await ask(has_perm("auth.view_user"), user=chief) == PASSED


@with_users
async def test_in_group():
    ann = await amake_user()
    cooks = await Group.objects.acreate(name="cooks")
    await ann.groups.aadd(cooks)
    assert await ask(in_group("cooks", "waiters"), user=ann) == PASSED
    assert await ask(in_group("waiters"), user=ann) == DENIED
    assert await ask(in_group("cooks")) == LOG_IN


@with_users
@pytest.mark.parametrize("flag", ["is_staff", "is_superuser"])
async def test_who_is_not_active_passes_no_guard_and_none_turned_round(flag):
    former = await amake_user("view_user", is_active=False, **{flag: True})
    await former.groups.aadd(await Group.objects.acreate(name="cooks"))
    permitted, changing = has_perm("auth.view_user"), has_perm("auth.change_user")
    for guard in (staff, permitted, changing, in_group("cooks"), in_group("waiters")):
        assert await ask(guard, user=former) == DENIED
        assert await ask(~guard, user=former) == DENIED
        assert await ask(~(guard | staff), user=former) == DENIED
        assert await ask(~(guard & staff), user=former) == DENIED
        assert await ask(guard | authenticated, user=former) == PASSED


class Owners:
    """A backend that gives users all permissions on themselves."""

    def has_perm(self, user, permission, obj=None):
        return obj is not None and obj.pk == user.pk


@with_users
async def test_has_object_perm(settings):
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Owners"]
    ann, bob = await amake_user(), await amake_user(name="bob")
    socket = SocketRouter()

    async def load(socket, *, name: str):
        return await User.objects.aget(username=name)

    @socket.route("EDIT", guards=[has_object_perm("auth.change_user")], hydrate=load)
    def on_edit(socket, user, content):
        return content.username

    async with client_of(socket, user=ann) as client:
        assert (await client.ask({"type": "EDIT", "name": "ann"}))["data"] == "ann"
        assert (await client.ask({"type": "EDIT", "name": "bob"}))["status"] == 403
        assert (await client.ask({"type": "EDIT", "name": "cid"}))["status"] == 404
    async with client_of(socket, user=bob) as client:
        assert (await client.ask({"type": "EDIT", "name": "ann"}))["status"] == 403
    async with client_of(socket) as client:
        assert (await client.ask({"type": "EDIT", "name": "ann"}))["status"] == 401


# require_perms


def required(function):
    return require_perms("auth.view_user")(function)


def router_of(colour, order):
    socket = SocketRouter()

    def decorate(function):
        route = socket.route("LOOK")
        return required(route(function)) if order == "above" else route(required(function))

    if colour == "def":

        @decorate
        def on_look(socket, content, *, n: int):
            return n

    elif colour == "async def":

        @decorate
        async def on_look(socket, content, *, n: int):
            return n

    else:

        @decorate
        @staticmethod
        def on_look(socket, content, *, n: int):
            return n

    return socket


@with_users
@pytest.mark.parametrize("order", ["above", "beneath"])
@pytest.mark.parametrize("colour", ["def", "async def", "static"])
async def test_require_perms_on_a_route_in_either_order(colour, order):
    socket = router_of(colour, order)
    ann, bob = await amake_user("view_user"), await amake_user(name="bob")
    for user, status in ((ann, 200), (bob, 403), (AnonymousUser(), 401)):
        async with client_of(socket, user=user) as client:
            answer = await client.ask({"type": "LOOK", "n": 5, "ref": 1})
        assert answer["status"] == status
        assert answer.get("data") == (5 if status == 200 else None)


@with_users
async def test_require_perms_may_be_written_twice():
    socket = SocketRouter()

    @require_perms("auth.add_user")
    @require_perms("auth.view_user")
    @socket.route("LOOK")
    async def on_look(socket): ...

    for permissions, status in ((("view_user",), 403), (("view_user", "add_user"), 204)):
        user = await amake_user(*permissions, name=f"{len(permissions)}")
        async with client_of(socket, user=user) as client:
            assert (await client.ask({"type": "LOOK", "ref": 1}))["status"] == status


@with_users
async def test_require_perms_on_methods_of_a_handler():
    class Room(RoutedSocketHandler):
        routes = (("LOOK", "on_look"),)

        @required
        def on_look(self):
            return "seen"

    async with client_of(Room, user=await amake_user("view_user")) as client:
        assert (await client.ask({"type": "LOOK"}))["data"] == "seen"
    async with client_of(Room, user=await amake_user(name="bob")) as client:
        assert (await client.ask({"type": "LOOK"}))["status"] == 403


@with_users
async def test_require_perms_on_a_consumer_and_on_a_view():
    class Consumer(AsyncJsonWebsocketConsumer):
        @required
        async def look(self, content):
            await self.send_json("seen")

        async def receive_json(self, content):
            try:
                await self.look(content)
            except PermissionDenied:
                await self.send_json("denied")

    @required
    def view(request):
        return "seen"

    request = RequestFactory().get("/")
    for permissions, seen in ((["view_user"], "seen"), ([], "denied")):
        user = await amake_user(*permissions, name=seen)
        client = Client(Consumer.as_asgi(), "/")
        client.scope["user"] = user
        await client.connect()
        assert await client.ask({}) == seen
        await client.disconnect()
        request.user = user
        if seen == "seen":
            assert await sync_to_async(view)(request) == "seen"
        else:
            with pytest.raises(PermissionDenied):
                await sync_to_async(view)(request)
    request.user = AnonymousUser()
    assert (await sync_to_async(convert_exception_to_response(view))(request)).status_code == 403


def test_require_perms_guards_no_generator():
    with pytest.raises(DeclarationError, match=r"permissions=\['auth.view_user'\]"):

        @required
        def on_count(socket):
            yield 1


@pytest.mark.parametrize("hook", ["connect", "disconnect"])
def test_require_perms_above_a_hook_would_guard_nothing(hook):
    socket = SocketRouter()

    @required
    @getattr(socket, hook)
    def on_event(socket): ...

    with pytest.raises(DeclarationError, match=f"beneath @socket.{hook}"):
        _ = socket.Handler


@with_users
async def test_require_perms_beneath_a_connect_hook_refuses_the_client():
    socket = SocketRouter()

    @socket.connect
    @required
    def on_open(socket): ...

    client = Client(socket.Handler.as_asgi(), "/")
    client.scope["user"] = await amake_user()
    assert await client.connect() == (True, None)
    assert await client.next_close() == 4403


def test_permissions_are_written_as_djangos_are():
    for make in (has_perm, has_object_perm, require_perms):
        with pytest.raises(DeclarationError, match="expected a list of names such as"):
            make("view_user")


def test_what_asks_for_nothing_or_for_no_name_is_no_guard():
    for make in (has_perm, has_object_perm, require_perms):
        with pytest.raises(DeclarationError, match="expected at least one name such as"):
            make()
    for names in ((), (["cooks"],), (5,)):
        with pytest.raises(DeclarationError, match="in_group: expected names of groups"):
            in_group(*names)
