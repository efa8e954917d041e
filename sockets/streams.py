"""Sending what a generator yields as the parts of one answer, under back-pressure."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from contextvars import Context, copy_context
from types import AsyncGeneratorType, GeneratorType
from typing import Any, TypeAlias

from asgiref.sync import sync_to_async
from django.db import connections
from django.db.transaction import TransactionManagementError

from .exceptions import LanesBusy
from .sync import finish

END = object()

STREAMS = frozenset({GeneratorType, AsyncGeneratorType})
"""The types of generators, whose items are parts of an answer."""

Stream: TypeAlias = "AsyncGenerator[Any, Any] | GeneratorType[Any, Any, Any]"

logger = logging.getLogger("sockets")


async def send_parts(
    stream: Stream, send: Callable[[Any], Awaitable[None]], wanted: Callable[[], bool]
) -> None:
    """Send each item when the one before it was taken, for as long as they are wanted.

    The generator is always closed. A synchronous one takes a thread per item, so that one whose
    client reads slowly keeps none waiting.
    """
    items = stream if isinstance(stream, AsyncGenerator) else threaded(stream)
    async with aclosing(items):
        async for item in items:
            if not wanted():
                return
            await send(item)
            await asyncio.sleep(0)  # a generator that never waits must let others run


async def threaded(stream: "GeneratorType[Any, Any, Any]") -> AsyncGenerator[Any, None]:
    """A synchronous generator as an asynchronous one, which runs and is closed in threads."""
    context = copy_context()  # one for all its steps: what it sets in one it may reset in another
    step = sync_to_async(_next, context=context)
    try:
        while (item := await step(stream)) is not END:
            yield item
    finally:
        await finish(_close(stream, context))


def _next(stream: "GeneratorType[Any, Any, Any]") -> Any:
    before = _open_transactions()
    try:
        item = next(stream)
    except StopIteration as end:
        if end.value is not None:
            logger.warning(
                "%s: expected a generator to return nothing, got a %s, which is not sent; "
                "yield it instead.",
                stream.__qualname__, type(end.value).__qualname__,
            )  # fmt: skip
        return END
    if _open_transactions() > before:
        # The thread now serves others, whose queries would be part of this transaction.
        stream.close()
        raise TransactionManagementError(
            f"{stream.__qualname__}: expected a yield outside of transaction.atomic(), got one "
            "inside, which was rolled back; leave the block before each yield"
        )
    return item


def _open_transactions() -> int:
    """How many `atomic` blocks this thread is in."""
    return sum(len(one.atomic_blocks) for one in connections.all(initialized_only=True))


async def _close(stream: "GeneratorType[Any, Any, Any]", context: Context) -> None:
    # Neither a second cancellation nor busy lanes may leave the generator open: its `finally`
    # would then run in the event loop's thread, whenever the garbage is collected.
    while True:
        try:
            return await sync_to_async(stream.close, context=context)()
        except LanesBusy:
            continue
