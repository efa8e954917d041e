"""Several streams on one connection: whose keys are whose, and where it belongs what hooks send."""

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any

from .arguments import start_of

STREAM_END = "\x1f"
"""Ends the name of a stream in the keys of its messages."""

current_stream: ContextVar[str | None] = ContextVar("current_stream", default=None)
"""The stream of the hook that runs."""


def stream_of(key: str) -> str | None:
    """The stream that a key, or the beginning of one, belongs to; None where it is in none."""
    stream, end, _ = key.partition(STREAM_END)
    return stream if end else None


def key_in_stream(stream: str | None, key: str) -> str:
    """The key of the messages in a stream that bear this one there."""
    return key if stream is None else f"{stream}{STREAM_END}{key}"


def without_stream(key: str) -> str:
    """The key as its messages bear it in their stream."""
    return key if stream_of(key) is None else key.partition(STREAM_END)[2]


def hook_in_stream(hook: Callable[..., Any], stream: str) -> Callable[..., Any]:
    """The hook as one whose sends go to the stream."""
    start = start_of(hook)

    @wraps(hook)
    async def run(*args: Any, **kwargs: Any) -> Any:
        token = current_stream.set(stream)
        try:
            return await start(*args, **kwargs)
        finally:
            current_stream.reset(token)

    return run
