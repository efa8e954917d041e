"""Frames of every kind: each that is no message is answered with one ERROR, and nothing breaks."""

import asyncio
import gc
import json
import logging
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from random import Random
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sockets import RoutedSocketHandler
from sockets.exceptions import CloseCode

DRAWN, VARIANTS, EXAMPLES = 10, 5, 220
"""Frames of an example, what becomes of each, and examples: 11,000 frames in either format."""
MOST_GROWTH = 4 * 1024
"""Bytes by which the memory may grow while a thousand frames come that came before."""

PATIENCE = 120.0
"""Seconds after which a talk is given up: an answer that the test waits for does not come."""

fuzzing = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,  # the same frames each time: what fails here is what was changed
    database=None,
    suppress_health_check=list(HealthCheck),
)


class Fuzzed(RoutedSocketHandler):
    max_strikes = 1_000_000
    routes = (("ECHO", "on_echo"), ("FIELDS", "on_fields"), ("DONE", "on_done"))

    async def on_echo(self, content):
        return content

    async def on_fields(self, *, number: int, text: str = ""):
        return [number, text]

    async def on_done(self):
        pass


class Strict(Fuzzed):
    max_strikes = 20


# What is sent

SPLINTERS = [
    '"',
    "{",
    "}",
    "[",
    ":",
    ",",
    "\\",
    "\\ud800",
    "\ud800",
    "\0",
    "9",
    "e",
    "-",
    "null",
    "",
]
KEYS = ["ECHO", "FIELDS", "HELLO", "PING", "CANCEL", "JOIN", "LEAVE", "TIME_SYNC", "NOPE", ""]
numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**64 - 1, -(2**63), 1e308, 5e-324]),
)
texts = st.one_of(
    st.text(max_size=8),
    st.text(st.characters(categories=["Cs", "Cc", "Co", "Cn"]), max_size=4),
    st.sampled_from(["null", "s:1", "s:", "2020-01-01T00:00:00.123456Z", "PT1.5S", "\0", "\ufeff"]),
)
leaves = st.one_of(st.none(), st.booleans(), numbers, texts)


def nested(leaf: st.SearchStrategy[Any], keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)
        ),
        max_leaves=6,
    )


def messages(values: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> Any:
    """Messages, and what nearly is one: `type` and `ref` of every type, fields of every kind."""
    fields = {
        "type": st.one_of(st.sampled_from(KEYS), odd),
        "ref": st.one_of(st.integers(0, 9), texts, odd),
        "number": st.one_of(st.integers(0, 9), odd),
        "group": odd,
        "status": odd,
        "x": values,
    }
    return st.fixed_dictionaries({}, optional=fields)


def digits(place: str) -> st.SearchStrategy[str]:
    count = st.one_of(st.integers(1, 40), st.integers(300, 5000))
    return count.map(lambda count: place % ("9" * count))


def deep(opened: str, closed: str) -> st.SearchStrategy[str]:
    depth = st.one_of(st.integers(1, 60), st.integers(500, 10_000))
    return depth.map(lambda depth: opened * depth + closed * depth)


def changed(random: Random, frame: str | bytes) -> str | bytes:
    """The frame as it might arrive: cut short, or with something else in one place."""
    at = random.randrange(len(frame) + 1)
    rest = at + random.randrange(3)
    if random.random() < 0.3:
        return frame[:at]
    if isinstance(frame, str):
        return frame[:at] + random.choice(SPLINTERS) + frame[rest:]
    return frame[:at] + random.randbytes(random.randrange(1, 3)) + frame[rest:]


json_values = nested(leaves, texts)
json_messages = messages(json_values, json_values)
json_frames = st.one_of(json_values, json_messages, json_messages).map(json.dumps)
text_frames = st.one_of(
    json_frames,
    json_frames,
    json_messages.map(lambda content: json.dumps(content, ensure_ascii=False)),
    texts,
    st.builds(  # the same keys twice
        lambda one, other: f"{json.dumps(one)[:-1]},{json.dumps(other)[1:]}",
        json_messages,
        json_messages,
    ),
    digits('{"type":"ECHO","ref":%s}'),
    digits('{"type":"ECHO","ref":1,"x":-0.%s}'),
    digits('{"type":"FIELDS","ref":1,"number":1e%s}'),
    deep("[", "]"),
    deep('{"type":"ECHO","x":', "}"),
    st.integers(1, 10_000).map(lambda depth: f'{{"type":"ECHO","x":{"[" * depth}{"]" * depth}}}'),
    st.binary(max_size=20),
)

packed_leaves = st.one_of(
    leaves,
    st.binary(max_size=8),
    st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=16)),
    st.builds(msgpack.Timestamp, st.integers(-(2**40), 2**40), st.integers(0, 999_999_999)),
)
packed_keys = st.one_of(texts, texts, st.none(), st.booleans(), numbers, st.binary(max_size=4))
packed_values = nested(packed_leaves, packed_keys)
packed_messages = messages(packed_values, packed_values)


def pack(content: Any) -> bytes:
    try:
        return msgpack.packb(content, unicode_errors="surrogatepass")  # type: ignore[no-any-return]
    except OverflowError:
        return b"\xc1"  # which MessagePack never uses


packed_frames = st.one_of(packed_values, packed_messages, packed_messages).map(pack)
binary_frames = st.one_of(
    packed_frames,
    packed_frames,
    st.binary(max_size=40),
    st.binary(max_size=20).map(lambda rest: pack({"type": "ECHO"})[:-4] + rest),
    st.integers(1, 20_000).map(lambda depth: b"\x91" * depth + b"\xc0"),
    st.integers(1, 20_000).map(lambda depth: b"\x81\xa1x" * depth + b"\xc0"),
    # Sizes that nothing follows: lists, maps, texts, bytes and extensions of 4 GiB.
    st.builds(
        lambda head, size, rest: head + size + rest,
        st.sampled_from([b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"]),
        st.binary(min_size=4, max_size=4),
        st.binary(max_size=20),
    ),
    st.sampled_from(["", "{}", '{"type":"ECHO","ref":1}']),
)


FRAMES = {"sockets.json": text_frames, "sockets.msgpack": binary_frames}


@st.composite
def batches(draw: st.DrawFn, subprotocol: str) -> list[str | bytes]:
    """A few frames, each followed by what is nearly the same."""
    drawn = draw(st.lists(FRAMES[subprotocol], min_size=DRAWN, max_size=DRAWN))
    random = draw(st.randoms(use_true_random=False, note_method_calls=False))
    random = Random(random.getrandbits(64))
    return [
        frame if number == 0 else changed(random, frame)
        for frame in drawn
        for number in range(VARIANTS)
    ]


# How it is sent


class Talk:
    """One connection in one event loop, without a server; it is sent one frame after another."""

    def __init__(self, runner: asyncio.Runner, handler: Any, subprotocol: str) -> None:
        self.closed: int | None = None
        self._runner = runner
        self._binary = subprotocol == "sockets.msgpack"
        self._sent: list[Any] = []
        self._count = 0
        scope = {"type": "websocket", "path": "/", "headers": [], "subprotocols": [subprotocol]}
        runner.run(self._begin(handler.as_asgi(), scope))

    def answers_to(self, frame: str | bytes) -> list[Any]:
        """What the client is sent for a frame, the closing code in `closed`."""
        return self._runner.run(self._exchange(frame))

    def end(self) -> None:
        self._runner.run(self._end())

    async def _begin(self, application: Any, scope: dict[str, Any]) -> None:
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._done = asyncio.Event()
        self._events.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.create_task(application(scope, self._events.get, self._send))
        self._task.add_done_callback(lambda task: self._done.set())
        self._patience = asyncio.get_running_loop().call_later(PATIENCE, self._task.cancel)
        await self._exchange("")

    async def _exchange(self, frame: str | bytes) -> list[Any]:
        self._count += 1
        done = {"type": "DONE", "ref": f"done {self._count}"}
        self._sent.clear()
        self._done.clear()
        self._put(frame)
        self._put(msgpack.packb(done) if self._binary else json.dumps(done))
        await self._done.wait()
        assert self.closed is not None or not self._task.done(), f"no answer to {frame!r}"
        return self._sent.copy()

    def _put(self, frame: str | bytes) -> None:
        kind = "text" if isinstance(frame, str) else "bytes"
        self._events.put_nowait({"type": "websocket.receive", kind: frame})

    async def _send(self, event: dict[str, Any]) -> None:
        if event["type"] == "websocket.close":
            self.closed = event["code"]
        elif event["type"] == "websocket.send":
            answer = msgpack.unpackb(event["bytes"]) if self._binary else json.loads(event["text"])
            if answer.get("ref") == f"done {self._count}":
                self._done.set()
            else:
                self._sent.append(answer)

    async def _end(self) -> None:
        self._patience.cancel()
        self._events.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self._task


@contextmanager
def talk(handler: Any, subprotocol: str) -> Iterator[Talk]:
    with asyncio.Runner() as runner:
        talk = Talk(runner, handler, subprotocol)
        try:
            yield talk
        finally:
            talk.end()


def content_of(frame: str | bytes, subprotocol: str) -> Any:
    """What another reader, which takes more than ours, finds in a frame; None is no message."""
    try:
        if subprotocol == "sockets.json" and isinstance(frame, str):
            content = json.loads(frame)
        elif subprotocol == "sockets.msgpack" and isinstance(frame, bytes):
            content = msgpack.unpackb(frame, strict_map_key=False)
        else:
            return None
    except (ValueError, RecursionError, TypeError, msgpack.UnpackException):
        return None
    return content if isinstance(content, dict) else None


def check_answers(frame: str | bytes, subprotocol: str, answers: list[Any]) -> None:
    content = content_of(frame, subprotocol)
    errors = [answer for answer in answers if answer["type"] == "ERROR"]
    assert all(400 <= error["status"] < 500 for error in errors), errors
    if content is None or not isinstance(content.get("type"), str):
        is_answer = content is not None and str(content.get("ref")).startswith("s:")
        assert len(answers) == len(errors)
        assert len(errors) == 1 or (is_answer and not errors)
        return
    key, ref = content["type"], content.get("ref")
    terminal = [answer for answer in answers if "status" in answer]
    if errors:
        assert answers == errors and len(errors) == 1
    elif key in ("PING", "CANCEL") or str(ref).startswith("s:") or ref is None:
        assert len(answers) <= 1
    else:
        assert len(terminal) == 1 and terminal[0]["type"] == key


FORMATS = pytest.mark.parametrize("subprotocol", FRAMES)


@FORMATS
def test_a_frame_that_is_no_message_is_answered_with_one_error(subprotocol, caplog):
    corpus: list[str | bytes] = []

    with talk(Fuzzed, subprotocol) as client:

        @fuzzing
        @given(batches(subprotocol))
        def send(frames):
            for frame in frames:
                check_answers(frame, subprotocol, client.answers_to(frame))
            corpus.extend(frames)

        send()
        assert client.closed is None
        assert len(corpus) >= 10_000
        assert growth(client, corpus[-1000:]) < MOST_GROWTH
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def growth(client: Talk, corpus: list[str | bytes]) -> int:
    """By how many bytes the memory grows each time that the same frames come."""
    tracemalloc.start()
    try:
        sizes = []
        for _ in range(4):
            for frame in corpus:
                client.answers_to(frame)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    return min(later - before for before, later in pairwise(sizes))  # caches fill only once


@FORMATS
def test_too_many_of_them_close_the_connection_and_not_one_less(subprotocol):
    @settings(fuzzing, max_examples=30)
    @given(batches(subprotocol))
    def send(frames):
        faulty = [frame for frame in frames if content_of(frame, subprotocol) is None]
        faulty = [frame for frame in faulty if len(frame) < 10_000][: Strict.max_strikes - 1]
        with talk(Strict, subprotocol) as client:
            # The frame that opened the talk was the first fault.
            for number, frame in enumerate(faulty, start=2):
                assert client.closed is None
                answers = client.answers_to(frame)
                if number < Strict.max_strikes:
                    assert [answer["status"] for answer in answers] == [400]
            assert client.closed == (
                CloseCode.BAD_FRAMES if len(faulty) == Strict.max_strikes - 1 else None
            )

    send()
