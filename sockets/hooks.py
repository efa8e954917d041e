"""Running what users hooked to the end of a connection, whatever it does."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from .arguments import Call

logger = logging.getLogger("sockets")


async def run_disconnect_hooks(
    hooks: Iterable[Call], socket: Any, event: dict[str, Any], seconds: float, where: str
) -> None:
    """Run the hooks in order; a fault of one is logged, and all have `seconds` together."""
    limit = asyncio.timeout(seconds)
    with suppress(TimeoutError):
        async with limit:
            for hook in hooks:
                await _run(hook, socket, event, where)
                if limit.expired():
                    break  # it went on when it was to stop, or failed in stopping
    if limit.expired():
        logger.error("The disconnect hooks of %s took more than %g s", where, seconds)


async def _run(hook: Call, socket: Any, event: dict[str, Any], where: str) -> None:
    try:
        await hook(socket, event)
    except BaseException as fault:
        if _is_ending(fault):
            raise
        logger.exception("A disconnect hook of %s failed", where)


def _is_ending(fault: BaseException) -> bool:
    """Whether a fault ends the hooks or the process, and is no hook's own."""
    if isinstance(fault, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(fault, KeyboardInterrupt | GeneratorExit)
