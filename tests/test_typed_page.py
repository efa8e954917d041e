"""Every example of docs/typed.md is run, and the exchange below it is what happens."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from django.views import View

from sockets.exceptions import LONGEST_FIELD, MOST_ERRORS

from .clients import client_of

PAGE = (Path(__file__).parent.parent / "docs" / "typed.md").read_text()
EXAMPLES = re.findall(r"^```python\n# (\S+)\n(.*?)^```\n\n```text\n(.*?)^```$", PAGE, re.M | re.S)


def view_of(file, source):
    """The view that an example defines."""
    made = ModuleType(file.removesuffix(".py").replace("/", "."))
    exec(compile(source, file, "exec"), vars(made))
    [view] = [
        value
        for value in vars(made).values()
        if isinstance(value, type) and issubclass(value, View) and value is not View
    ]
    return view


@pytest.mark.parametrize(("file", "source", "exchange"), EXAMPLES, ids=[e[0] for e in EXAMPLES])
async def test_the_shown_exchange_is_what_happens(file, source, exchange):
    async with client_of(view_of(file, source).socket) as client:
        for line in exchange.splitlines():
            sender, frame = line[0], json.loads(line[2:])
            if sender == ">":
                await client.send_json_to(frame)
            else:
                assert await client.receive_json_from() == frame
        assert await client.receive_nothing()


def test_every_example_has_its_exchange():
    assert len(EXAMPLES) == PAGE.count("```python") == PAGE.count("```text") == 6


def test_the_bounds_are_told():
    assert f"At most {MOST_ERRORS} entries are listed" in PAGE
    assert f"up to {LONGEST_FIELD} characters" in PAGE
