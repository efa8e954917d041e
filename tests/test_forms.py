"""Content checked by Django's forms and by serializers of Django REST framework."""

from datetime import UTC, date, datetime

import pytest
from django import forms
from django.contrib.auth.models import User
from django.contrib.postgres.forms import SimpleArrayField, SplitArrayField
from django.core.exceptions import ValidationError
from rest_framework import serializers

from sockets.exceptions import InvalidContent
from sockets.forms import form_cleaner, is_form, is_serializer, serializer_cleaner


class Order(forms.Form):
    dish = forms.CharField(max_length=5)
    many = forms.IntegerField(min_value=1)
    when = forms.DateField(required=False)
    price = forms.DecimalField(required=False)
    hot = forms.BooleanField(required=False)
    sides = forms.MultipleChoiceField(choices=[("1", "rice"), ("2", "beans")], required=False)
    notes = forms.JSONField(required=False)

    def clean(self):
        if self.cleaned_data.get("dish") == "soup" and not self.cleaned_data.get("hot"):
            raise ValidationError("Soup is served hot.", code="cold")


class Stay(forms.Form):
    nights = SimpleArrayField(forms.DateField())
    prices = SimpleArrayField(forms.DecimalField(), required=False)
    guests = SplitArrayField(forms.CharField(required=False), size=2, required=False)
    arrival = forms.SplitDateTimeField(required=False)
    born = forms.DateField(widget=forms.SelectDateWidget(years=[1990]), required=False)
    rooms = forms.ModelMultipleChoiceField(User.objects.all(), required=False)


class Rename(forms.ModelForm):
    class Meta:
        model = User
        fields = ("username", "groups")


class Prefixed(forms.Form):
    prefix = "order"
    dish = forms.CharField()


class Side(serializers.Serializer):
    name = serializers.CharField()


class OrderSerializer(serializers.Serializer):
    dish = serializers.CharField(max_length=5)
    when = serializers.DateField(required=False)
    main = Side(required=False)
    sides = Side(many=True, required=False)

    def validate(self, attrs):
        if attrs["dish"] == "none":
            raise serializers.ValidationError("Nothing to cook.")
        return attrs


def errors_of(cleaner, content):
    with pytest.raises(InvalidContent) as caught:
        cleaner(content)
    return caught.value.errors


# Forms


def test_the_form_is_bound_to_the_content():
    form = form_cleaner(Order)({"type": "ORDER", "ref": 1, "dish": "soup", "many": 2, "hot": True})
    assert isinstance(form, Order) and form.is_valid()
    assert form.cleaned_data == {
        "dish": "soup",
        "many": 2,
        "when": None,
        "price": None,
        "hot": True,
        "sides": [],
        "notes": None,
    }


def test_values_of_json_are_what_a_browser_would_send():
    content = {
        "dish": 7,
        "many": "3",
        "when": "2030-01-31",
        "price": 1.5,
        "hot": False,
        "sides": [1, "2"],
        "notes": {"salt": [1, None]},
    }
    cleaned = form_cleaner(Order)(content).cleaned_data
    assert (cleaned["dish"], cleaned["many"], str(cleaned["price"])) == ("7", 3, "1.5")
    assert (cleaned["when"], cleaned["hot"], cleaned["sides"]) == (
        date(2030, 1, 31),
        False,
        ["1", "2"],
    )
    assert cleaned["notes"] == {"salt": [1, None]}
    assert form_cleaner(Order)({**content, "notes": 5}).cleaned_data["notes"] == 5


def test_every_faulty_field_of_a_form_is_named():
    errors = errors_of(form_cleaner(Order), {"dish": "dumplings", "many": 0, "when": "soon"})
    assert [(error["field"], error["code"]) for error in errors] == [
        ("dish", "max_length"),
        ("many", "min_value"),
        ("when", "invalid"),
    ]
    assert errors_of(form_cleaner(Order), {"dish": "", "many": None}) == [
        {"field": "dish", "text": "This field is required.", "code": "required"},
        {"field": "many", "text": "This field is required.", "code": "required"},
    ]


def test_a_fault_of_the_whole_form_is_of_no_field():
    errors = errors_of(form_cleaner(Order), {"dish": "soup", "many": 1})
    assert errors == [{"text": "Soup is served hot.", "code": "cold"}]


@pytest.mark.parametrize("value", [True, 5, 1.5, [], {}, ["2030-01-31"], {"year": 2030}])
@pytest.mark.parametrize("name", ["when", "many", "price", "dish"])
def test_values_of_any_kind_are_refused_or_read(name, value):
    content = {"dish": "rice", "many": 1, name: value}
    try:
        cleaned = form_cleaner(Order)(content).cleaned_data[name]
    except InvalidContent as fault:
        assert [error["field"] for error in fault.errors] == [name]
    else:
        assert not isinstance(value, list | dict)
        assert cleaned is not None


def test_fields_of_several_inputs_are_read():
    content = {
        "nights": ["2030-01-31", "2030-02-01"],
        "prices": [5, "1.5"],
        "guests_0": "ann",
        "guests_1": 7,
        "arrival_0": "2030-01-31",
        "arrival_1": "12:00",
        "born_year": 1990,
        "born_month": 5,
        "born_day": 17,
    }
    cleaned = form_cleaner(Stay)(content).cleaned_data
    assert cleaned["nights"] == [date(2030, 1, 31), date(2030, 2, 1)]
    assert (list(map(str, cleaned["prices"])), cleaned["guests"]) == (["5", "1.5"], ["ann", "7"])
    assert cleaned["arrival"].replace(tzinfo=None) == datetime(2030, 1, 31, 12)
    assert cleaned["born"] == date(1990, 5, 17)


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ("nights", 5),
        ("nights", [5]),
        ("nights", [{}]),
        ("nights", [["2030-01-31"]]),
        ("nights", {"0": "2030-01-31"}),
        ("prices", [[]]),
        ("guests_0", ["ann"]),
        ("guests_1", {}),
        ("arrival_0", ["2030-01-31"]),
        ("arrival_1", {"hour": 12}),
        ("born_year", [1990]),
        ("born_day", {}),
        ("rooms", 5),
        ("rooms", [[]]),
        ("rooms", [{}]),
    ],
)
def test_no_value_of_json_is_a_fault_of_the_form(sent, value):
    content = {"nights": ["2030-01-31"], "born_year": 1990, "born_month": 5, "born_day": 17}
    errors = errors_of(form_cleaner(Stay), {**content, sent: value})
    assert {error["field"] for error in errors} == {sent.split("_")[0]}


def test_a_time_of_messagepack_is_no_json():
    errors = errors_of(form_cleaner(Order), {"dish": "rice", "many": 1, "notes": datetime.now(UTC)})
    assert [error["field"] for error in errors] == ["notes"]


def test_an_object_is_not_taken_as_text():
    assert errors_of(form_cleaner(Order), {"dish": {"a": 1}, "many": 1}) == [
        {"field": "dish", "text": "Enter a single value.", "code": "invalid"}
    ]


def test_fields_of_a_form_with_a_prefix_bear_the_names_that_are_sent():
    form = form_cleaner(Prefixed)({"order-dish": "rice"})
    assert form.cleaned_data == {"dish": "rice"}
    for content in ({"dish": "rice"}, {"order-dish": []}):
        [error] = errors_of(form_cleaner(Prefixed), content)
        assert error["field"] == "order-dish"


@pytest.mark.parametrize("content", [None, [], "x", 5])
def test_a_form_needs_an_object(content):
    errors = errors_of(form_cleaner(Order), content)
    assert errors == [{"text": "expected an object with the fields of a form."}]


def test_times_that_messagepack_has_are_read():
    class Booking(forms.Form):
        at = forms.DateTimeField()

    at = datetime(2030, 1, 31, 12, tzinfo=UTC)
    assert form_cleaner(Booking)({"at": at}).cleaned_data["at"] == at


@pytest.mark.django_db
def test_a_model_form_can_be_saved():
    User.objects.create(username="ann")
    [error] = errors_of(form_cleaner(Rename), {"username": "ann"})
    assert (error["field"], error["code"]) == ("username", "unique")
    assert form_cleaner(Rename)({"username": "bob"}).save().pk
    [error] = errors_of(form_cleaner(Rename), {"username": "eve", "groups": [{"a": 1}, 99]})
    assert error["field"] == "groups"


# Serializers


def test_the_serializer_has_the_data_of_the_content():
    content = {"type": "ORDER", "dish": "rice", "when": "2030-01-31", "sides": [{"name": "tea"}]}
    serializer = serializer_cleaner(OrderSerializer)(content)
    assert isinstance(serializer, OrderSerializer)
    assert serializer.validated_data == {
        "dish": "rice",
        "when": date(2030, 1, 31),
        "sides": [{"name": "tea"}],
    }


def test_every_faulty_field_of_a_serializer_is_named():
    content = {"dish": "dumplings", "when": "soon", "main": {}, "sides": [{"name": "tea"}, {}]}
    errors = errors_of(serializer_cleaner(OrderSerializer), content)
    assert [(error["field"], error["code"]) for error in errors] == [
        ("dish", "max_length"),
        ("when", "invalid"),
        ("main.name", "required"),
        ("sides.1.name", "required"),
    ]
    assert errors[-1]["text"] == "This field is required."


def test_a_fault_of_the_whole_serializer_is_of_no_field():
    errors = errors_of(serializer_cleaner(OrderSerializer), {"dish": "none"})
    assert errors == [{"text": "Nothing to cook.", "code": "invalid"}]
    [error] = errors_of(serializer_cleaner(OrderSerializer), [])
    assert "field" not in error


def test_what_is_a_form_or_a_serializer():
    assert is_form(Order) and is_form(Rename)
    assert is_serializer(OrderSerializer)
    for kind in (int, Order(), None, list[int], User):
        assert not is_form(kind) and not is_serializer(kind)
    assert not is_form(OrderSerializer) and not is_serializer(Order)
