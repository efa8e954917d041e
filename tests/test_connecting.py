"""`connect` and `disconnect` of the consumers of other systems: as Channels has them."""

import pytest
from channels.exceptions import AcceptConnection, DenyConnection, StopConsumer

from sockets.compat.observable import SocketRouterConsumer
from sockets.compat.replykey import Consumer

from .clients import Client, client_of

CONSUMERS = pytest.mark.parametrize("base", [SocketRouterConsumer, Consumer])


def consumer_of(base, colour, **hooks):
    """A consumer with these hooks, each raising or noting what it was given, in either colour."""

    def in_colour(function):
        async def coroutine(self, *given):
            return function(self, *given)

        return function if colour == "def" else coroutine

    return type("Page", (base,), {name: in_colour(hook) for name, hook in hooks.items()})


def raises(exception):
    def hook(self, *given):
        raise exception

    return hook


COLOURS = pytest.mark.parametrize("colour", ["def", "async def"])


@CONSUMERS
@COLOURS
async def test_connect_may_accept_by_an_exception(base, colour, caplog):
    async with client_of(consumer_of(base, colour, connect=raises(AcceptConnection))):
        assert not caplog.records


@CONSUMERS
@COLOURS
async def test_connect_may_refuse_by_an_exception(base, colour, caplog):
    client = Client(consumer_of(base, colour, connect=raises(DenyConnection)).as_asgi(), "/")
    assert await client.connect() == (False, 4403)
    assert not caplog.records


@CONSUMERS
@COLOURS
async def test_any_other_exception_refuses_and_is_logged(base, colour, caplog):
    client = Client(consumer_of(base, colour, connect=raises(KeyError("x"))).as_asgi(), "/")
    assert await client.connect() == (False, 4500)
    assert "A connect hook of user None at '/' failed" in caplog.text


@CONSUMERS
async def test_disconnect_may_stop_its_consumer(base, caplog):
    async with client_of(consumer_of(base, "def", disconnect=raises(StopConsumer))):
        pass
    assert not caplog.records


async def code_of(consumer, codes):
    client = Client(consumer.as_asgi(), "/")
    await client.connect()
    await client.disconnect(code=3001)
    return codes.pop()


@CONSUMERS
async def test_disconnect_gets_the_code_whatever_it_calls_it(base, caplog):
    codes = []

    class Named(base):
        def disconnect(self, close_code):
            codes.append(close_code)

    class Optional(base):
        async def disconnect(self, close_code=None):
            codes.append(close_code)

    class Later(Named):
        def disconnect(self, why, *rest):
            super().disconnect(why)

    for consumer in (Named, Optional, Later):
        assert await code_of(consumer, codes) == 3001
    assert not caplog.records


@CONSUMERS
async def test_disconnect_of_a_mixin_gets_the_code_too(base):
    codes = []

    class Leaving:
        def disconnect(self, close_code):
            codes.append(close_code)

    class Page(Leaving, base): ...

    class Later(Page): ...

    assert [await code_of(page, codes) for page in (Page, Later)] == [3001, 3001]


@CONSUMERS
async def test_disconnect_may_have_our_own_forms(base):
    codes = []

    class Without(base):
        def disconnect(self):
            codes.append("without")

    class Named(base):
        def disconnect(self, code, user):
            codes.append((code, user.is_authenticated))

    assert await code_of(Without, codes) == "without"
    assert await code_of(Named, codes) == (3001, False)
