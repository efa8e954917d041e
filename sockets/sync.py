"""Where synchronous and asynchronous code meet: `dual` methods and awaitables that are done."""

import asyncio
import functools
import threading
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from asgiref.sync import AsyncToSync
from django.utils.asyncio import async_unsafe


class OnLoop(Protocol):
    """What a `dual` method's object must have: its loop, and that loop's thread."""

    _loop: asyncio.AbstractEventLoop
    _loop_thread: int


P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=OnLoop)
F = TypeVar("F", bound=Callable[..., Any])


def dual(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[S, P], Any]:
    """An `async def` method that is awaited on its object's loop and blocks in other threads.

    The method must never need the thread that waits for it.
    """

    @functools.wraps(method)
    def either(self: S, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        coroutine = method(self, *args, **kwargs)
        if threading.get_ident() == self._loop_thread:
            return coroutine
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    return either


def blocking(function: F) -> F:
    """A function that may wait, and so refuses to be called in a coroutine: it names its twin."""
    name = function.__name__
    message = f"You cannot call {name}() from an async context; await a{name}() instead."
    return async_unsafe(message)(function)


def is_beneath_thread() -> bool:
    """Whether a thread waits for this coroutine in `async_to_sync`, and so is kept by it."""
    return getattr(AsyncToSync.executors, "current", None) is not None


async def finish(ending: Coroutine[Any, Any, None]) -> None:
    """Await a coroutine to its end, though the one that awaits it is cancelled meanwhile."""
    task = asyncio.ensure_future(ending)
    cancelled: asyncio.CancelledError | None = None
    try:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as fault:
                cancelled = fault
        if cancelled is not None:
            raise cancelled
        task.result()
    finally:
        del task, cancelled  # a fault keeps this frame, which must not keep the fault


def finish_future(future: "asyncio.Future[None] | None") -> None:
    """Let go who waits for this, if somebody still does."""
    if future is not None and not future.done():
        future.set_result(None)


def start_in(context: Context, running: Coroutine[Any, Any, R]) -> "asyncio.Task[R]":
    """Begin a task in a context that the caller may be running in itself."""
    # By no task factory: one that starts tasks eagerly would enter the context twice.
    return asyncio.Task(running, loop=asyncio.get_running_loop(), context=context)


def first_step(running: Awaitable[None]) -> Awaitable[None] | None:
    """Run something as far as it need not wait; returns what is left to be awaited, or None."""
    steps: Generator[Any, Any, None] = running.__await__()
    for blocked_on in steps:
        return resume(steps, blocked_on)
    return None


@types.coroutine
def resume(steps: Generator[Any, Any, None], blocked_on: Any) -> Generator[Any, Any, None]:
    """Await the rest of what took its first step by hand, and then had to wait."""
    try:
        while True:
            try:
                sent = yield blocked_on
            except BaseException as fault:
                blocked_on = steps.throw(fault)
            else:
                blocked_on = steps.send(sent)
    except StopIteration:
        return


class Done:
    """An awaitable that is done: awaiting it costs next to nothing, forgetting it loses nothing."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        return iter(())  # type: ignore[return-value]


DONE = Done()
