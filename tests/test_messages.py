"""The message every protocol decodes to and encodes from."""

from collections import namedtuple
from http import HTTPStatus

import pytest

from sockets import Message, Reply
from sockets.messages import answer_of

Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (None, (None, 204, None)),
        ({"a": 1}, ({"a": 1}, 200, None)),
        ([], ([], 200, None)),
        (0, (0, 200, None)),
        (False, (False, 200, None)),
        ("", ("", 200, None)),
        (({"a": 1}, 201), ({"a": 1}, 201, None)),
        ((None, 204), (None, 204, None)),
        (("No.", 599), ("No.", 599, None)),
        (Reply(), (None, 200, None)),
        (Reply([1], 202, {"token": "x"}), ([1], 202, {"token": "x"})),
    ],
)
def test_what_a_function_returns_is_its_answer(value, answer):
    assert answer_of(value) == answer


def test_a_status_of_the_http_enum_becomes_a_number():
    _, status, _ = answer_of(("made", HTTPStatus.CREATED))
    assert status == 201
    assert type(status) is int


@pytest.mark.parametrize(
    "pair",
    [
        (1, 2),
        (1, 199),
        (1, 600),
        (1, True),
        (1, "200"),
        (1, 200.0),
        (1, 200, 3),
        (1,),
        (),
        [1, 200],
        Point(3, 200),
    ],
)
def test_what_is_no_data_with_a_status_is_data(pair):
    assert answer_of(pair) == (pair, 200, None)


def test_messages_are_told_apart_by_identity():
    first, second = Message("A", {}), Message("A", {})
    assert first != second
    assert len({first, second}) == 2


def test_a_reply_cannot_be_changed():
    with pytest.raises(AttributeError, match="immutable type: 'Reply'"):
        Reply(1).status = 404
