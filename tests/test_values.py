"""What values of Python and Django become in content, and which of them it cannot have."""

import json
from collections import ChainMap, Counter, OrderedDict, deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum, auto
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pydantic
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, Permission, User
from django.core.files.base import ContentFile
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import TextChoices
from django.db.models.fields.files import FieldFile
from django.http import QueryDict
from django.utils.functional import SimpleLazyObject, lazystr
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from rest_framework.exceptions import ErrorDetail
from rest_framework.relations import Hyperlink, PKOnlyObject
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.utils.serializer_helpers import ReturnDict, ReturnList

from sockets.encoding import encode_json, json_text, read_json
from sockets.values import refine


class Text(str): ...


class Number(int): ...


class Fraction(float): ...


class Day(date): ...


class Moment(datetime): ...


class Price(Decimal): ...


class Blob(bytes): ...


class Suit(TextChoices):
    HEARTS = "h", "Hearts"


class Rank(Enum):
    ACE = 1


class Place(Enum):
    HOME = (1, 2)


class Size(IntEnum):
    SMALL = 1


class Colour(StrEnum):
    RED = "red"


class Mood(Flag):
    GLAD = auto()
    SAD = auto()


@dataclass
class Seat:
    number: int
    since: datetime | None = None


@dataclass
class Sitting:
    seat: Seat
    kind: str = field(init=False, default_factory=lambda: "sitting")


class Hand(msgspec.Struct, rename="camel", tag="hand", omit_defaults=True):
    first_card: str
    second_card: str = ""


class Point(NamedTuple):
    x: float
    y: float


class Offer(pydantic.BaseModel):
    price: Decimal
    link: pydantic.HttpUrl
    key: pydantic.SecretStr = pydantic.SecretStr("secret")


class Array:
    """What numpy's arrays and numbers have in common."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def tolist(self) -> Any:
        return self.values


class Pages:
    def __iter__(self):
        return iter([1, 2])


OFFERED = {"price": "1.50", "link": "http://a.b/", "key": "**********"}
WHEN = datetime(2030, 1, 31, 12, 30, 15, 123987, UTC)
EAST = timezone(timedelta(hours=2))


def read(value: Any) -> Any:
    return json.loads(json_text({"value": [value]}))["value"][0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (mark_safe("<b>"), "<b>"),
        (gettext_lazy("Yes"), "Yes"),
        (lazystr(5), "5"),
        (Text("a"), "a"),
        (ErrorDetail("Required.", code="required"), "Required."),
        (Hyperlink("/users/1/", None), "/users/1/"),
        (Number(5), 5),
        (Fraction(0.5), 0.5),
        (10**30, 10**30),
        (Suit.HEARTS, "h"),
        (Suit.HEARTS.label, "Hearts"),
        (Rank.ACE, 1),
        (Place.HOME, [1, 2]),
        (Size.SMALL, 1),
        (Colour.RED, "red"),
        (Mood.GLAD | Mood.SAD, 3),
        (Seat(3), {"number": 3, "since": None}),
        (Sitting(Seat(3)), {"seat": {"number": 3, "since": None}, "kind": "sitting"}),
        (Hand("ace"), {"type": "hand", "firstCard": "ace"}),
        (Offer(price="1.50", link="http://a.b"), OFFERED),
        ((1, 2), [1, 2]),
        (Point(1, 2), [1, 2]),
        ({1}, [1]),
        (frozenset({1}), [1]),
        (deque([1, 2]), [1, 2]),
        (range(2), [0, 1]),
        ({"a": 1}.values(), [1]),
        (Pages(), [1, 2]),
        (Array([[1.5], [2.5]]), [[1.5], [2.5]]),
        (Array(5), 5),
        (OrderedDict(a=1), {"a": 1}),
        (Counter("aab"), {"a": 2, "b": 1}),
        (ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
        (QueryDict("a=1&a=2"), {"a": ["1", "2"]}),
        (ReturnDict({"a": 1}, serializer=None), {"a": 1}),
        (ReturnList([1], serializer=None), [1]),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PKOnlyObject(pk=UUID(int=1)), "00000000-0000-0000-0000-000000000001"),
        (User(pk=5).pk, 5),
        (Decimal("1.50"), "1.50"),
        (Decimal("NaN"), "NaN"),
        (Price("1.50"), "1.50"),
        (ip_address("::1"), "::1"),
        (ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        (FieldFile(User(), models.FileField(), "a/b.txt"), "a/b.txt"),
        (FieldFile(User(), models.FileField(), None), ""),
        (b"\x00\xff", "AP8="),
        (Blob(b"\x00\xff"), "AP8="),
        (memoryview(b"\x00\xff"), "AP8="),
        (SimpleLazyObject(lambda: {"a": 1}), {"a": 1}),
        (SimpleLazyObject(lambda: "text"), "text"),
        (SimpleLazyObject(lambda: lazystr("text")), "text"),
        ([SimpleLazyObject(lambda: 5), SimpleLazyObject(lambda: 0.5)], [5, 0.5]),
        ([SimpleLazyObject(lambda: True), SimpleLazyObject(lambda: None)], [True, None]),
        (SimpleLazyObject(lambda: datetime(2030, 1, 31)), "2030-01-31T00:00:00"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_of_python_and_django(value, expected):
    assert read(value) == expected


def test_what_can_be_read_once_becomes_a_list():
    assert read(part for part in (1, 2)) == [1, 2]
    assert read(map(str, [1, 2])) == ["1", "2"]


TIMES = [
    datetime(2030, 1, 31),
    datetime(2030, 1, 31, tzinfo=UTC),
    datetime(2030, 1, 31, 12, 30, 15, 123987),
    datetime(30, 1, 31, 12, 30, 15, 400, tzinfo=EAST),
    WHEN,
    Moment(2030, 1, 31, 12, 30, 15, 123987, UTC),
    date(2030, 1, 31),
    Day(2030, 1, 31),
    time(12, 30),
    time(12, 30, 15, 123987),
    timedelta(0),
    timedelta(days=3, hours=2, seconds=1),
    timedelta(seconds=1.5),
    timedelta(days=-1, microseconds=7),
]


@pytest.mark.parametrize("value", TIMES, ids=repr)
def test_times_are_written_as_by_djangos_own_encoder(value):
    assert read(value) == json.loads(json.dumps(value, cls=DjangoJSONEncoder))
    assert read(refine(value)) == read(value)


def test_times_are_found_wherever_they_are():
    content = {WHEN: {"a": [Seat(1, WHEN), (WHEN,)]}, timedelta(1): {"b": timedelta(1)}}
    text = "2030-01-31T12:30:15.123Z"
    assert json.loads(json_text(content)) == {
        text: {"a": [{"number": 1, "since": text}, [text]]},
        "P1DT00H00M00S": {"b": "P1DT00H00M00S"},
    }


@pytest.mark.parametrize(
    "text",
    ["1.123456", "at 10.123456Z", "P1D", "PT5", "null", "2030-01-31T12:30:15.123987Z", "h\xe9 P1D"],
)
def test_text_that_looks_like_a_time_or_a_null_stays(text):
    assert read(text) == text
    assert json.loads(json_text({text: None})) == {text: None}


def test_a_time_with_a_zone_is_written_though_django_has_no_form_for_it():
    assert read(time(12, 30, 15, 123987, UTC)) == "12:30:15.123Z"
    assert read(time(12, 30, tzinfo=EAST)) == "12:30:00+02:00"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (mark_safe("k"), "k"),
        (gettext_lazy("Yes"), "Yes"),
        (3, "3"),
        (1.5, "1.5"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        (Suit.HEARTS, "h"),
        (Rank.ACE, "1"),
        (Size.SMALL, "1"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.5"), "1.5"),
        (date(2030, 1, 31), "2030-01-31"),
    ],
)
def test_keys_become_text(key, expected):
    assert json.loads(json_text({"a": {key: 1}})) == {"a": {expected: 1}}
    assert json.loads(json_text({"a": {key: timedelta(1)}})) == {"a": {expected: "P1DT00H00M00S"}}


@pytest.mark.parametrize(
    "value",
    [
        {2: "a", None: "b", True: "c", 1.5: "d", "e": None},
        {mark_safe("a"): Suit.HEARTS, gettext_lazy("b"): (1, [2, {}])},
        *TIMES,
        Decimal("1.50"),
        UUID(int=1),
        ip_address("10.0.0.1"),
        ReturnDict({"a": ErrorDetail("No.")}, serializer=None),
        Array([1]),
        QueryDict("a=1&b=2"),
        b"bytes",
        Pages(),
    ],
    ids=repr,
)
def test_nothing_that_the_encoders_of_django_and_its_rest_framework_take_fails(value):
    for encoder in (DjangoJSONEncoder, JSONEncoder):
        try:
            json.dumps(value, cls=encoder)
        except TypeError:
            continue
        json_text({"value": value})


def test_an_iterator_is_read_once_and_all_of_it():
    content = {"a": iter([1, None]), "b": (when for when in [WHEN])}
    assert json.loads(json_text(content)) == {"a": [1, None], "b": ["2030-01-31T12:30:15.123Z"]}


# Numbers that are none


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), Fraction("nan")])
@pytest.mark.parametrize(
    ("content", "place"),
    [
        (lambda number: number, None),
        (lambda number: {"price": number}, "price"),
        (lambda number: {"rows": [{}, {"price": number, "none": None}]}, "rows[1].price"),
        (lambda number: [None, (1.5, {number})], "[1][1][0]"),
        (lambda number: {"big": 10**30, "a b": Point(0, number)}, "['a b'][1]"),
        (lambda number: {"array": Array([1.0, number])}, "array[1]"),
    ],
)
def test_a_number_that_is_none_is_refused_by_name_and_place(number, content, place):
    at = f" at {place}" if place else ""
    with pytest.raises(ValueError) as caught:
        json_text(content(number))
    expected = (
        f"expected JSON-ready content, got {float(number)!r}{at}; send None, or say it in text"
    )
    assert str(caught.value) == expected


@pytest.mark.parametrize("number", [1e308, -1e308, 5e-324, 1.0, -0.0])
def test_every_other_number_passes_beside_nulls(number):
    assert json.loads(json_text([None, number, "\u02ff"])) == [None, number, "\u02ff"]


# What content cannot have


async def coroutine():
    """Awaited by nobody."""


@pytest.mark.parametrize(
    ("value", "name", "hint"),
    [
        (User(), "django.contrib.auth.models.User", "send its pk, or its fields"),
        (SimpleLazyObject(User), "django.contrib.auth.models.User", "send its pk, or its fields"),
        (User, "django.db.models.base.ModelBase", "send its values instead"),
        (object(), "builtins.object", "send its values instead"),
        (1j, "builtins.complex", "send its values instead"),
        (User.objects, "django.contrib.auth.models.UserManager", "send its values instead"),
        (ContentFile(b"a", "a.txt"), "django.core.files.base.ContentFile", "send its values"),
        (msgspec.UNSET, "msgspec.UnsetType", "send its values instead"),
    ],
)
def test_a_type_that_json_has_no_form_for_is_named_with_its_place(value, name, hint):
    for content, at in [(value, ""), ({"a": [1, {"b": value}]}, " at a[1].b")]:
        with pytest.raises(TypeError) as caught:
            json_text(content)
        message = f"expected JSON-ready content, got a {name}{at}; {hint}"
        assert str(caught.value).startswith(message)


def test_a_coroutine_is_to_be_awaited():
    forgotten = coroutine()
    with pytest.raises(TypeError, match=r"got a builtins.coroutine at data; await it first"):
        json_text({"data": forgotten})
    forgotten.close()


@pytest.mark.parametrize(
    ("key", "name", "fault"),
    [
        ((1, 2), "builtins.tuple", TypeError),
        (Place.HOME, "builtins.tuple", TypeError),
        (User(pk=1), "django.contrib.auth.models.User", TypeError),
        (object(), "builtins.object", TypeError),
    ],
)
def test_a_key_that_is_no_text_is_refused_by_name(key, name, fault):
    message = f"got a key that is a {name} at rows\\[0\\]; keys are text, or numbers"
    with pytest.raises(fault, match=message):
        json_text({"rows": [{key: 1}]})


def test_a_key_that_is_no_number_is_refused_beside_what_is_doubtful():
    with pytest.raises(ValueError, match="got a key that is nan"):
        json_text({float("nan"): float("nan")})


def test_text_that_is_no_unicode_is_refused_with_its_place():
    for content in ({"a": ["\ud800"]}, {"a": [Text("\ud800")]}):
        with pytest.raises(ValueError, match=r"got a lone surrogate at a\[0\]; UTF-8 has none"):
            json_text(content)


def test_content_within_itself_is_refused():
    content: list[Any] = []
    content.append(content)
    with pytest.raises(ValueError, match="not nested so deeply, or in itself"):
        json_text(content)


def test_a_fault_in_the_value_itself_is_told_as_it_is():
    class Broken:
        def __iter__(self):
            raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        json_text({"a": Broken()})


@pytest.mark.django_db
def test_a_queryset_of_values_is_a_list():
    Group.objects.create(name="cooks")
    assert json.loads(json_text(Group.objects.values("name"))) == [{"name": "cooks"}]
    assert json.loads(json_text(Group.objects.values_list("name"))) == [["cooks"]]
    assert json.loads(json_text(Permission.objects.none())) == []
    with pytest.raises(TypeError, match=r"got a .*\.Group at groups\[0\]; send its pk, or its fi"):
        json_text({"groups": Group.objects.all()})


def test_a_queryset_that_would_be_fetched_in_the_event_loop_is_refused():
    @async_to_sync
    async def send():
        json_text({"groups": Group.objects.values("name")})

    message = r"got a .*QuerySet that is not fetched yet at groups; fetch it with "
    with pytest.raises(TypeError, match=message):
        send()


def test_bytes_of_json_are_its_text_in_utf_8():
    assert encode_json({"a": "h\xe9"}) == '{"a":"h\xe9"}'.encode()


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r'"\ud83d"', "\ufffd"),
        (r'"\uDE00."', "\ufffd."),
        (r'"\ude00\ud83d"', "\ufffd\ufffd"),
        (r'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (r'["\\ud83d", "\ud83d\n", "\\\ud83d"]', [r"\ud83d", "\ufffd\n", "\\\ufffd"]),
        (r'{"\ud83d": "\u00e9"}', {"\ufffd": "\u00e9"}),
    ],
)
def test_halves_of_characters_are_read_as_such(text, content):
    assert read_json(text) == content


@pytest.mark.parametrize(
    "text", ["", "{", r'"\ud83d', r'"\x"', r'"\ud83"', r'["\ud83d" 5]', '"\ud800"']
)
def test_what_is_no_json_is_not_read(text):
    with pytest.raises(ValueError):
        read_json(text)
