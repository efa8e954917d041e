"""Who is connected in one event loop, found by what a broadcast may name."""

import asyncio
import uuid

import pytest

from sockets.broadcasts import Broadcast, Close, LogOut, Target
from sockets.members import REMEMBERED, Members

from .conftest import until


class Connection:
    """What members know of a connection; it remembers how it was closed."""

    def __init__(self, *places):
        self.id = uuid.uuid4()
        self.places = places
        self.codes = []

    def close(self, code, reason):
        self.codes.append(code)

    def log_out(self):
        self.codes.append("log out")


class Clock:
    """An event loop's time, which the test sets."""

    now = 1000.0

    def time(self):
        return self.now


RED, BLUE = ("group", "red"), ("group", "blue")


@pytest.fixture
async def members():
    return Members(asyncio.get_running_loop())


def added(members, *places):
    connection = Connection(*places)
    members.add(connection)
    return connection


async def test_a_connection_is_found_by_each_of_its_places(members):
    places = [("path", "/a/"), ("session", "key"), ("user", "7"), RED, BLUE]
    connection = added(members, *places)
    other = added(members, ("path", "/b/"), ("user", "8"))
    for kind, name in places:
        assert members.find(Target(kind, name)) == [connection]
    assert members.find(Target("ids", ids=(connection.id,))) == [connection]
    assert members.find(Target("path", "/b/")) == [other]


async def test_places_of_one_name_and_different_kinds_differ(members):
    kinds = ("group", "path", "session", "user")
    connections = [added(members, (kind, "7")) for kind in kinds]
    for kind, connection in zip(kinds, connections, strict=True):
        assert members.find(Target(kind, "7")) == [connection]


async def test_an_unknown_place_or_id_finds_nobody(members):
    added(members, RED)
    assert members.find(Target("group", "green")) == []
    assert members.find(Target("ids", ids=(uuid.uuid4(),))) == []
    assert members.find(Target("ids")) == []


async def test_those_in_a_place_are_found_in_the_order_in_which_they_came(members):
    connections = [added(members, RED) for _ in range(20)]
    assert members.find(Target(*RED)) == connections
    assert list(members) == connections


async def test_a_connection_enters_and_leaves_places(members):
    connection = added(members, RED)
    members.enter(connection, BLUE)
    members.enter(connection, BLUE)
    assert members.find(Target(*RED)) == members.find(Target(*BLUE)) == [connection]
    members.leave(connection, RED)
    members.leave(connection, RED)
    assert members.find(Target(*RED)) == []
    assert members.find(Target(*BLUE)) == [connection]


async def test_who_has_ended_enters_no_more_places(members):
    connection = added(members, RED)
    members.remove(connection)
    members.remove(connection)
    members.enter(connection, BLUE)
    assert members.find(Target(*BLUE)) == []
    assert list(members) == []


async def test_nothing_is_left_of_who_has_gone(members):
    connections = [added(members, RED, ("path", "/")) for _ in range(3)]
    for connection in connections:
        members.remove(connection)
    assert not members._by_id
    assert not members._by_place


async def test_a_broadcast_spares_the_excluded(members):
    one, two = added(members, RED), added(members, RED)
    members.deliver(Broadcast(Target(*RED), Close(4000, ""), (one.id, uuid.uuid4())))
    assert (one.codes, two.codes) == ([], [4000])
    ids = Target("ids", ids=(one.id, two.id))
    members.deliver(Broadcast(ids, Close(4001, ""), (two.id,)))
    assert (one.codes, two.codes) == ([4001], [4000])


async def test_who_leaves_while_a_broadcast_is_brought_harms_nobody(members):
    class Leaving(Connection):
        def close(self, code, reason):
            super().close(code, reason)
            for connection in tuple(members):
                members.remove(connection)

    connections = [Leaving(RED) for _ in range(3)]
    for connection in connections:
        members.add(connection)
    members.deliver(Broadcast(Target(*RED), Close(4000, "")))
    assert [connection.codes for connection in connections] == [[4000]] * 3


async def test_a_delayed_broadcast_finds_who_is_there_then(members):
    early = added(members, RED)
    members.deliver(Broadcast(Target(*RED), Close(4000, ""), delay=0.05))
    assert early.codes == []
    members.remove(early)
    late = added(members, RED)
    await until(lambda: late.codes == [4000])
    assert early.codes == []


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def timed(clock):
    return Members(clock)


@pytest.mark.parametrize("place", [("session", "key"), ("user", "7")])
def test_a_logout_that_overtakes_a_handshake_is_remembered(clock, timed, place):
    connection = Connection(("path", "/"), place)
    assert not timed.has_logged_out(connection)
    timed.deliver(Broadcast(Target(*place), LogOut()))
    assert timed.has_logged_out(connection)
    assert not timed.has_logged_out(Connection(("path", "/"), ("session", "other")))
    clock.now += REMEMBERED - 1
    assert timed.has_logged_out(connection)
    clock.now += 1
    assert not timed.has_logged_out(connection)


def test_other_broadcasts_are_not_remembered(timed):
    timed.deliver(Broadcast(Target("session", "key"), Close(4000, "")))
    assert not timed.has_logged_out(Connection(("session", "key")))


def test_old_logouts_are_forgotten(clock, timed):
    for number in range(10):
        timed.deliver(Broadcast(Target("session", f"{number}"), LogOut()))
        clock.now += REMEMBERED / 4
    assert len(timed._logged_out) == 4
    timed.deliver(Broadcast(Target("session", "6"), LogOut()))
    clock.now += REMEMBERED * 3 / 4
    timed.deliver(Broadcast(Target("session", "last"), LogOut()))
    assert set(timed._logged_out) == {("session", "6"), ("session", "last")}


def test_a_repeated_logout_is_remembered_from_the_last(clock, timed):
    for _ in range(2):
        timed.deliver(Broadcast(Target("session", "key"), LogOut()))
        clock.now += REMEMBERED / 2
    assert timed.has_logged_out(Connection(("session", "key")))
