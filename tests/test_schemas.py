"""What content must be to fit its annotation, and what it becomes then."""

import inspect
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Annotated, Any, Generic, Literal, Protocol, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pytest
from django import forms
from pydantic import BaseModel
from rest_framework import serializers

from sockets.exceptions import DeclarationError, InvalidContent
from sockets.schemas import fields_validator, schema_of, schema_of_option


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


class Fold(msgspec.Struct, tag="FOLD", forbid_unknown_fields=True):
    show: bool = False


class Call(msgspec.Struct, tag="CALL", forbid_unknown_fields=True):
    amount: int


class Labelled(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    ref: int


class HasX(Protocol):
    x: int


class Chips(BaseModel):
    amount: int


class ChipsForm(forms.Form):
    amount = forms.IntegerField()


class ChipsSerializer(serializers.Serializer):
    amount = serializers.IntegerField()


def clean(kind, content):
    return schema_of(kind, "rooms.on_bet").clean(content)


def errors_of(kind, content):
    with pytest.raises(InvalidContent) as caught:
        clean(kind, content)
    return caught.value.errors


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
    assert error["field"].partition(".")[0] == "field"
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


def test_nested_fields_are_named_by_their_path():
    with pytest.raises(InvalidContent, match=r"valid: bet\.amount, seats\.1\.number") as caught:
        validator(("bet", Bet), ("seats", list[Seat]))(
            {"bet": {"amount": 0}, "seats": [{"number": 1}, {"number": "2"}]}
        )
    assert caught.value.errors == [
        {"field": "bet.amount", "text": "Expected `int` >= 1"},
        {"field": "seats.1.number", "text": "Expected `int`, got `str`"},
    ]


def test_a_field_may_be_a_model_of_pydantic():
    validate = validator(("bet", Chips), ("x", int), ("side", list[Chips], ()))
    assert validate({"bet": {"amount": 5}, "x": 1}) == {"bet": Chips(amount=5), "x": 1}
    with pytest.raises(InvalidContent, match=r"not valid: x, bet\.amount, side\.0\.amount"):
        validate({"bet": {"amount": "much"}, "x": "1", "side": [{}]})
    with pytest.raises(InvalidContent) as caught:
        validate({"bet": 5, "x": 1})
    assert [error["field"] for error in caught.value.errors] == ["bet"]
    with pytest.raises(InvalidContent, match="expected an object with bet, x, side"):
        validate([])


# Content as a whole


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        (Bet, {"amount": 5}, Bet(5)),
        (Seat, {"number": 3, "more": 1}, Seat(3)),
        (Card, {"suit": "hearts", "rank": 2, "x": 0}, {"suit": Suit.HEARTS, "rank": 2}),
        (list[Bet], [{"amount": 5}], [Bet(5)]),
        (Bet | None, None, None),
        (Fold | Call, {"type": "CALL", "amount": 1}, Call(1)),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (dict[int, int], {"1": 1}, {1: 1}),
        (list, [1, "a"], [1, "a"]),
        (str, "Ada", "Ada"),
        (Annotated[list[int], msgspec.Meta(max_length=1)], [1], [1]),
        (Chips, {"amount": 5}, Chips(amount=5)),
    ],
)
def test_content_becomes_what_it_is_annotated_with(kind, content, expected):
    assert clean(kind, content) == expected


def test_content_may_hold_what_only_messagepack_has():
    class Photo(msgspec.Struct):
        taken: datetime
        data: bytes

    content = {"taken": datetime(2030, 1, 1, tzinfo=UTC), "data": b"\xff"}
    assert clean(Photo, content) == Photo(**content)


@pytest.mark.parametrize(
    "kind",
    [EMPTY, Any, object, dict, dict[str, Any], dict[Any, Any], dict[str, object] | None, Mapping],
    ids=str,
)
def test_any_object_is_taken_as_it_came(kind):
    assert schema_of(kind, "rooms.on_bet") is None


@pytest.mark.parametrize("kind", [Opaque, HasX, ChipsForm | None, 5, "Bet"], ids=str)
def test_an_annotation_that_is_no_schema_is_refused_with_what_to_write(kind):
    repair = r"dict\[str, Any\], or the option schema=None, takes content as it came"
    with pytest.raises(DeclarationError, match=rf"rooms\.on_bet: .*'content'.*; {repair}$"):
        schema_of(kind, "rooms.on_bet")


def test_a_name_of_its_own_may_have_been_meant_for_the_url():
    with pytest.raises(DeclarationError, match="an argument of the URL stands after `content`"):
        schema_of(Opaque, "rooms.on_bet", "table")


# The type and the ref of flat messages


def test_the_envelope_is_no_unknown_field():
    envelope = {"type": "BET", "ref": 1}
    assert clean(Bet, {**envelope, "amount": 5}) == Bet(5)
    assert clean(Fold | Call, {"type": "FOLD", "ref": 1, "show": True}) == Fold(True)
    assert errors_of(Bet, {**envelope, "amount": 5, "x": 1}) == [
        {"field": "x", "text": "This field is not known."}
    ]


def test_a_schema_with_a_field_type_or_ref_gets_it():
    assert clean(Labelled, {"type": "BET", "ref": 1}) == Labelled("BET", 1)
    assert errors_of(Labelled, {"type": "BET"}) == [
        {"field": "ref", "text": "This field is required."}
    ]


@pytest.mark.parametrize(
    ("kind", "key", "fits"),
    [
        (Bet, "BET", True),
        (Fold | Call, "FOLD", True),
        (Fold | Call, "BET", False),
        (Fold, None, True),
        (Labelled, None, True),
        (dict[str, int], "BET", False),
        (dict[str, str], "BET", True),
        (int, "BET", False),
        (list[int], None, False),
        (Chips, "BET", True),
        (ChipsForm, "BET", True),
    ],
)
def test_what_no_flat_message_can_fit_is_known(kind, key, fits):
    assert (schema_of(kind, "rooms.on_bet").misfit(key) is None) is fits


# The option


def halve(content):
    if content["n"] % 2:
        raise ValueError("Odd.")
    return content["n"] // 2


async def ahalve(content):
    return halve(content)


class Halver:
    def __init__(self, function):
        self.function = function

    def __call__(self, content):
        return halve(content)


class AsyncHalver:
    async def __call__(self, content):
        return halve(content)


@pytest.mark.parametrize("function", [halve, Halver(None), partial(halve), lambda c: halve(c)])
def test_a_function_makes_of_content_what_it_returns(function):
    schema = schema_of_option(function, "rooms.on_bet")
    assert (schema.blocking, schema.awaited) == (True, False)
    assert schema.clean({"n": 4}) == 2
    with pytest.raises(InvalidContent) as caught:
        schema.clean({"n": 3})
    assert caught.value.errors == [{"text": "Odd."}]


@pytest.mark.parametrize("function", [ahalve, AsyncHalver(), partial(ahalve)])
async def test_a_coroutine_function_is_awaited(function):
    schema = schema_of_option(function, "rooms.on_bet")
    assert (schema.blocking, schema.awaited) == (False, True)
    assert await schema.clean({"n": 4}) == 2
    with pytest.raises(InvalidContent):
        await schema.clean({"n": 3})


def test_other_faults_of_a_function_are_its_own():
    with pytest.raises(KeyError):
        schema_of_option(halve, "rooms.on_bet").clean({})


@pytest.mark.parametrize("function", [lambda: None, lambda socket, content: content, max])
def test_a_function_that_does_not_take_the_content_alone_is_refused(function):
    with pytest.raises(DeclarationError, match="expected a schema that takes the content and"):
        schema_of_option(function, "rooms.on_bet")


class OnesOwnForm(forms.Form):
    def __init__(self, user, **kwargs):
        super().__init__(**kwargs)


class OnesOwnSerializer(serializers.Serializer):
    def __init__(self, user, **kwargs):
        super().__init__(**kwargs)


@pytest.mark.parametrize("kind", [OnesOwnForm, OnesOwnSerializer])
def test_a_form_or_serializer_that_takes_more_than_data_is_refused(kind):
    with pytest.raises(DeclarationError, match=r"made of data= alone, got .*: 'user'"):
        schema_of(kind, "rooms.on_bet")


def test_the_option_takes_what_annotations_are():
    for kind in (Bet, list[Bet], Fold | Call, Chips, ChipsForm, ChipsSerializer):
        assert schema_of_option(kind, "rooms.on_bet").kind is kind
    for kind in (None, dict, Any):
        assert schema_of_option(kind, "rooms.on_bet") is None
    with pytest.raises(DeclarationError):
        schema_of_option("Bet", "rooms.on_bet")


def test_forms_and_serializers_may_wait_for_a_database():
    assert schema_of(ChipsForm, "rooms.on_bet").blocking
    assert schema_of(ChipsSerializer, "rooms.on_bet").blocking
    assert not schema_of(Chips, "rooms.on_bet").blocking
    assert not schema_of(Bet, "rooms.on_bet").blocking


T = TypeVar("T")


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Bet, f"{__name__}.Bet"),
        (list[int], "list[int]"),
        (Annotated[dict[str, int], msgspec.Meta(max_length=5)], "dict[str, int]"),
        (Page[int], f"{__name__}.Page[int]"),
        (halve, f"{__name__}.halve"),
    ],
)
def test_a_schema_has_a_name(kind, name):
    assert schema_of_option(kind, "rooms.on_bet").name == name


def test_no_library_is_imported_for_schemas():
    code = "import sys, sockets.schemas; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "sockets.forms" in done.stdout
    assert not {"pydantic", "rest_framework"} & {*done.stdout.split()}
