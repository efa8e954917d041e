"""What the connections of one event loop share."""

import asyncio
import threading

from asgiref.sync import async_to_sync, sync_to_async

from sockets.hub import Hub, connection

from .conftest import until


def lane_threads():
    return [t.name for t in threading.enumerate() if "sockets-lane" in t.name and t.is_alive()]


async def test_the_first_connection_begins_a_hub_and_the_last_ends_it():
    async with connection() as (hub, _):
        task = asyncio.create_task(hold(gate := asyncio.Event()))
        await sync_to_async(int)()
        await asyncio.sleep(0)
        assert Hub.current() is hub
        assert hub.connections == 2
    assert Hub.current() is hub
    assert lane_threads()
    gate.set()
    await task
    await until(lambda: not lane_threads())
    assert not Hub._by_loop


async def hold(gate):
    from sockets.hub import _entered

    _entered.set(None)
    async with connection():
        await gate.wait()


async def test_entering_again_gives_the_same_lane():
    async with connection() as (hub, lane), connection() as again:
        assert again == (hub, lane)
        assert hub.connections == 1


def test_a_hub_whose_loop_was_closed_is_forgotten():
    loop = asyncio.new_event_loop()
    entering = connection()
    loop.run_until_complete(entering.__aenter__())
    loop.close()

    async def later():
        async with connection() as (hub, _):
            assert list(Hub._by_loop.values()) == [hub]

    asyncio.run(later())


def test_beneath_async_to_sync_there_is_no_lane():
    async def where():
        async with connection() as (_, lane):
            assert lane is None
            return await sync_to_async(threading.get_ident)()

    assert async_to_sync(where)() == threading.get_ident()


def test_two_loops_have_hubs_of_their_own():
    async def main():
        async with connection() as (hub, _):
            return hub

    assert asyncio.run(main()) is not asyncio.run(main())
