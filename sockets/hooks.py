"""Running what users hooked to the end of a connection, whatever it does."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from .arguments import Call

logger = logging.getLogger("sockets")


async def run_disconnect_hooks(
    hooks: Iterable[Call], socket: Any, event: dict[str, Any], seconds: float, where: str
) -> None:
    """Run the hooks in order; a fault of one is logged, and all have `seconds` together."""
    try:
        async with asyncio.timeout(seconds):
            for hook in hooks:
                await _run(hook, socket, event, where)
    except TimeoutError:
        logger.error("The disconnect hooks of %s took more than %g s", where, seconds)


async def _run(hook: Call, socket: Any, event: dict[str, Any], where: str) -> None:
    task = asyncio.current_task()
    try:
        await hook(socket, event)
    except BaseException as fault:
        if isinstance(fault, KeyboardInterrupt | GeneratorExit) or (task and task.cancelling()):
            raise
        logger.exception("A disconnect hook of %s failed", where)
