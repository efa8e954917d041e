"""What users may do now: read afresh, and remembered for seconds."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, connections, transaction
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.utils.functional import SimpleLazyObject

from sockets import SocketRouter, permissions
from sockets.permissions import CurrentUsers, current_user, users

from .clients import Client, client_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("closing_connections"),
]


@pytest.fixture(autouse=True)
def nobody_remembered():
    users.forget_all()


def permission(codename="view_user"):
    return Permission.objects.get(codename=codename)


def make_ann():
    user = User.objects.create(username="ann")
    user.user_permissions.add(permission())
    return user


def may(user):
    return current_user(user).has_perm("auth.view_user")


# Reading and forgetting


def test_a_user_is_read_once_for_a_while(monkeypatch):
    ann, now = make_ann(), [0.0]
    monkeypatch.setattr(permissions, "monotonic", lambda: now[0])
    assert may(ann)
    with CaptureQueriesContext(connection) as queries:
        assert may(ann)
        now[0] = permissions.REMEMBERED - 0.1
        assert may(User(pk=ann.pk))
    assert not queries.captured_queries
    User.objects.filter(pk=ann.pk).update(is_active=False)
    assert may(ann)
    now[0] = permissions.REMEMBERED
    assert not may(ann)


def test_a_process_remembers_so_many_users(monkeypatch):
    monkeypatch.setattr(permissions, "MAX_USERS", 2)
    known = CurrentUsers()
    people = [User.objects.create(username=name) for name in "abc"]
    first, *others = [known.get(user) for user in people]
    assert [known.get(user) for user in people[1:]] == others
    assert all(known.get(user) is other for user, other in zip(people[1:], others, strict=True))
    assert known.get(people[0]) is not first


CHANGES = {
    "permission of the user": lambda user, group: user.user_permissions.clear(),
    "permission added": lambda user, group: user.user_permissions.add(permission("add_user")),
    "out of a group": lambda user, group: user.groups.remove(group),
    "out of a group, from its side": lambda user, group: group.user_set.remove(user),
    "permission of a group": lambda user, group: group.permissions.clear(),
    "a group deleted": lambda user, group: group.delete(),
    "a group renamed": lambda user, group: group.save(),
    "a permission deleted": lambda user, group: permission("delete_user").delete(),
    "not active": lambda user, group: setattr(user, "is_active", False) or user.save(),
    "superuser": lambda user, group: setattr(user, "is_superuser", True) or user.save(),
    "saved in part": lambda user, group: user.save(update_fields=["is_active"]),
    "deleted": lambda user, group: user.delete(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_in_this_process_counts_at_once(change):
    ann, group = make_ann(), Group.objects.create(name="cooks")
    ann.groups.add(group)
    before = current_user(ann)
    assert current_user(ann) is before
    change(ann, group)
    assert current_user(User(pk=ann.pk or 0)) is not before


def test_a_login_changes_no_permission():
    ann = make_ann()
    before = current_user(ann)
    ann.save(update_fields=["last_login"])
    assert current_user(ann) is before


def test_a_user_who_is_saved_alone_is_read_afresh():
    ann, bob = make_ann(), User.objects.create(username="bob")
    before = current_user(ann), current_user(bob)
    bob.is_staff = True
    bob.save()
    assert current_user(ann) is before[0]
    assert current_user(bob).is_staff


def test_a_change_counts_for_others_when_it_is_committed():
    ann = make_ann()
    before = current_user(ann)
    with ThreadPoolExecutor(1) as elsewhere:
        with transaction.atomic():
            ann.user_permissions.clear()
            assert not may(ann)
            assert elsewhere.submit(current_user, ann).result() is before
        assert not elsewhere.submit(may, ann).result()
        elsewhere.submit(connections.close_all).result()


def test_a_change_that_is_rolled_back_counts_for_nobody():
    ann = make_ann()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        ann.user_permissions.clear()
        assert not may(ann)
        _ = 1 / 0
    assert may(ann)


def test_what_was_read_before_a_change_is_not_remembered_after_it(monkeypatch):
    ann, known = make_ann(), CurrentUsers()
    read = permissions._load

    def read_slowly(*key):
        user = read(*key)
        known.forget(ann.pk)  # as a change in another thread does
        return user

    monkeypatch.setattr(permissions, "_load", read_slowly)
    assert known.get(ann) is not known.get(ann)


def test_one_who_is_deleted_is_nobody():
    ann = make_ann()
    User.objects.filter(pk=ann.pk).delete()
    assert current_user(ann) == AnonymousUser()


def test_a_user_that_is_loaded_when_asked_for_is_one_too():
    ann = make_ann()
    lazy = SimpleLazyObject(lambda: ann)
    assert current_user(lazy) is current_user(ann)


def test_users_of_another_kind_are_as_they_are():
    class Service:
        is_authenticated = True

    for user in (Service(), AnonymousUser()):
        assert current_user(user) is user


async def test_it_may_not_be_asked_for_in_a_coroutine():
    with pytest.raises(SynchronousOnlyOperation, match="current_user"):
        current_user(AnonymousUser())


# On routes and handlers


class InATestCase(TestCase):
    async def test_permissions_are_those_of_its_transaction(self):
        ann = await sync_to_async(make_ann)()
        async with client_of(page(), user=ann) as client:
            assert (await client.ask({"type": "LOOK"}))["data"] == "seen"
            await ann.user_permissions.aclear()
            assert (await client.ask({"type": "LOOK"}))["status"] == 403


def page(**attributes):
    socket = SocketRouter(**attributes)

    @socket.route("LOOK", permissions=["auth.view_user"])
    def on_look(socket):
        return "seen"

    @socket.route("TALK")
    async def on_talk(socket):
        return "heard"

    return socket


async def test_a_permission_taken_away_meanwhile_is_missed_by_the_next_message():
    ann = await sync_to_async(make_ann)()
    async with client_of(page(), user=ann) as client:
        assert (await client.ask({"type": "LOOK"}))["data"] == "seen"
        await ann.user_permissions.aclear()
        answer = await client.ask({"type": "LOOK"})
        assert (answer["status"], answer["details"]) == (403, "You may not do this.")
        await ann.user_permissions.aadd(await sync_to_async(permission)())
        assert (await client.ask({"type": "LOOK"}))["data"] == "seen"


async def test_permissions_of_a_handler_are_asked_for_at_connect_and_at_every_message():
    ann = await sync_to_async(make_ann)()
    socket = page(permissions=["auth.view_user"])
    async with client_of(socket, user=ann) as client:
        assert (await client.ask({"type": "TALK"}))["data"] == "heard"
        await ann.user_permissions.aclear()
        assert (await client.ask({"type": "TALK"}))["status"] == 403
    client = Client(socket.Handler.as_asgi(), "/")
    client.scope["user"] = ann
    assert await client.connect() == (True, None)
    assert await client.next_close() == 4403


async def test_anonymous_clients_are_told_to_log_in():
    client = Client(page(permissions=["auth.view_user"]).Handler.as_asgi(), "/")
    assert await client.connect() == (True, None)
    assert (await client.ask({"type": "TALK"}))["type"] == "RECONNECT"
    assert await client.next_close() == 4401


class Clock:
    """A backend whose answer changes by itself."""

    open = True

    def has_perm(self, user, permission, obj=None):
        return self.open


async def test_the_projects_backends_decide(settings, monkeypatch):
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Clock"]
    bob = await User.objects.acreate(username="bob")
    async with client_of(page(), user=bob) as client:
        assert (await client.ask({"type": "LOOK"}))["data"] == "seen"
        monkeypatch.setattr(Clock, "open", False)
        assert (await client.ask({"type": "LOOK"}))["status"] == 403
    async with client_of(page()) as client:
        assert (await client.ask({"type": "LOOK"}))["status"] == 401
        monkeypatch.setattr(Clock, "open", True)
        assert (await client.ask({"type": "LOOK"}))["data"] == "seen"
