"""Sending from wherever one is: a server's loop, its threads, or another process."""

import asyncio
import threading
import uuid
from contextlib import AsyncExitStack

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.layers import BaseChannelLayer
from channels.testing import WebsocketCommunicator
from django.db import connections, transaction
from django.test import TestCase, modify_settings

from sockets import RoutedSocketHandler, groups, senders
from sockets import broadcasts as broadcasts_module
from sockets.broadcasts import Broadcast, Event, Target, unpack
from sockets.brokers import make_broker
from sockets.hub import Hub, address_of
from sockets.models import Socket
from sockets.senders import asend, in_transaction, send, stop_sender, when_committed

from .channel_layers import KINDS, SHARED, shared_redis, unique_name, use_carrier
from .clients import client_of, frames_of
from .conftest import until
from .servers import run
from .settings import SQLITE


class Tab(RoutedSocketHandler):
    def connect(self):
        self.join("red")

    async def on_now(self):
        return None

    routes = (("NOW", "on_now"),)


def event(content, group="red"):
    return Broadcast(Target("group", group), Event.of(content))


# On commit


@pytest.fixture
def database(transactional_db, closing_connections):
    """A database, and a thread for `sync_to_async` whose connection is closed in the end."""


@pytest.fixture
def other(django_db_setup, django_db_blocker, tmp_path):
    """The alias of a second database, in a file that can be closed."""
    settings = {**connections["default"].settings_dict, **SQLITE}
    connections.databases["other"] = {**settings, "NAME": str(tmp_path / "other.sqlite3")}
    with django_db_blocker.unblock():
        yield "other"
        connections.close_all()
    del connections["other"], connections.databases["other"]


class RowsElsewhere:
    """A database router for the rows of sockets."""

    def db_for_write(self, model, **hints):
        return "other" if model is Socket else None

    db_for_read = db_for_write


def test_without_a_transaction_it_happens_now(database):
    assert not in_transaction()
    done = []
    when_committed(lambda: done.append(1))
    assert done == [1]


def test_in_a_transaction_it_happens_on_commit(database):
    done = []
    with transaction.atomic():
        assert in_transaction()
        when_committed(lambda: done.append(1))
        with transaction.atomic():
            when_committed(lambda: done.append(2))
        assert done == []
    assert done == [1, 2]


def test_after_a_rollback_it_never_happens(database):
    done = []
    with transaction.atomic():
        when_committed(lambda: done.append(1))
        transaction.set_rollback(True)
    with transaction.atomic():
        with transaction.atomic():
            when_committed(lambda: done.append(2))
            transaction.set_rollback(True)
        when_committed(lambda: done.append(3))
    assert done == [3]


def test_a_transaction_of_another_database_does_not_count(other):
    done = []
    with transaction.atomic(using=other):
        assert not in_transaction()
        when_committed(lambda: done.append(1))
        assert done == [1]


def test_the_database_that_rows_are_written_to_counts(other, settings):
    settings.DATABASE_ROUTERS = [RowsElsewhere()]
    done = []
    with transaction.atomic():
        when_committed(lambda: done.append(1))
        assert done == [1]
    with transaction.atomic(using=other):
        when_committed(lambda: done.append(2))
        assert done == [1]
    assert done == [1, 2]


def test_without_the_app_the_default_database_counts(database):
    done = []
    with modify_settings(INSTALLED_APPS={"remove": "sockets"}), transaction.atomic():
        when_committed(lambda: done.append(1))
        assert done == []
    assert done == [1]


def test_where_somebody_commits_by_hand_it_happens_now(database):
    transaction.set_autocommit(False)
    try:
        done = []
        when_committed(lambda: done.append(1))
        assert done == [1]
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def test_what_fails_after_the_commit_is_logged_and_stops_nothing(database, caplog):
    done = []
    with transaction.atomic():
        when_committed(lambda: 1 / 0)
        when_committed(lambda: done.append(1))
    assert done == [1]
    assert "division by zero" in caplog.text


class OwnTransactionTests(TestCase):
    """The transaction that Django wraps around a test does not count; one's own does."""

    async def connect(self):
        client = WebsocketCommunicator(Tab.as_asgi(), "/")
        self.assertEqual(await client.connect(), (True, None))
        return client

    def send(self):
        groups.send_json("red", 1)
        Socket.objects.all().send_json(2)
        Socket.objects.get().send_json(3)

    def send_in_a_transaction(self):
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            with transaction.atomic():
                self.send()
            groups.send_json("red", "first")
        return len(callbacks)

    async def test_outside_of_ones_own_it_goes_out_at_once(self):
        client = await self.connect()
        await sync_to_async(self.send)()
        self.assertEqual([await client.receive_json_from() for _ in range(3)], [1, 2, 3])
        await Socket.objects.all().asend_json(4)
        await groups.asend_json("red", 5)
        self.assertEqual([await client.receive_json_from() for _ in range(2)], [4, 5])
        await client.disconnect()

    async def test_inside_of_ones_own_it_goes_out_on_commit(self):
        client = await self.connect()
        self.assertEqual(await sync_to_async(self.send_in_a_transaction)(), 3)
        frames = [await client.receive_json_from() for _ in range(4)]
        self.assertEqual(frames, ["first", 1, 2, 3])
        await client.disconnect()

    def test_without_connections_it_goes_to_nobody(self):
        groups.send_json("red", 1)
        Socket.objects.all().send_json(2)
        async_to_sync(groups.asend_json)("red", 3)
        async_to_sync(Socket.objects.all().asend_json)(4)


# With connections in this process


@pytest.fixture
def second_loop():
    """Runs coroutine functions in a second event loop, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def run(coroutine):
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))

    yield run
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def test_the_connections_of_all_loops_of_a_process_get_it_once(second_loop):
    async with client_of(Tab) as client, AsyncExitStack() as there:
        entering = there.enter_async_context(client_of(Tab))
        second = await second_loop(entering)
        assert len(Hub.all()) == 2
        await asend(event(1))
        await second_loop(asend(event(2)))
        await asyncio.to_thread(send, event(3))
        for frames in (await frames_of(client), await second_loop(frames_of(second))):
            assert frames == [1, 2, 3]
        await second_loop(there.pop_all().aclose())


async def test_the_hub_of_ones_own_thread_is_the_nearest(second_loop):
    async def nearest(hubs):
        return Hub.nearest(hubs)

    async with client_of(Tab), AsyncExitStack() as there:
        await second_loop(there.enter_async_context(client_of(Tab)))
        own = Hub.current()
        assert Hub.nearest(Hub.all()) is own
        assert await second_loop(nearest(Hub.all())) is not own
        assert await asyncio.to_thread(Hub.nearest, Hub.all()) in Hub.all()
        await second_loop(there.pop_all().aclose())


async def test_sends_of_a_thread_keep_their_order():
    def send_all():
        for number in range(100):
            send(event(number))

    async with client_of(Tab) as client:
        await asyncio.to_thread(send_all)
        assert await frames_of(client) == list(range(100))


# Without connections, and to other processes


@pytest.fixture(params=KINDS)
def carrier(request, settings):
    """Something in Redis that carries to other processes, of which nothing is left at the end."""
    name = unique_name()
    with shared_redis() as redis:
        use_carrier(settings, request.param, SHARED, name)
        yield
        stop_sender()
        for key in redis.scan_iter(f"{name}*"):
            redis.delete(key)


class Neighbour:
    """Another process, as far as the broker knows."""

    def __init__(self, id=None):
        self.id = id or uuid.uuid4()
        self.texts = []
        self._broker = make_broker()

    async def __aenter__(self):
        await self._broker.listen(address_of(self.id), self.texts.append, lambda: None)
        return self

    async def __aexit__(self, *exception):
        await self._broker.stop()

    def heard(self):
        """The contents of the events that came."""
        own, broadcasts_module.origin = broadcasts_module.origin, uuid.uuid4().hex
        try:
            found = [unpack(text, lambda target: True) for text in self.texts]
        finally:
            broadcasts_module.origin = own
        return [int(bytes(broadcast.deed.content)) for broadcast in found]


def sender_threads():
    return [one for one in threading.enumerate() if one.name == "sockets-sender" and one.is_alive()]


WAYS = {
    "a thread": lambda broadcast, *to: asyncio.to_thread(send, broadcast, *to),
    "awaited": asend,
    "another loop": lambda broadcast, *to: asyncio.to_thread(asyncio.run, asend(broadcast, *to)),
    "async_to_sync": lambda broadcast, *to: asyncio.to_thread(async_to_sync(asend), broadcast, *to),
}


@pytest.mark.usefixtures("carrier")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("serves", [False, True], ids=["without connections", "with connections"])
async def test_other_processes_hear_what_is_sent(way, serves):
    async with Neighbour() as neighbour, AsyncExitStack() as stack:
        if serves:
            client = await stack.enter_async_context(client_of(Tab))
        for number in range(20):
            await way(event(number))
        await until(lambda: len(neighbour.texts) == 20)
        assert neighbour.heard() == list(range(20))
        assert len(sender_threads()) == (0 if serves else 1)
        if serves:
            assert await frames_of(client) == list(range(20))


@pytest.mark.usefixtures("carrier")
@pytest.mark.parametrize("serves", [False, True], ids=["without connections", "with connections"])
async def test_what_is_for_few_processes_goes_to_them_alone(serves):
    async with Neighbour() as one, Neighbour() as two, AsyncExitStack() as stack:
        if serves:
            await stack.enter_async_context(client_of(Tab))
        await asend(event(1), {one.id})
        await asend(event(2), {one.id, two.id})
        await asend(event(3), set())
        await asend(event(4))
        await until(lambda: len(one.texts) == 3 and len(two.texts) == 2)
        assert one.heard() == [1, 2, 4]
        assert two.heard() == [2, 4]


@pytest.mark.usefixtures("carrier")
async def test_what_is_for_this_process_alone_is_not_carried_away():
    async with client_of(Tab) as client, Neighbour(Hub.current().id) as neighbour:
        await asend(event(1), {neighbour.id})
        await asend(event(2))
        await until(lambda: neighbour.texts)
        assert neighbour.heard() == [2]
        assert await frames_of(client) == [1, 2]


@pytest.mark.usefixtures("carrier")
async def test_groups_are_sent_to_from_a_process_without_connections():
    async with Neighbour() as neighbour:
        await asyncio.to_thread(groups.send_json, "red", 1)
        await groups.asend_json("red", 2)
        await until(lambda: len(neighbour.texts) == 2)
        assert neighbour.heard() == [1, 2]


@pytest.mark.usefixtures("carrier")
async def test_many_threads_share_one_sender():
    async with Neighbour() as neighbour:
        await asyncio.gather(*(asyncio.to_thread(send, event(number)) for number in range(20)))
        await until(lambda: len(neighbour.texts) == 20)
        assert sorted(neighbour.heard()) == list(range(20))
        assert len(sender_threads()) == 1


@pytest.mark.usefixtures("carrier")
async def test_a_sender_that_was_stopped_begins_anew():
    async with Neighbour() as neighbour:
        for number in range(3):
            await asyncio.to_thread(send, event(number), wait=False)
            stop_sender()
            assert not sender_threads()
        await until(lambda: len(neighbour.texts) == 3)
        assert neighbour.heard() == [0, 1, 2]


def test_without_a_layer_there_is_no_thread():
    stop_sender()
    send(event(1))
    asyncio.run(asend(event(2)))
    assert not sender_threads()


async def test_a_sender_follows_the_settings(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.Broken"}}
    await asyncio.to_thread(send, event(1), wait=False)
    assert len(sender_threads()) == 1
    settings.CHANNEL_LAYERS = {}
    assert not sender_threads()
    await asyncio.to_thread(send, event(2))
    assert not sender_threads()


class Stuck(BaseChannelLayer):
    """A layer that does not answer, for as long as it is told."""

    answers = False

    async def group_send(self, group, message):
        while not self.answers:
            await asyncio.sleep(0.01)


class Broken(BaseChannelLayer):
    """A layer that is down."""

    async def group_send(self, group, message):
        raise ConnectionError("the layer is down")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(senders, "PATIENCE", 0.05)
    monkeypatch.setattr("sockets.brokers.PATIENCE", 0.05)
    yield
    stop_sender()
    for thread in sender_threads():
        thread.join(5)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.usefixtures("quick")
async def test_a_layer_that_does_not_answer_holds_nobody_up_for_long(way, settings, caplog):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.Stuck"}}
    await way(event(1))
    assert "has not taken a broadcast within 0.05 s; going on" in caplog.text


@pytest.mark.usefixtures("quick")
async def test_after_that_nobody_waits_until_the_layer_takes_something_again(settings, caplog):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.Stuck"}}
    for _ in range(3):
        await asyncio.to_thread(send, event(1))
    assert caplog.text.count("has not taken") == 1
    Stuck.answers = True
    try:
        await asyncio.to_thread(send, event(2))
        await until(lambda: not senders._sender.slow)
    finally:
        Stuck.answers = False
    await asyncio.to_thread(send, event(3))
    assert caplog.text.count("has not taken") == 2


@pytest.mark.usefixtures("quick")
async def test_one_may_send_without_waiting(settings, caplog):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.Stuck"}}
    await asyncio.wait_for(asyncio.to_thread(send, event(1), wait=False), 2)
    assert "has not taken" not in caplog.text


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.usefixtures("quick")
async def test_a_layer_that_is_down_is_logged_and_not_raised(way, settings, caplog):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.Broken"}}
    await way(event(1))
    assert "the layer is down" in caplog.text


SENDING = """
import os, sys
import django
django.setup()
from django.conf import settings
settings.CHANNEL_LAYERS, settings.SOCKETS = {layers!r}, {sockets!r}
from sockets import groups
from sockets.broadcasts import Broadcast, Event, Target
from sockets.senders import send

def tell(number, **options):
    send(Broadcast(Target("group", "red"), Event.of(number)), **options)

"""


def run_sending(folder, settings, code):
    script = folder / "sending.py"
    script.write_text(
        SENDING.format(layers=settings.CHANNEL_LAYERS, sockets=getattr(settings, "SOCKETS", {}))
        + code
    )
    run(str(script), DJANGO_SETTINGS_MODULE="tests.settings")


@pytest.mark.usefixtures("carrier")
async def test_what_nobody_waited_for_is_sent_before_the_process_ends(tmp_path, settings):
    code = "for number in range(5): tell(number, wait=False)"
    async with Neighbour() as neighbour:
        await asyncio.to_thread(run_sending, tmp_path, settings, code)
        await until(lambda: len(neighbour.texts) == 5)
        assert neighbour.heard() == [0, 1, 2, 3, 4]


@pytest.mark.usefixtures("carrier")
async def test_a_fork_of_a_process_that_has_sent_can_send(tmp_path, settings):
    code = """
tell(1)
if child := os.fork():
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    tell(3)
    sys.exit(status)
tell(2)
"""
    async with Neighbour() as neighbour:
        await asyncio.to_thread(run_sending, tmp_path, settings, code)
        await until(lambda: len(neighbour.texts) == 3)
        assert neighbour.heard() == [1, 2, 3]


@pytest.mark.usefixtures("carrier")
async def test_a_fork_of_a_process_that_serves_connections_can_send(tmp_path, settings):
    code = """
import asyncio
from sockets.hub import Hub, connection

async def main():
    async with connection():
        if child := os.fork():
            status = await asyncio.to_thread(os.waitpid, child, 0)
            sys.exit(os.waitstatus_to_exitcode(status[1]))
        assert not Hub.all()
        asyncio.events._set_running_loop(None)
        tell(1)
        os._exit(0)

asyncio.run(main())
"""
    async with Neighbour() as neighbour:
        await asyncio.to_thread(run_sending, tmp_path, settings, code)
        await until(lambda: neighbour.texts)
        assert neighbour.heard() == [1]
