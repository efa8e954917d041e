"""The typed forms pass mypy --strict and pyright, and do what they say."""

import subprocess
import sys
from pathlib import Path

from .clients import client_of
from .test_observable import request, response
from .typed_forms import Counter, Halves, MoreHalves, Typed, squares

FORMS = Path(__file__).parent / "typed_forms.py"


def check(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", *arguments, str(FORMS)],
        cwd=FORMS.parent.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_accepts_the_typed_forms():
    check("mypy", "--strict")


def test_pyright_accepts_the_typed_forms():
    check("pyright", "--pythonpath", sys.executable)


async def test_the_typed_view_works():
    async with client_of(Counter.socket) as client:
        assert await client.receive_json_from() == {"type": "READY"}
        assert await client.receive_json_from() == {"type": "READY_TOO"}
        assert (await client.ask({"type": "ADD", "by": 3}))["data"] == {"count": 3}
        answer = await client.ask({"type": "MULTIPLY", "by": 2, "times": 2})
        assert (answer["status"], answer["data"]) == (201, {"count": 12})
        assert (await client.ask({"type": "COUNT_TO_1", "ref": 1}))["data"] == 0
        assert (await client.receive_json_from())["status"] == 200
        call = await client.ask({"type": "ASK", "ref": 2, "what": "that"})
        assert call["data"] == {"of": "that"}
        answer = await client.ask({"type": "SURE", "ref": call["ref"], "data": "yes"})
        assert answer == {"type": "ASK", "ref": 2, "status": 200, "data": "yes"}
        assert await client.ask({"type": "NOPE"}) == {"type": "WHAT", "key": "NOPE"}


async def test_typed_content_works():
    async with client_of(Typed.socket) as client:
        for content, data in (
            ({"type": "STEP", "by": 3}, 3),
            ({"type": "RAISE", "by": 3}, "Raised by 3."),
            ({"type": "FOLD"}, "Folded."),
            ({"type": "MOVE", "x": 4}, 4),
            ({"type": "STAKES", "blind": 5}, 5),
            ({"type": "BOOK", "seats": "6"}, 6),
            ({"type": "SUM", "numbers": [1, 2]}, 3),
            ({"type": "ECHO", "text": "hello"}, "hello"),
        ):
            assert (await client.ask(content))["data"] == data


async def test_the_typed_handler_works():
    async with client_of(squares) as client:
        assert await client.receive_json_from() == {"type": "READY", "path": "/"}
        assert (await client.ask({"type": "SQUARE", "number": 3}))["data"] == 9
        assert await client.ask({"type": "CUBE", "number": 3}) == {"type": "ALMOST"}
        answer = await client.receive_json_from()
        assert (answer["status"], answer["data"]) == (202, 27)
        assert (await client.ask({"type": "HALVE", "number": 3}))["data"] == "1.50"
        await client.send_json_to({"type": "NOPE"})
        assert await client.next_close() == 4403


async def test_the_typed_consumer_works():
    for consumer, answers in (
        (Halves, {"double": 10, "halve": 2.5}),
        (MoreHalves, {"double": 10, "treble": 15}),
    ):
        async with client_of(consumer) as client:
            for route, payload in answers.items():
                assert await client.ask(request(route, 5)) == response(payload)
