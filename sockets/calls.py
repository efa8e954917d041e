"""Questions to one client, waiting for their answers."""

import asyncio
from typing import Any

from .exceptions import CallError, CallTimeout, Disconnected
from .messages import CALL_PREFIX, Answer, Message, Ref, current_message


class Calls:
    """The calls of one connection that the client has not answered yet."""

    __slots__ = ("_number", "_pending")

    def __init__(self) -> None:
        self._number = 0
        self._pending: dict[Ref, tuple[asyncio.Future[Any], Message | None]] = {}

    def next_ref(self) -> Ref:
        """A ref that no call has had."""
        self._number += 1
        return f"{CALL_PREFIX}{self._number}"

    async def wait(self, ref: Ref, timeout: float) -> Any:
        """The client's answer; raises `CallTimeout`, `CallError` or `Disconnected`."""
        future = asyncio.get_running_loop().create_future()
        self._pending[ref] = future, current_message.get()
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise CallTimeout(timeout) from None
        finally:
            self._pending.pop(ref, None)

    def answer(self, answer: Answer) -> None:
        """Resolve the call that is answered; an answer that comes too late is not missed."""
        future, _ = self._pending.pop(answer.ref, (None, None))
        if future is None or future.done():
            return
        status = answer.status if type(answer.status) is int else 502
        if 200 <= status <= 299:
            future.set_result(answer.data)
        else:
            future.set_exception(CallError(status, answer.data))

    def cancel(self, message: Message) -> None:
        """Give up what this message's handler asked; a thread that waits goes on."""
        for future, asker in self._pending.values():
            if asker is message:
                future.cancel()

    def fail(self, code: int) -> None:
        """The client is gone: nothing will be answered any more."""
        for future, _ in self._pending.values():
            if not future.done():
                future.set_exception(Disconnected(code))
        self._pending.clear()
