"""Ordinary events of the channel layer."""

import asyncio

import pytest
from channels.layers import get_channel_layer

from sockets import RoutedSocketHandler, SocketRouter
from sockets import layers as layers_module

from .clients import Client, client_of


class Chat(RoutedSocketHandler):
    groups = ("chat",)
    routes = (("NAME", "on_name"), ("SLEEP", "on_sleep"), ("SECRET", "_secret"))
    max_waiting = 1

    def on_name(self):
        return self.channel_name

    async def on_sleep(self):
        await asyncio.sleep(0.15)

    def _secret(self): ...

    async def chat_message(self, event):
        await self.send_json({"text": event["text"]})

    def chat_thread(self, event):
        self.send_json({"text": event["text"]})
        return "a return value answers nobody"

    async def chat_broken(self, event):
        raise RuntimeError("broken")

    def chat_unbound():
        """A method that cannot be called with an event."""

    async def chat_reply(self, event):
        self.reply("nobody asked")


async def test_events_of_groups_go_to_methods_of_either_colour():
    layer = get_channel_layer()
    async with client_of(Chat) as client:
        for kind in ("chat.message", "chat.thread", "chat_message"):
            await layer.group_send("chat", {"type": kind, "text": kind})
            assert await client.receive_json_from() == {"text": kind}
        assert await client.receive_nothing()


async def test_a_channel_name_can_be_sent_to():
    layer = get_channel_layer()
    async with client_of(Chat) as client:
        name = (await client.ask({"type": "NAME", "ref": 1}))["data"]
        await layer.send(name, {"type": "chat.message", "text": "you"})
        assert await client.receive_json_from() == {"text": "you"}


@pytest.mark.parametrize(
    "kind", ["close", "send_json", "disconnect", "accept", "_secret", "nope", "cancel", "view"]
)
async def test_an_event_reaches_no_method_that_is_not_meant_for_it(kind, caplog):
    layer = get_channel_layer()
    async with client_of(Chat) as client:
        await layer.group_send("chat", {"type": kind})
        await layer.group_send("chat", {"type": "chat.message", "text": "alive"})
        assert await client.receive_json_from() == {"text": "alive"}
    assert f"no method for the layer's event {kind!r}" in caplog.text


@pytest.mark.parametrize("kind", ["chat.broken", "chat.reply", "chat.unbound"])
async def test_a_fault_in_an_event_is_logged_and_not_told(kind, caplog):
    layer = get_channel_layer()
    async with client_of(Chat) as client:
        await layer.group_send("chat", {"type": kind})
        assert await client.receive_nothing()
        assert (await client.ask({"type": "NAME", "ref": 1}))["status"] == 200
    assert "failed" in caplog.text or "cannot be called" in caplog.text


async def test_events_wait_for_a_full_mailbox_and_none_is_lost():
    layer = get_channel_layer()
    async with client_of(Chat) as client:
        await client.send_json_to({"type": "SLEEP"})
        for number in range(10):
            await layer.group_send("chat", {"type": "chat.message", "text": number})
        texts = [(await client.receive_json_from())["text"] for _ in range(10)]
    assert texts == list(range(10))


async def test_an_event_that_is_none_is_logged_and_the_next_arrives(caplog):
    layer = get_channel_layer()
    async with client_of(Chat) as client:
        await layer.group_send("chat", {"type": 5})
        await layer.group_send("chat", {"type": "chat.message", "text": "alive"})
        assert await client.receive_json_from() == {"text": "alive"}


@pytest.mark.parametrize("fault", [OSError("away"), None])
async def test_a_layer_that_fails_at_the_end_stops_nothing(fault, monkeypatch, caplog):
    layer = get_channel_layer()

    async def failing(group, channel):
        if fault:
            raise fault
        await asyncio.sleep(5)

    async with client_of(Chat):
        monkeypatch.setattr(layer, "group_discard", failing)
    assert "could not be left" in caplog.text or "to leave its groups" in caplog.text
    await layer.flush()


async def test_events_wait_for_accept():
    gate = asyncio.Event()

    class Slow(Chat):
        async def connect(self):
            await gate.wait()

    client = Client(Slow.as_asgi(), "/")
    await client.send_input({"type": "websocket.connect"})
    await asyncio.sleep(0.02)
    await get_channel_layer().group_send("chat", {"type": "chat.message", "text": "early"})
    assert await client.receive_nothing()
    gate.set()
    assert (await client.receive_output())["type"] == "websocket.accept"
    assert await client.receive_json_from() == {"text": "early"}
    await client.disconnect()


async def test_groups_are_left_at_the_end():
    layer = get_channel_layer()
    async with client_of(Chat):
        assert layer.groups["chat"]
    assert not layer.groups.get("chat")


async def test_the_layer_is_there_in_connect_hooks_and_for_routers():
    router = SocketRouter(uses_channel_layer=True)

    @router.connect
    async def on_connect(socket):
        await socket.channel_layer.group_add("late", socket.channel_name)
        socket.send_json(socket.channel_name)

    async with client_of(router) as client:
        assert (await client.receive_json_from()).startswith("specific")


async def test_without_a_layer_the_connection_is_refused_with_the_repair(settings, caplog):
    settings.CHANNEL_LAYERS = {}
    client = Client(Chat.as_asgi(), "/")
    await client.connect()
    assert await client.next_close() == 4500
    await client.wait()
    assert "CHANNEL_LAYERS" in caplog.text


async def test_a_layer_that_fails_is_asked_again(monkeypatch, caplog):
    monkeypatch.setattr(layers_module, "RETRY", 0.02)
    layer = get_channel_layer()
    receive, failures = layer.receive, [OSError("away")]

    async def failing(channel):
        if failures:
            raise failures.pop()
        return await receive(channel)

    monkeypatch.setattr(layer, "receive", failing)
    async with client_of(Chat) as client:
        await asyncio.sleep(0.05)
        await layer.group_send("chat", {"type": "chat.message", "text": "back"})
        assert await client.receive_json_from() == {"text": "back"}
    assert "The channel layer failed" in caplog.text
