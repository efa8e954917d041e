"""Listening to channel layers that fail: their Redis stops, forgets, or was never there."""

import asyncio
import time
from contextlib import suppress
from itertools import count

import pytest
from redis.exceptions import ResponseError

from sockets import RoutedSocketHandler, brokers, carriers, hub, listener
from sockets.brokers import EVERYONE
from sockets.carriers import Carrier
from sockets.hub import Hub
from sockets.ledger import Batch
from sockets.watch import Watch

from .channel_layers import KINDS, OwnRedis, hearing, sending, use_carrier
from .clients import client_of
from .conftest import until

HERE = "sockets.here"
PATIENCE = 20.0


@pytest.fixture
def redis():
    redis = OwnRedis()
    redis.start()
    yield redis
    redis.stop()


@pytest.fixture(params=KINDS, autouse=True)
def kind(request, settings, redis):
    use_carrier(settings, request.param, redis.address, "tests")
    return request.param


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(listener, "ECHO", 0.05)
    monkeypatch.setattr(listener, "RETRY", 0.05)
    monkeypatch.setattr(listener, "SILENT", 10)


async def heard_by(ear, mouth, text):
    await mouth.publish([EVERYONE], text)
    await until(lambda: text in ear.texts, PATIENCE)


def has_failed(caplog):
    return "The broker failed" in caplog.text


@pytest.mark.usefixtures("quick")
async def test_a_redis_that_restarts_is_heard_again(redis, caplog):
    async with hearing(HERE) as here, sending() as mouth:
        await heard_by(here, mouth, "before")
        redis.stop()
        await mouth.publish([EVERYONE], "meanwhile")
        assert mouth.lost == 1
        assert "did not take broadcasts" in caplog.text
        await until(lambda: has_failed(caplog), PATIENCE)
        assert here.joins == 1
        redis.start()
        await until(lambda: here.joins == 2, PATIENCE)
        await heard_by(here, mouth, "after")
    assert here.texts == ["before", "after"]
    assert mouth.lost == 1


async def restart(redis):
    redis.stop()
    await asyncio.sleep(0.2)
    redis.start()


async def cut_connections(redis):
    for client in redis.ask("client_list"):
        with suppress(ResponseError):  # for it has gone
            redis.ask("client_kill_filter", client["id"])


async def forget_all(redis):
    redis.ask("flushall")


async def hang(redis):
    redis.suspend()
    await asyncio.sleep(1)
    redis.resume()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("trouble", [restart, cut_connections, forget_all, hang])
async def test_under_load_what_a_trouble_costs_is_counted_exactly(redis, trouble, monkeypatch):
    monkeypatch.setattr(brokers, "TIMEOUT", 0.3)
    async with hearing(HERE) as here, sending() as mouth:
        loading, sent = asyncio.create_task(load(mouth)), mouth.broker._line_to(EVERYONE)
        await until(lambda: len(here.texts) > 50, PATIENCE)
        await trouble(redis)
        before = len(here.texts)
        await until(lambda: len(here.texts) > before + 50, PATIENCE)
        loading.cancel()
        await heard_by(here, mouth, "1000000")
        numbers = [int(text) for text in here.texts]
        assert numbers == sorted(set(numbers))
        assert len(numbers) + here.broker.missed == sent.number


async def load(mouth):
    """Send numbers, many a second, for ever."""
    for number in count():
        mouth.publish([EVERYONE], f"{number}")
        await asyncio.sleep(0.002)


@pytest.mark.usefixtures("quick")
async def test_a_gap_that_the_layer_mended_itself_is_told(redis, kind, monkeypatch, caplog):
    monkeypatch.setattr(listener, "SILENT", 1000)
    async with hearing(HERE) as here, sending() as mouth:
        sent = here.broker._listener._sent
        redis.stop()
        await until(lambda: has_failed(caplog) or here.broker._listener._sent >= sent + 2, PATIENCE)
        redis.start()
        await until(lambda: here.joins == 2, PATIENCE)
        await heard_by(here, mouth, "after")
    assert has_failed(caplog) == (kind != "pubsub")


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_a_connection_that_was_cut_after_long_is_remade_at_once(redis, monkeypatch):
    monkeypatch.setattr(listener, "RETRY", 1.0)
    async with hearing(HERE) as here, sending() as mouth:
        await asyncio.sleep(1.1)
        await cut_connections(redis)
        cut = time.monotonic()
        await until(lambda: here.joins == 2, PATIENCE)
        await heard_by(here, mouth, "after")
        assert time.monotonic() - cut < 0.8


@pytest.mark.usefixtures("quick")
async def test_a_join_that_hangs_is_given_up_and_tried_again(redis, monkeypatch, caplog):
    monkeypatch.setattr(listener, "PATIENCE", 0.5)
    redis.suspend()
    begun = time.monotonic()
    async with hearing(HERE) as here, sending() as mouth:
        assert has_failed(caplog)
        assert time.monotonic() - begun < 4  # redis-py itself gives up after 5 s, or never
        redis.resume()
        await until(lambda: here.joins, PATIENCE)
        await heard_by(here, mouth, "in time")


@pytest.mark.usefixtures("quick")
async def test_a_redis_that_comes_late_is_heard_then(redis, caplog):
    redis.stop()
    async with hearing(HERE) as here, sending() as mouth:
        assert here.joins == 0
        await mouth.publish([EVERYONE], "too early")
        assert mouth.lost == 1
        redis.start()
        await until(lambda: here.joins, PATIENCE)
        await heard_by(here, mouth, "in time")
    assert here.texts == ["in time"]
    assert caplog.text.count("The broker failed") == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["core"], indirect=True)
async def test_groups_that_redis_forgot_are_joined_again(redis, caplog):
    async with hearing(HERE) as here, sending() as mouth:
        redis.ask("flushall")
        await until(lambda: here.joins == 2, PATIENCE)
        await heard_by(here, mouth, "after")
    assert not has_failed(caplog)
    assert "lost an echo" in caplog.text


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["pubsub"], indirect=True)
async def test_a_layer_that_reads_no_more_is_begun_anew(caplog):
    async with hearing(HERE) as here, sending() as mouth:
        [shard] = here.broker._carrier.layer._get_layer()._shards
        shard._receive_task.cancel()
        await until(lambda: here.joins == 2, PATIENCE)
        await heard_by(here, mouth, "after")
    assert has_failed(caplog)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["core"], indirect=True)
async def test_groups_are_renewed_before_they_age(redis, monkeypatch):
    monkeypatch.setattr(listener, "RENEWAL", 2)

    def joined():
        """When the channel last joined its two groups, by Redis."""
        groups = (f"tests:group:{address}" for address in (HERE, EVERYONE))
        return min(redis.ask("zrange", group, 0, -1, False, True)[0][1] for group in groups)

    async with hearing(HERE):
        first = joined()
        await until(lambda: joined() > first, PATIENCE)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["core"], indirect=True)
async def test_a_process_that_was_killed_is_soon_forgotten(redis, monkeypatch):
    monkeypatch.setattr(carriers, "EXPIRY", 1)
    monkeypatch.setattr(listener, "RENEWAL", 2)
    group, killed = f"tests:group:{EVERYONE}", b"specific.killed!channel"
    async with hearing(HERE) as here, sending() as mouth:
        redis.ask("zadd", group, {killed: time.time()})

        async def is_forgotten():
            await mouth.publish([EVERYONE], "anything")
            return killed not in redis.ask("zrange", group, 0, -1)

        async with asyncio.timeout(PATIENCE):
            while not await is_forgotten():
                await asyncio.sleep(0.05)
        await heard_by(here, mouth, "we are still here")


@pytest.mark.parametrize("kind", ["core"], indirect=True)
async def test_a_layer_that_was_idle_is_still_heard(caplog):
    async with hearing(HERE) as here, sending() as mouth:
        begun = time.monotonic()
        await until(lambda: time.monotonic() > begun + 6, PATIENCE)  # redis-py 8 gives up after 5
        await heard_by(here, mouth, "later")
        assert here.joins == 1
    assert caplog.records == []


# Carriers that swallow cancellations, as libraries do that connect or wait


class Stubborn(Carrier):
    """Joins again and again; what else it does may be cancelled, and tells nobody."""

    def __init__(self):
        self.joins = 0

    async def join(self, addresses):
        self.joins += 1

    async def receive(self):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return Batch("line", 1.0, 0, []).pack()

    async def send(self, address, text):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


class StubbornlyReceiving(Stubborn):
    async def send(self, address, text):
        """Lose it."""


class StubbornlySending(Stubborn):
    async def receive(self):
        await asyncio.sleep(0)
        raise ConnectionError("the connection was cut")


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
@pytest.mark.parametrize("carrier", [StubbornlyReceiving(), StubbornlySending()])
async def test_a_carrier_that_swallows_a_cancellation_is_begun_anew(carrier, monkeypatch):
    monkeypatch.setattr(listener, "RETRY", 0)
    monkeypatch.setattr(listener, "SILENT", 1)
    if isinstance(carrier, StubbornlyReceiving):
        monkeypatch.setattr(listener, "ECHO", 0)
    listening = listener.Listener(carrier, "sender", (HERE,), print, print)
    running = asyncio.create_task(listening.run())
    await until(lambda: carrier.joins > 2)
    running.cancel()
    await asyncio.wait([running])


# The hub


class Room(RoutedSocketHandler):
    def on_ask(self):
        return "here"

    routes = (("ASK", "on_ask"),)


async def test_a_redis_that_is_not_there_refuses_nobody(redis, caplog):
    redis.stop()
    async with client_of(Room) as client:
        assert (await client.ask({"type": "ASK", "ref": 1}))["data"] == "here"
        assert has_failed(caplog)


async def test_a_redis_that_hangs_refuses_nobody(redis, monkeypatch):
    monkeypatch.setattr(hub, "PATIENCE", 0.1)
    redis.suspend()
    async with client_of(Room) as client:
        assert (await client.ask({"type": "ASK", "ref": 1}))["data"] == "here"
        redis.resume()
        await Hub.current()._listening


@pytest.mark.usefixtures("quick")
async def test_sessions_are_looked_at_whenever_listening_began(redis, monkeypatch, caplog):
    looks = []

    async def look(watch):
        looks.append(watch)

    monkeypatch.setattr(Watch, "_look", look)
    async with client_of(Room):
        await until(lambda: len(looks) == 1, PATIENCE)
        redis.stop()
        await until(lambda: has_failed(caplog), PATIENCE)
        redis.start()
        await until(lambda: len(looks) == 2, PATIENCE)
