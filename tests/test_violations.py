"""What in a content does not fit its type: every field of it, where msgspec stops at the first."""

import sys
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Required,
    TypedDict,
    TypeVar,
)

import msgspec
import pytest

from sockets.exceptions import MOST_ERRORS, REQUIRED
from sockets.violations import violations_of

T = TypeVar("T")
Chips = NewType("Chips", Annotated[int, msgspec.Meta(gt=0)])


class Player(msgspec.Struct, rename="camel"):
    first_name: str
    seat: int = 0


class Bet(msgspec.Struct):
    amount: Chips
    player: Player
    cards: list[int] = []

    def __post_init__(self):
        if self.amount > 100:
            raise ValueError("More than the table allows.")


class Fold(msgspec.Struct, tag="FOLD"):
    show: bool


class Call(msgspec.Struct, tag="CALL", forbid_unknown_fields=True):
    amount: int


class Step(msgspec.Struct, array_like=True, tag="step"):
    x: int
    y: int


class Pair(msgspec.Struct, array_like=True):
    left: int
    right: int


class Point(NamedTuple):
    x: int
    y: int


class Page(msgspec.Struct, Generic[T]):
    items: "list[T]"
    first: T


class IntPage(Page[int]):
    pass


@dataclass
class Box(Generic[T]):
    content: T
    lid: "dict[str, T] | None" = None


class Move(TypedDict, total=False):
    x: Required[int]
    y: NotRequired[int]
    by: Annotated[str, msgspec.Meta(max_length=3)]


class Tree(msgspec.Struct):
    branches: "list[Tree]" = []
    leaf: int = 0


def faults(value, kind):
    """The faulty fields and their texts; those of a whole are under None."""
    found = [(error.get("field"), error["text"]) for error in violations_of(value, kind)]
    assert len(found) == len(dict(found))
    return dict(found)


def test_every_faulty_field_is_found():
    value = {"amount": 0, "player": {"firstName": 1, "seat": "2"}, "cards": [1, "2", None]}
    assert faults(value, Bet) == {
        "amount": "Expected `int` >= 1",
        "player.firstName": "Expected `str`, got `int`",
        "player.seat": "Expected `int`, got `str`",
        "cards.1": "Expected `int`, got `str`",
        "cards.2": "Expected `int`, got `null`",
    }


def test_what_fits_has_no_faults():
    assert violations_of({"amount": 5, "player": {"firstName": "ann"}}, Bet) == []


def test_missing_fields_bear_the_names_that_the_client_sends():
    assert faults({}, Bet) == {"amount": REQUIRED, "player": REQUIRED}
    assert faults({"amount": 1, "player": {}}, Bet) == {"player.firstName": REQUIRED}


def test_a_value_error_of_post_init_counts():
    value = {"amount": 101, "player": {"firstName": "ann"}}
    assert faults(value, Bet) == {None: "More than the table allows."}
    assert faults([value], list[Bet]) == {"0": "More than the table allows."}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (list[int], ["a", 1, "b"], ["0", "2"]),
        (set[int], [1, "a"], ["1"]),
        (tuple[int, ...], [1, "a"], ["1"]),
        (tuple[int, str], ["a", 1], ["0", "1"]),
        (tuple[int, str], ["a", "b", "c"], ["0", None]),
        (dict[str, int], {"a": "x", "b": 1, "c": "y"}, ["a", "c"]),
        (dict[str, list[int]], {"a": [1, "x"]}, ["a.1"]),
        (dict[int, int], {"one": 1, "2": "b"}, ["one", "2"]),
        (dict[str, dict[int, int]], {"a": {"one": 1, "2": "b"}}, ["a.one", "a.2"]),
        (Page[int], {"items": [1, "a"], "first": "b"}, ["items.1", "first"]),
        (
            Page[Player],
            {"items": [{}], "first": {"firstName": 1}},
            ["items.0.firstName", "first.firstName"],
        ),
        (IntPage, {"items": ["a"], "first": "b"}, ["items.0"]),
        (Box[int], {"content": "a", "lid": {"b": "c"}}, ["content", "lid.b"]),
        (Move, {"y": "a", "by": "long"}, ["x", "y", "by"]),
        (Fold | Call, {"type": "CALL", "amount": "a"}, ["amount"]),
        (Fold | Call, {"type": "RAISE"}, ["type"]),
        (Fold | Call, {}, ["type"]),
        (Call, {"type": "FOLD", "amount": "a", "x": 1}, ["amount", "x", "type"]),
        (Player | None, {"firstName": 1}, ["firstName"]),
        (list[int] | dict[str, int], {"a": "b"}, ["a"]),
        (list[int] | dict[str, int], [1, "b"], ["1"]),
        (int | str, [], [None]),
        (int | list[int], ["a"], ["0"]),
        (Pair, [1, "a"], ["1"]),
        (Pair, ["a", "b"], ["0", "1"]),
        (Pair, ["a"], ["0", None]),
        (Pair, [1], [None]),
        (Pair, {"left": 1}, [None]),
        (Step, ["step", "a", "b"], ["1", "2"]),
        (Step, ["leap", "a", 1], ["1", "0"]),
        (Step | None, ["step", "a", "b"], ["1", "2"]),
        (Point, ["a", 1], ["0"]),
        (Point, ["a", "b"], ["0", "1"]),
        (list[Point] | None, [["a", "b"]], ["0.0", "0.1"]),
        (Literal["a"], "b", [None]),
        (Literal["a"], ["b", 1], [None]),
        (dict[str, int], [1], [None]),
        (Page[int], ["a"], [None]),
        (dict[str, int] | Literal["a"], ["b"], [None]),
        (Annotated[list[int], msgspec.Meta(max_length=1)], [1, 2], [None]),
        (list[Any], {}, [None]),
        (Player, [], [None]),
        (int, {}, [None]),
        (set[list[int]], [[1]], [None]),
    ],
)
def test_faulty_parts_are_named_by_their_path(kind, value, expected):
    assert [*faults(value, kind)] == expected


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type statements are from Python 3.12 on")
def test_faulty_parts_are_found_behind_the_names_of_type_statements():
    kinds = {"Player": Player}
    exec(
        "type Players = list[Player]\ntype Seats[T] = dict[str, T]\ntype Maybe = Players | None\n",
        kinds,
    )
    wrong = [{"firstName": 1}, {}]
    paths = ["0.firstName", "1.firstName"]
    assert [*faults(wrong, kinds["Players"])] == paths
    assert [*faults(wrong, kinds["Maybe"])] == paths
    assert [*faults({"a": "b", "c": "d"}, kinds["Seats"][int])] == ["a", "c"]
    assert [*faults({"a": wrong}, kinds["Seats"][kinds["Players"]])] == [f"a.{p}" for p in paths]


@pytest.mark.parametrize("many", [1, 63, 64, 65, 1000])
def test_faults_are_found_among_many_parts(many):
    items = [1] * many + ["a"]
    assert [*faults(items, list[int])] == [str(many)]
    assert [*faults({f"k{n}": item for n, item in enumerate(items)}, dict[str, int])] == [
        f"k{many}"
    ]


def test_a_bounded_number_of_faults_is_listed():
    assert len(violations_of(["a"] * 1000, list[int])) == MOST_ERRORS == 100


def test_depth_has_a_bound():
    value = {"leaf": "deepest"}
    for _ in range(100):
        value = {"branches": [value]}
    [field] = faults(value, Tree)
    assert field.count("branches") == 100 and field.endswith(".leaf")


def test_what_is_too_deep_for_msgspec_is_a_fault():
    value = {}
    for _ in range(5000):
        value = {"branches": [value]}
    [error] = violations_of(value, Tree)
    assert error["text"] == "This is nested too deeply."
