"""Where synchronous and asynchronous code meet: `dual` methods and awaitables that are done."""

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar


class OnLoop(Protocol):
    """What a `dual` method's object must have: its loop, that loop's thread, and leave to block."""

    loop: asyncio.AbstractEventLoop
    loop_thread: int

    def blocking(self) -> AbstractContextManager[object]: ...


P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=OnLoop)


def dual(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[S, P], Any]:
    """An `async def` method that is awaited on its object's loop and blocks in other threads.

    The method must never need the thread that waits for it. Where the object's `blocking`
    refuses, its error is raised.
    """

    @functools.wraps(method)
    def either(self: S, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        if threading.get_ident() == self.loop_thread:
            return method(self, *args, **kwargs)
        with self.blocking():
            coroutine = method(self, *args, **kwargs)
            return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    return either


class Done:
    """An awaitable that is done: awaiting it costs next to nothing, forgetting it loses nothing."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        return iter(())  # type: ignore[return-value]


DONE = Done()
