"""Sending what a generator yields as the parts of one answer, under back-pressure."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from typing import Any

from asgiref.sync import sync_to_async

from .exceptions import LanesBusy

END = object()

Stream = AsyncGenerator[Any, Any] | Generator[Any, Any, Any]


async def send_parts(stream: Stream, send: Callable[[Any], Awaitable[None]]) -> None:
    """Send each item when the one before it was taken; the generator is always closed.

    A synchronous generator takes a thread per item, so that one whose client reads slowly
    keeps none waiting.
    """
    items = stream if isinstance(stream, AsyncGenerator) else threaded(stream)
    async with aclosing(items):
        async for item in items:
            await send(item)
            await asyncio.sleep(0)  # a generator that never waits must let others run


async def threaded(stream: Generator[Any, Any, Any]) -> AsyncGenerator[Any, None]:
    """A synchronous generator as an asynchronous one."""
    step = sync_to_async(lambda: next(stream, END))
    try:
        while (item := await step()) is not END:
            yield item
    finally:
        await asyncio.shield(_close(stream))


async def _close(stream: Generator[Any, Any, Any]) -> None:
    # Neither a second cancellation nor busy lanes may leave the generator open: its `finally`
    # would then run in the event loop's thread, whenever the garbage is collected.
    while True:
        try:
            return await sync_to_async(stream.close)()
        except LanesBusy:
            continue
