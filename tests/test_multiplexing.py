"""Several streams on one connection: whose keys are whose, and where it belongs what hooks send."""

from functools import partial

import pytest

from sockets.multiplexing import STREAM_END, current_stream, hook_in_stream, stream_of


@pytest.mark.parametrize(
    ("key", "stream"),
    [
        ("list", None),
        ("", None),
        (f"books{STREAM_END}list", "books"),
        (f"books{STREAM_END}", "books"),
        (f"books{STREAM_END}a{STREAM_END}b", "books"),
        (f"{STREAM_END}list", ""),
    ],
)
def test_a_key_begins_with_its_stream(key, stream):
    assert stream_of(key) == stream


async def test_a_hook_runs_in_its_stream_and_leaves_it():
    def hook(number):
        return current_stream.get(), number

    async def ahook(number):
        return current_stream.get(), number

    assert await hook_in_stream(hook, "books")(1) == ("books", 1)
    assert await hook_in_stream(ahook, "books")(1) == ("books", 1)
    assert await hook_in_stream(partial(ahook, number=2), "books")() == ("books", 2)
    assert current_stream.get() is None


async def test_a_hook_that_fails_leaves_its_stream_too():
    def hook():
        raise ValueError

    async def ahook():
        raise ValueError

    with pytest.raises(ValueError):
        await hook_in_stream(hook, "books")()
    with pytest.raises(ValueError):
        await hook_in_stream(ahook, "books")()
    assert current_stream.get() is None


def test_a_hook_keeps_its_name_and_parameters():
    def hook(socket, user): ...

    wrapped = hook_in_stream(hook, "books")
    assert (wrapped.__name__, wrapped.__wrapped__) == ("hook", hook)
