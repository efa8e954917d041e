"""Carrying broadcasts to other processes over real channel layers."""

import asyncio

import pytest

from sockets import RoutedSocketHandler, broadcasts, brokers, carriers, ledger, listener
from sockets.broadcasts import Broadcast, Event, Target, pack
from sockets.brokers import EVERYONE, Broker, LocalBroker, make_broker
from sockets.exceptions import DeclarationError
from sockets.hub import Hub
from sockets.senders import Sender, send, stop_sender
from sockets.sync import DONE

from .channel_layers import (
    KINDS,
    SHARED,
    hearing,
    layers,
    sending,
    shared_redis,
    unique_name,
    use_carrier,
)
from .clients import Client, client_of
from .conftest import until
from .servers import run

HERE, THERE = "sockets.here", "sockets.there"
PATIENCE = 20.0


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def name(kind, settings):
    """The name of a broker's keys and channels, which are none in the end, and connections."""
    name = unique_name()
    with shared_redis() as redis:
        use_carrier(settings, kind, SHARED, name)
        yield name
        assert redis.pubsub_channels(f"{name}*") == []
        assert [*redis.scan_iter(f"{name}:group:*")] == []
        for key in redis.scan_iter(f"{name}*"):
            redis.delete(key)


def connections(name):
    with shared_redis() as redis:
        return [client for client in redis.client_list() if client["name"] == name]


# Texts and addresses


async def test_texts_reach_everyone_and_their_own_addresses_once_and_in_order(name):
    async with hearing(HERE) as here, hearing(THERE) as there, sending() as mouth:
        for number in range(100):
            mouth.publish([[EVERYONE], [HERE], [THERE, HERE]][number % 3], f"{number}")
        await mouth.publish([EVERYONE], "end")
        await until(lambda: "end" in here.texts and "end" in there.texts, PATIENCE)
    assert here.texts == [*map(str, range(100)), "end"]
    assert there.texts == [*(str(number) for number in range(100) if number % 3 != 1), "end"]


async def test_who_publishes_does_not_hear_it(name):
    async with hearing(HERE) as here, sending() as mouth:
        await here.broker.publish([EVERYONE], "to all")
        await here.broker.publish([HERE], "to me")
        await mouth.publish([EVERYONE], "end")
        await until(lambda: here.texts == ["end"], PATIENCE)
        assert here.joins == 1


async def test_awaiting_a_publish_waits_until_the_layer_has_it(name):
    async with sending() as mouth:
        taken = mouth.publish([EVERYONE], "one")
        assert not mouth.batches
        await taken
        assert mouth.batches == [(EVERYONE, ["one"])]


# Bursts


async def test_a_burst_is_a_few_events_of_which_none_is_lost(name):
    texts = [f"{number} {'x' * 100}" for number in range(5000)]
    async with hearing(HERE) as here, sending() as mouth:
        for text in texts:
            taken = mouth.publish([EVERYONE], text)
        await taken
        await until(lambda: len(here.texts) >= len(texts), PATIENCE)
    assert here.texts == texts
    assert len(mouth.batches) < 20


async def test_a_burst_to_many_addresses_is_a_few_events_for_each(name):
    addresses = [HERE, THERE, "sockets.elsewhere"]
    async with hearing(HERE) as here, sending() as mouth:
        for number in range(3000):
            taken = mouth.publish([addresses[number % 3]], f"{number}")
        await taken
        await until(lambda: len(here.texts) >= 1000, PATIENCE)
    assert here.texts == [f"{number}" for number in range(0, 3000, 3)]
    assert len(mouth.batches) < 10


async def test_a_process_that_is_busy_for_a_moment_misses_nothing(name):
    async with hearing(HERE) as here:
        sender = Sender(make_broker())
        # Waiting here keeps our loop from reading, while far more than the layer's usual 100
        # events are on their way.
        for number in range(400):
            sender.publish([EVERYONE], f"{number}").result(PATIENCE)
        sender.stop()
        assert here.texts == []
        await until(lambda: len(here.texts) >= 400, PATIENCE)
    assert here.texts == [f"{number}" for number in range(400)]


@pytest.mark.parametrize("kind", ["core"], indirect=True)
async def test_what_a_layer_drops_for_want_of_room_is_counted_to_the_last(name, monkeypatch):
    monkeypatch.setattr(carriers, "CAPACITY", 100)
    monkeypatch.setattr(brokers, "BATCH", 0)
    monkeypatch.setattr(brokers, "BEAT", 0.1)
    monkeypatch.setattr(brokers, "LIFE", 1000)
    async with hearing(HERE) as here:
        sender = Sender(make_broker())
        for number in range(1500):  # while our loop reads nothing
            taken = sender.publish([EVERYONE], f"{number}")
        taken.result(PATIENCE)
        assert here.texts == []
        await until(lambda: len(here.texts) + here.broker.missed == 1500, PATIENCE)
        sender.publish([EVERYONE], "end").result(PATIENCE)
        await until(lambda: here.texts[-1] == "end", PATIENCE)
        await asyncio.to_thread(sender.stop)
    numbers = [int(text) for text in here.texts[:-1]]
    assert numbers == sorted(set(numbers))
    assert 50 < len(here.texts) < 200
    assert here.broker.missed == 1501 - len(here.texts)
    assert here.joins > 1


async def test_batches_are_bounded(name, monkeypatch):
    monkeypatch.setattr(brokers, "BATCH", 1000)
    texts = ["a" * 400, "b" * 400, "c" * 400, "d" * 5000, "e" * 400, "f" * 600, ""]
    async with hearing(HERE) as here, sending() as mouth:
        for text in texts:
            taken = mouth.publish([EVERYONE], text)
        await taken
        assert [len(batch) for _, batch in mouth.batches] == [2, 1, 1, 3]
        await until(lambda: here.texts == texts, PATIENCE)


async def test_what_waits_for_a_slow_layer_is_bounded_and_the_rest_counted(
    name, monkeypatch, caplog
):
    monkeypatch.setattr(brokers, "LIMIT", 1000)
    async with hearing(HERE) as here, sending() as mouth:
        mouth.may_send.clear()
        for number in range(50):
            mouth.publish([EVERYONE], f"{number:0100}")
        assert mouth.lost == 39
        assert "it is too slow" in caplog.text
        mouth.may_send.set()
        await until(lambda: len(here.texts) == 11, PATIENCE)
        await mouth.publish([EVERYONE], "later")
        await until(lambda: here.texts[-1] == "later", PATIENCE)
    assert mouth.lost == 39


async def test_only_the_first_wait_for_a_layer_that_hangs(name, monkeypatch):
    monkeypatch.setattr(brokers, "TIMEOUT", 0.1)
    async with hearing(HERE) as here, sending() as mouth:
        await mouth.publish([EVERYONE], "opens a connection")
        mouth.may_send.clear()
        first = mouth.publish([EVERYONE], "one")
        assert first is not DONE
        await first
        assert mouth.publish([EVERYONE], "two") is DONE
        mouth.may_send.set()
        await until(lambda: here.texts[-1:] == ["two"], PATIENCE)
        await until(lambda: mouth.publish([EVERYONE], "three") is not DONE, PATIENCE)
        assert mouth.lost == 1


# Numbers


async def test_what_the_sender_lost_is_missed_by_who_listens(name, monkeypatch):
    monkeypatch.setattr(brokers, "LIMIT", 1000)
    async with hearing(HERE) as here, sending() as mouth:
        await mouth.publish([EVERYONE], "first")
        mouth.may_send.clear()
        for number in range(50):
            mouth.publish([EVERYONE], f"{number:0100}")
        mouth.may_send.set()
        await until(lambda: len(here.texts) == 12, PATIENCE)
        await mouth.publish([EVERYONE], "last")
        await until(lambda: here.texts[-1] == "last", PATIENCE)
        assert mouth.lost == here.broker.missed == 52 - len(here.texts) == 39


async def test_a_loss_that_nothing_follows_is_seen_at_the_next_beat(name, monkeypatch, caplog):
    monkeypatch.setattr(brokers, "BEAT", 0.05)
    async with hearing(HERE) as here, sending() as mouth:
        await mouth.publish([EVERYONE], "first")
        mouth.drops = True
        await mouth.publish([EVERYONE], "dropped on its way")
        mouth.drops = False
        await until(lambda: here.broker.missed == 1, PATIENCE)
        assert here.joins == 2
    assert "did not come here (1 so far)" in caplog.text


async def test_a_loss_at_the_very_beginning_is_seen_too(name):
    async with hearing(HERE) as here, sending() as mouth:
        mouth.drops = True
        await mouth.publish([EVERYONE, HERE], "dropped on its way")
        mouth.drops = False
        await mouth.publish([EVERYONE], "second")
        await until(lambda: here.texts == ["second"], PATIENCE)
        assert here.broker.missed == 1
        await mouth.publish([HERE], "second")
        await until(lambda: here.texts == ["second"] * 2, PATIENCE)
        assert here.broker.missed == 2


async def test_a_sender_that_ends_tells_its_last_number(name):
    async with hearing(HERE) as here:
        async with sending() as mouth:
            await mouth.publish([EVERYONE], "first")
            mouth.drops = True
            await mouth.publish([EVERYONE], "dropped on its way")
            mouth.drops = False
        await until(lambda: here.broker.missed == 1, PATIENCE)


async def test_what_was_sent_before_one_listened_is_not_missed(name):
    async with sending() as mouth:
        for number in range(3):
            await mouth.publish([EVERYONE], f"{number}")
        await asyncio.sleep(0.1)  # more than anything here is on its way
        async with hearing(HERE) as here:
            await mouth.publish([EVERYONE], "in time")
            await until(lambda: here.texts == ["in time"], PATIENCE)
            assert (here.broker.missed, here.joins) == (0, 1)


async def test_what_is_sent_twice_for_safety_is_taken_once(name):
    async with hearing(HERE) as here, sending() as mouth:
        mouth.fails_afterwards = True
        for number in range(3):
            await mouth.publish([EVERYONE], f"{number}")
        await until(lambda: len(here.texts) == 3, PATIENCE)
        mouth.fails_afterwards = False
        await mouth.publish([EVERYONE], "end")
        await until(lambda: here.texts == ["0", "1", "2", "end"], PATIENCE)
        assert here.broker.missed == 0


async def test_a_line_that_is_quiet_ends_and_begins_anew(name, monkeypatch):
    monkeypatch.setattr(brokers, "BEAT", 0.02)
    monkeypatch.setattr(brokers, "LIFE", 3)
    async with hearing(HERE) as here, sending() as mouth:
        await mouth.publish([HERE], "first")
        await until(lambda: not mouth.broker._lines, PATIENCE)
        assert [batch.number for _, batch in mouth.sent] == [0, 1, 1, 1]
        await mouth.publish([HERE], "second")
        await until(lambda: here.texts == ["first", "second"], PATIENCE)
        assert mouth.sent[-1][1].number == 0
        assert here.broker.missed == 0


async def test_a_sender_that_is_killed_is_forgotten(name, monkeypatch):
    async with hearing(HERE) as here, sending() as mouth:
        await mouth.publish([EVERYONE], "from who lives")
        async with sending() as killed:
            await killed.publish([EVERYONE], "from who dies")
            await until(lambda: len(here.texts) == 2, PATIENCE)
            killed.drops = True  # what it would tell at its end
        lines = here.broker._listener.ledger._known
        assert len(lines) == 2
        monkeypatch.setattr(ledger, "FORGET", 0.1)
        [line] = mouth.broker._lines.values()

        async def others_are_forgotten():
            await mouth.publish([EVERYONE], "again")
            await asyncio.sleep(0.02)
            return [*lines] == [line.id]

        async with asyncio.timeout(PATIENCE):
            while not await others_are_forgotten():
                pass
        assert here.broker.missed == 0


# Strange texts

STRANGE = [
    "",
    "no label",
    "line 1.5 0.5\ntext",
    "line then 0\ntext",
    "line 1.5 -1\ntext",
    f"line 1.5 {'9' * 5000}\ntext",
    f"line -1.5 {10**18}\ntext",
]


async def test_strange_texts_are_logged_and_ignored(name, monkeypatch, caplog):
    monkeypatch.setattr(ledger, "SELDOM", 0)
    async with hearing(HERE) as here, sending() as mouth:
        await mouth.publish([EVERYONE], "a good one")
        for text in STRANGE:
            await mouth.carry(EVERYONE, text)
        await mouth.publish([EVERYONE], "another")
        await until(lambda: here.texts == ["a good one", "another"], PATIENCE)
        assert (here.joins, here.broker.missed) == (1, 0)
    assert caplog.text.count("is none of ours") == len(STRANGE)


FOREIGN = [{"type": "chat.message"}, {"type": "a", "text": None}, {"type": "a", "text": [1]}]


@pytest.mark.parametrize("kind", ["core", "pubsub"], indirect=True)
async def test_strange_events_of_a_layer_are_logged_and_ignored(name, monkeypatch, caplog):
    monkeypatch.setattr(ledger, "SELDOM", 0)
    async with hearing(HERE) as here, sending() as mouth:
        for event in FOREIGN:
            await mouth.broker._carrier.layer.group_send(EVERYONE, event)
        await mouth.publish([EVERYONE], "a good one")
        await until(lambda: here.texts == ["a good one"], PATIENCE)
        assert here.joins == 1
    assert caplog.text.count("is none of ours") == len(FOREIGN)


async def test_a_text_that_cannot_be_taken_does_not_keep_others(name, caplog):
    heard, broker = [], make_broker()
    await broker.listen(HERE, lambda text: heard.append(int(text)), lambda: None)
    async with sending() as mouth:
        for text in ("1", "rubbish", "2"):
            mouth.publish([HERE], text)
        await until(lambda: heard == [1, 2], PATIENCE)
    await broker.stop()
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize("kind", ["core", "pubsub"], indirect=True)
async def test_what_a_layer_cannot_read_does_not_end_the_listening(name, monkeypatch, caplog):
    monkeypatch.setattr(listener, "RETRY", 0.01)
    async with hearing(HERE) as here, sending() as mouth:
        with shared_redis() as redis:
            if channels := redis.pubsub_channels(f"{name}*{HERE}"):
                redis.publish(channels[0], b"\xc1")
            else:
                [channel] = redis.zrange(f"{name}:group:{HERE}", 0, -1)
                redis.zadd(name.encode() + channel.partition(b"!")[0] + b"!", {b"\xc1" * 20: 1e12})
        await until(lambda: here.joins == 2, PATIENCE)
        await mouth.publish([EVERYONE], "a good one")
        await until(lambda: here.texts == ["a good one"], PATIENCE)
    assert "The broker failed" in caplog.text


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_bytes_that_are_no_text_are_logged_and_ignored(name, caplog):
    async with hearing(HERE) as here, sending() as mouth:
        with shared_redis() as redis:
            assert redis.publish(f"{name}:{HERE}", b"\xc1") == 1
        await mouth.publish([EVERYONE], "a good one")
        await until(lambda: here.texts == ["a good one"], PATIENCE)
        assert here.joins == 1
    assert "is none of ours" in caplog.text


class Room(RoutedSocketHandler):
    pass


async def test_a_hub_brings_the_broadcasts_of_other_processes_to_its_members(
    name, monkeypatch, caplog
):
    async with client_of(Room) as client, sending() as mouth:
        hub = Hub.current()
        texts = [
            pack(Broadcast(Target("path", "/"), Event.of("our own, delivered already"))),
            "rubbish",
            '["no", "broadcast"]',
        ]
        monkeypatch.setattr(broadcasts, "origin", hub.id.hex)  # any other process's
        texts.append(pack(Broadcast(Target("path", "/"), Event.of("theirs"))))
        monkeypatch.undo()
        for text in texts:
            mouth.publish([EVERYONE], text)
        assert await client.receive_json_from(PATIENCE) == "theirs"
        assert await client.receive_nothing()
    assert caplog.text.count("cannot be read") == 2


# The end


async def test_a_connection_that_was_cut_loses_nothing(name):
    async with sending() as mouth:
        await mouth.publish([EVERYONE], "before")
        with shared_redis() as redis:
            for client in connections(name):
                redis.client_kill_filter(_id=client["id"])
        await mouth.publish([EVERYONE], "after")
        assert mouth.lost == 0
        assert [texts for _, texts in mouth.batches][-1] == ["after"]


async def test_the_end_closes_all_connections(name):
    async with hearing(HERE) as here, sending() as mouth:
        await mouth.publish([EVERYONE], "one")
        await until(lambda: here.texts, PATIENCE)
        assert connections(name)
    await until(lambda: not connections(name), PATIENCE)


@pytest.mark.parametrize("kind", ["core", "pubsub"], indirect=True)
async def test_a_loop_may_listen_again_and_again(name):
    loop = asyncio.get_running_loop()
    closes = set()
    for number in range(3):
        async with hearing(HERE) as here, sending() as mouth:
            await mouth.publish([EVERYONE], f"{number}")
            await until(lambda here=here: here.texts, PATIENCE)
            assert here.texts == [f"{number}"]
        closes.add(loop.close)
    # channels_redis wraps it once for each layer, which would never be forgotten.
    assert len(closes) == 1


@pytest.mark.parametrize("kind", ["core", "pubsub"], indirect=True)
def test_several_loops_have_layers_of_their_own(name):
    async def once():
        async with hearing(HERE) as here, sending() as mouth:
            await mouth.publish([HERE], "one")
            await until(lambda: here.texts == ["one"], PATIENCE)
            return mouth.broker._carrier._layer_in_use

    assert asyncio.run(once()) is not asyncio.run(once())


async def test_what_waits_at_the_end_is_sent_first(name):
    async with hearing(HERE) as here:
        broker = make_broker()
        for number in range(3):
            broker.publish([HERE], f"{number}")
        await broker.stop()
        await until(lambda: here.texts == ["0", "1", "2"], PATIENCE)


async def test_after_the_end_nothing_is_taken(name):
    async with sending() as mouth:
        await mouth.broker.stop()
        await mouth.publish([EVERYONE], "too late")
        assert mouth.lost == 1
    assert mouth.batches == []


async def test_a_layer_that_hangs_does_not_keep_the_end(name, monkeypatch, caplog):
    monkeypatch.setattr(brokers, "PATIENCE", 0.1)
    async with sending() as mouth:
        await mouth.publish([EVERYONE], "opens a connection")
        mouth.may_send.clear()
        taken = mouth.publish([EVERYONE], "one")
        mouth.publish([EVERYONE], "two")
        await mouth.broker.stop()
        await asyncio.wait_for(taken, PATIENCE)
        assert mouth.lost == 2
    assert "did not take them within" in caplog.text


# Processes without connections

ENDING_AT_ONCE = """
import django
from django.conf import settings
settings.configure(SECRET_KEY="key", CHANNEL_LAYERS={layers!r}, SOCKETS={sockets!r})
django.setup()
from sockets.broadcasts import Broadcast, Event, Target
from sockets.senders import send
for number in range(3):
    send(Broadcast(Target("group", "red"), Event.of(number)), wait=False)
"""


async def test_a_process_that_ends_at_once_still_finds_redis_by_name(name, kind, settings):
    if "127.0.0.1" not in SHARED:
        pytest.skip("only the name of this machine is known")
    use_carrier(settings, kind, SHARED.replace("127.0.0.1", "localhost"), name)
    sockets = getattr(settings, "SOCKETS", {})
    code = ENDING_AT_ONCE.format(layers=settings.CHANNEL_LAYERS, sockets=sockets)
    async with hearing(HERE) as here:
        await asyncio.to_thread(run, "-c", code)
        await until(lambda: len(here.texts) == 3, PATIENCE)


def test_many_sends_share_one_connection(name):
    assert not connections(name)
    for number in range(200):
        send(Broadcast(Target("group", "red"), Event.of(number)))
    assert len(connections(name)) == 1
    stop_sender()


def test_other_settings_end_the_connection_and_lead_elsewhere(name, kind, settings):
    send(Broadcast(Target("group", "red"), Event.of(1)))
    other = unique_name()
    use_carrier(settings, kind, SHARED, other)
    assert not connections(name)
    send(Broadcast(Target("group", "red"), Event.of(2)))
    assert len(connections(other)) == 1
    stop_sender()
    assert not connections(other)


# Which broker


@pytest.mark.parametrize(
    ("layer", "broker"),
    [
        ({}, "default"),
        ({"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}, "default"),
        ({"far": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}, "far"),
        (layers("core", SHARED, "never connected"), "local"),
    ],
)
async def test_without_a_layer_that_leaves_the_process_there_is_nothing_to_carry(
    settings, layer, broker
):
    settings.CHANNEL_LAYERS, settings.SOCKETS = layer, {"BROKER": broker}
    chosen = make_broker()
    assert type(chosen) is LocalBroker
    await chosen.listen(HERE, print, print)
    await chosen.publish([EVERYONE], "nobody")
    await chosen.stop()
    assert chosen.lost == 0


def test_another_layer_may_be_named(settings):
    settings.CHANNEL_LAYERS = {"far": layers("pubsub", SHARED, "never connected")["default"]}
    settings.SOCKETS = {"BROKER": "far"}
    assert type(make_broker()) is Broker


def test_a_layer_that_is_not_set_is_a_fault_of_the_settings(settings):
    settings.SOCKETS = {"BROKER": "far"}
    with pytest.raises(DeclarationError, match="'far', which is neither in CHANNEL_LAYERS nor"):
        make_broker()


async def test_a_hub_with_such_settings_takes_no_connection(settings):
    settings.SOCKETS = {"BROKER": "far"}
    for _ in range(2):
        client = Client(Room.as_asgi(), "/")
        with pytest.raises(DeclarationError, match="'far', which is neither in"):
            await client.connect()
    assert not Hub._by_loop
