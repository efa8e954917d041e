"""One validator from a type annotation: for the single fields of a message."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict
from uuid import UUID

import msgspec
import pytest

from sockets.exceptions import DeclarationError, InvalidContent
from sockets.schemas import fields_validator


class Suit(Enum):
    HEARTS = "hearts"


class Card(TypedDict):
    suit: Suit
    rank: int


@dataclass
class Seat:
    number: int
    name: str = ""


class Bet(msgspec.Struct, forbid_unknown_fields=True):
    amount: Annotated[int, msgspec.Meta(gt=0)]


@dataclass
class Tree:
    branches: "list[Tree]"


class Opaque:
    """A class that no JSON value stands for."""


@dataclass
class Table:
    owner: Opaque


class Unresolved(msgspec.Struct):
    amount: "Unknown"  # noqa: F821


def validator(*fields):
    """A validator for fields given as (name, annotation) or (name, annotation, default)."""
    parameters = {}
    for name, annotation, *default in fields:
        parameters[name] = inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=annotation,
            default=default[0] if default else inspect.Parameter.empty,
        )
    return fields_validator(parameters, "rooms.on_bet")


EMPTY = inspect.Parameter.empty


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, 5, 5),
        (float, 5, 5.0),
        (float, 5.5, 5.5),
        (bool, True, True),
        (str, "5", "5"),
        (int | None, None, None),
        (Any, [1, "a"], [1, "a"]),
        (EMPTY, {"a": 1}, {"a": 1}),
        (list[int], [1, 2], [1, 2]),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 1], {1}),
        (Literal["fold", "call"], "fold", "fold"),
        (Suit, "hearts", Suit.HEARTS),
        (Card, {"suit": "hearts", "rank": 2}, {"suit": Suit.HEARTS, "rank": 2}),
        (Seat, {"number": 3}, Seat(3)),
        (Tree, {"branches": [{"branches": []}]}, Tree([Tree([])])),
        (Bet, {"amount": 5}, Bet(5)),
        (list[Bet], [{"amount": 5}], [Bet(5)]),
        (date, "2030-01-31", date(2030, 1, 31)),
        (datetime, "2030-01-31T12:00:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        (UUID, "12345678-1234-5678-1234-567812345678", UUID("12345678123456781234567812345678")),
        (Decimal, "1.50", Decimal("1.50")),
    ],
)
def test_a_value_becomes_what_the_field_is_annotated_with(annotation, value, expected):
    values = validator(("field", annotation))({"field": value})
    assert values == {"field": expected}
    assert type(values["field"]) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "5"),
        (int, True),
        (int, 5.5),
        (int, None),
        (float, "5.5"),
        (bool, 1),
        (str, 5),
        (list[int], [1, "2"]),
        (Literal["fold", "call"], "raise"),
        (Suit, "stars"),
        (Card, {"suit": "hearts"}),
        (Seat, {"number": "3"}),
        (Bet, {"amount": 0}),
        (Bet, {"amount": 5, "all_in": True}),
        (date, "tomorrow"),
        (UUID, "5"),
        (Decimal, "much"),
    ],
)
def test_values_are_checked_strictly(annotation, value):
    with pytest.raises(InvalidContent, match="The message is not valid: field") as caught:
        validator(("field", annotation))({"field": value})
    (error,) = caught.value.errors
    assert error["field"] == "field"
    assert error["text"]
    assert caught.value.status == 400


def test_a_missing_field_without_a_default_is_required():
    validate = validator(("x", int), ("y", int, 0))
    assert validate({"x": 1}) == {"x": 1}
    with pytest.raises(InvalidContent, match="not valid: x") as caught:
        validate({"y": 1})
    assert caught.value.errors == [{"field": "x", "text": "This field is required."}]


def test_a_field_that_may_be_none_is_required_still():
    with pytest.raises(InvalidContent, match="not valid: x"):
        validator(("x", int | None))({})


def test_every_fault_is_named_at_once():
    with pytest.raises(InvalidContent) as caught:
        validator(("x", int), ("y", int), ("z", int))({"x": "1", "z": None})
    assert [error["field"] for error in caught.value.errors] == ["y", "x", "z"]


def test_other_fields_are_left_alone():
    assert validator(("x", int))({"type": "MOVE", "x": 1, "extra": object()}) == {"x": 1}


@pytest.mark.parametrize("content", [None, [], "x", 5])
def test_content_that_is_no_object_is_invalid(content):
    with pytest.raises(InvalidContent, match="expected an object with x, y"):
        validator(("x", int), ("y", int))(content)


@pytest.mark.parametrize(
    "annotation",
    [
        Opaque,
        Callable,
        list[Opaque],
        Opaque | None,
        dict[str, list[Opaque]],
        tuple[int, Opaque],
        Table,
    ],
    ids=str,
)
def test_a_type_that_cannot_be_checked_is_refused(annotation):
    message = r"rooms\.on_bet: expected 'field' to be annotated with a type that can be checked"
    with pytest.raises(DeclarationError, match=message):
        validator(("field", annotation))


@pytest.mark.parametrize(
    "annotation",
    [5, "int", list["Unknown"], list[int] | set[int], Unresolved],  # noqa: F821
    ids=str,
)
def test_what_is_no_type_is_refused(annotation):
    with pytest.raises(DeclarationError, match=r"rooms\.on_bet: 'field' cannot be checked"):
        validator(("field", annotation))


@pytest.mark.parametrize("annotation", [set[list[int]], frozenset[tuple[list[int], ...]]])
def test_a_set_of_what_no_set_can_hold_is_invalid_content(annotation):
    with pytest.raises(InvalidContent):
        validator(("x", annotation))({"x": [[[1]]]})
