"""Content checked by models of pydantic, and by types made of them."""

import sys
from datetime import UTC, date, datetime
from typing import Annotated, Literal
from uuid import UUID

import pytest
from msgspec import msgpack
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, RootModel, field_validator
from pydantic.dataclasses import dataclass
from typing_extensions import TypeAliasType

from sockets.exceptions import MOST_ERRORS, DeclarationError, InvalidContent
from sockets.pydantic_models import has_model, model_cleaner
from sockets.schemas import schema_of


class Player(BaseModel):
    name: str
    seat: int = 0

    @field_validator("name")
    @classmethod
    def has_no_spaces(cls, name):
        assert " " not in name, "No spaces."
        if name == "nobody":
            raise ValueError("Somebody must play.")
        return name


class Bet(BaseModel):
    amount: int = Field(alias="theAmount", gt=0)
    player: Player
    cards: list[int] = []


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    day: date
    id: UUID
    many: int


class Fold(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["fold"]


class Raise(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["raise"]
    by: int


class Labelled(BaseModel):
    model_config = ConfigDict(extra="forbid")
    label: str = Field(validation_alias=AliasChoices("type", "label"))


class Numbers(RootModel[list[int]]): ...


@dataclass
class Seat:
    number: int


Move = Annotated[Fold | Raise, Field(discriminator="kind")]
ID = "12345678-1234-5678-1234-567812345678"


def clean(kind, content):
    return schema_of(kind, "rooms.on_bet").clean(content)


def faults(kind, content):
    with pytest.raises(InvalidContent) as caught:
        clean(kind, content)
    return [(error.get("field"), error["code"]) for error in caught.value.errors]


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        (Player, {"name": "ann"}, Player(name="ann")),
        (list[Player], [{"name": "ann"}], [Player(name="ann")]),
        (Player | None, None, None),
        (Move, {"kind": "raise", "by": 5}, Raise(kind="raise", by=5)),
        (dict[str, Player], {"a": {"name": "ann"}}, {"a": Player(name="ann")}),
        (Numbers, [1, 2], Numbers([1, 2])),
        (Seat, {"number": 3}, Seat(3)),
    ],
)
def test_content_becomes_a_model_or_what_is_made_of_models(kind, content, expected):
    assert has_model(kind)
    assert clean(kind, content) == expected


def test_models_check_by_their_own_rules():
    assert clean(Player, {"name": "ann", "seat": "5"}).seat == 5
    assert faults(Strict, {"day": "2030-01-31", "id": ID, "many": "5"}) == [("many", "int_type")]


def test_strict_models_read_dates_from_json():
    expected = Strict(day=date(2030, 1, 31), id=UUID(ID), many=5)
    assert clean(Strict, {"day": "2030-01-31", "id": ID, "many": 5}) == expected
    assert clean(Strict, {"day": date(2030, 1, 31), "id": UUID(ID), "many": 5}) == expected


def test_content_may_hold_what_only_messagepack_has():
    class Photo(BaseModel):
        model_config = ConfigDict(strict=True)
        taken: datetime
        data: bytes

    content = {"taken": datetime(2030, 1, 1, tzinfo=UTC), "data": b"\xff"}
    assert clean(Photo, content) == Photo(**content)
    assert faults(Photo, {"taken": msgpack.Ext(5, b""), "data": b""}) == [
        ("taken", "datetime_type")
    ]


def test_every_faulty_field_is_named_as_the_client_sent_it():
    with pytest.raises(InvalidContent) as caught:
        clean(Bet, {"theAmount": 0, "player": {"seat": "a"}, "cards": [1, "b"]})
    assert caught.value.errors == [
        {
            "field": "theAmount",
            "text": "Input should be greater than 0",
            "code": "greater_than",
        },
        {"field": "player.name", "text": "This field is required.", "code": "missing"},
        {
            "field": "player.seat",
            "text": "Input should be a valid integer, unable to parse string as an integer",
            "code": "int_parsing",
        },
        {
            "field": "cards.1",
            "text": "Input should be a valid integer, unable to parse string as an integer",
            "code": "int_parsing",
        },
    ]
    assert faults(Bet, {"amount": 1, "player": {"name": "ann"}}) == [("theAmount", "missing")]


@pytest.mark.parametrize(
    ("name", "text"), [("nobody", "Somebody must play."), ("a b", "No spaces.")]
)
def test_what_a_validator_raises_is_told(name, text):
    with pytest.raises(InvalidContent) as caught:
        clean(Player, {"name": name})
    [error] = caught.value.errors
    assert error["field"] == "name" and error["text"].startswith(text)


def test_members_of_unions_are_no_names_of_fields():
    assert faults(Move, {"kind": "raise", "by": "much"}) == [("by", "int_parsing")]
    assert faults(Move, {"kind": "check"}) == [("kind", "union_tag_invalid")]
    assert faults(Move, {}) == [("kind", "union_tag_not_found")]
    assert faults(list[Move], [{"kind": "fold"}, {}]) == [("1.kind", "union_tag_not_found")]
    assert faults(Player, 5) == [(None, "model_type")]


def test_the_envelope_is_no_unknown_field():
    envelope = {"type": "BET", "ref": 1}
    assert clean(Fold, {**envelope, "kind": "fold"}) == Fold(kind="fold")
    assert clean(Move, {**envelope, "kind": "fold"}) == Fold(kind="fold")
    assert faults(Fold, {**envelope, "kind": "fold", "x": 1}) == [("x", "extra_forbidden")]


def test_a_model_with_a_field_type_gets_it():
    assert clean(Labelled, {"type": "BET", "ref": 1}).label == "BET"


def test_a_bounded_number_of_faults_is_listed():
    assert len(faults(Numbers, ["a"] * 1000)) == MOST_ERRORS


@pytest.mark.parametrize("kind", [int, list[int], dict, None, "Bet", Player(name="ann")])
def test_other_types_have_no_models(kind):
    assert not has_model(kind)


def test_models_are_found_behind_the_names_of_type_statements():
    Players = TypeAliasType("Players", list[Player])
    assert clean(Players, [{"name": "ann"}]) == [Player(name="ann")]
    assert [path for path, _ in faults(list[Players], [[{}, {"name": 1}]])] == [
        "0.0.name",
        "0.1.name",
    ]
    strict = TypeAliasType("Only", Fold)
    assert clean(strict, {"type": "FOLD", "ref": 1, "kind": "fold"}) == Fold(kind="fold")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type statements are from Python 3.12 on")
def test_the_names_of_type_statements_may_be_recursive():
    kinds = {"Player": Player}
    exec("type Numbers = int | list[Numbers]\ntype Team = Player | list[Team]", kinds)
    assert not has_model(kinds["Numbers"])
    assert clean(kinds["Team"], [[{"name": "ann"}]]) == [[Player(name="ann")]]


def test_what_pydantic_cannot_check_is_refused():
    class Unknown: ...

    with pytest.raises(DeclarationError, match=r"rooms\.on_bet: 'content' cannot be checked: "):
        schema_of(dict[str, Player | Unknown], "rooms.on_bet")


def test_a_fault_that_is_not_the_clients_is_not_told_as_such():
    class Broken(BaseModel):
        x: int

        @field_validator("x")
        @classmethod
        def fail(cls, x):
            raise KeyError(x)

    with pytest.raises(KeyError):
        model_cleaner(Broken)({"x": 1})
