"""What a route's function says of its content, and how that is cleaned before the call."""

import re
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import pytest
from channels.layers import get_channel_layer
from channels.routing import URLRouter
from django import forms
from django.urls import path
from django.views import View
from pydantic import BaseModel
from rest_framework import serializers

from sockets import Route, RoutedSocketHandler, SocketRouter
from sockets.arguments import ROUTE_WORDS, bind
from sockets.content import own_name
from sockets.exceptions import DeclarationError
from sockets.messages import Message
from sockets.protocols.native import Native

from .clients import client_of

if TYPE_CHECKING:
    from nowhere import Elsewhere


class Bet(msgspec.Struct):
    amount: int
    note: str = ""

    def __post_init__(self):
        if self.amount > 100:
            raise ValueError("More than the table allows.")


class Chips(BaseModel):
    amount: int


class BetForm(forms.Form):
    amount = forms.IntegerField()


class BetSerializer(serializers.Serializer):
    amount = serializers.IntegerField()


class HasX(Protocol):
    x: int


class Enveloped(Native):
    """A protocol whose messages have their content apart."""

    subprotocol = "enveloped"
    is_flat = False

    def decode(self, frame):
        content = msgspec.json.decode(frame)
        return Message(content["type"], content.get("payload"), content.get("ref"))


def by_annotation(socket, content: Bet):
    return content


def by_payload(socket, payload: Bet):
    return payload


def by_own_name(socket, bet: Bet):
    return bet


def by_string(socket, bet: "Bet"):
    return bet


async def asynchronously(socket, user, bet, content: Bet):
    return content


def positional_only(socket, bet: Bet, /):
    return bet


def in_parts(socket, bet: Bet):
    yield bet


async def answers(function, *contents, **options):
    """What a route with this function answers to messages with these fields."""
    socket = SocketRouter()
    socket.route("BET", **options)(function)
    async with client_of(socket) as client:
        return [await client.ask({"type": "BET", "ref": 1, **content}) for content in contents]


# Annotations


@pytest.mark.parametrize(
    "function", [by_annotation, by_payload, by_own_name, by_string, positional_only]
)
async def test_content_is_what_its_parameter_is_annotated_with(function):
    [answer, error] = await answers(function, {"amount": 5}, {"amount": "5"})
    assert answer["data"] == {"amount": 5, "note": ""}
    assert (error["status"], error["ref"]) == (400, 1)
    assert error["details"] == "The message is not valid: amount."
    assert error["errors"] == [{"field": "amount", "text": "Expected `int`, got `str`"}]


async def test_every_faulty_field_is_told_at_once_and_the_connection_lives():
    errors, answer = await answers(by_own_name, {"amount": "5", "note": 1}, {"amount": 5})
    assert [error["field"] for error in errors["errors"]] == ["amount", "note"]
    assert answer["status"] == 200
    [error] = await answers(by_own_name, {"amount": 101})
    assert error["errors"] == [{"text": "More than the table allows."}]


async def test_nothing_runs_after_a_refusal():
    ran = []

    def on_bet(socket, bet: Bet):
        ran.append(bet)

    async def aon_bet(socket, bet: Bet):
        ran.append(bet)

    for function in (on_bet, aon_bet):
        for schema in (Bet, BetForm):
            [error] = await answers(function, {"amount": "much"}, schema=schema)
            assert error["status"] == 400
    assert ran == []


async def test_all_that_is_called_content_is_the_cleaned_one():
    def on_bet(socket, bet, content, payload: Bet, message):
        return [type(value).__name__ for value in (bet, content, payload, message.content)]

    [answer] = await answers(on_bet, {"amount": 5})
    assert answer["data"] == ["Bet"] * 4


async def test_a_stream_has_typed_content_too():
    [part] = await answers(in_parts, {"amount": 5})
    assert (part["status"], part["data"]) == (206, {"amount": 5, "note": ""})
    [error] = await answers(in_parts, {})
    assert (error["status"], error["type"]) == (400, "ERROR")


@pytest.mark.parametrize(
    "annotation", [dict, "dict[str, Any]", Any, "Any", object, dict[str, Any] | None]
)
async def test_any_object_is_taken_as_it_came(annotation):
    def on_bet(socket, content): ...

    on_bet.__annotations__["content"] = annotation
    assert Route.of("BET", on_bet).schema is None


def test_content_without_a_type_costs_nothing():
    def on_bet(socket, content: dict[str, Any]): ...

    untouched = bind(on_bet, ROUTE_WORDS)
    assert Route.of("BET", on_bet).call.__code__ is untouched.__code__


async def test_default_routes_and_rules_for_groups_have_typed_content():
    socket = SocketRouter()

    @socket.group(r"table-(?P<number>\d+)$")
    def may_sit(socket, bet: Bet, number):
        return {"number": number, "amount": bet.amount}

    @socket.default_route
    def on_other(socket, bet: Bet):
        return bet.amount

    async with client_of(socket) as client:
        assert (await client.ask({"type": "OTHER", "amount": 5}))["data"] == 5
        assert (await client.ask({"type": "OTHER"}))["status"] == 400
        join = {"type": "JOIN", "ref": 1, "group": "table-7"}
        assert (await client.ask(join))["errors"][0]["field"] == "amount"
        assert (await client.ask({**join, "amount": 5}))["data"] == {"number": "7", "amount": 5}


async def test_methods_of_a_handler_have_typed_content():
    class Table(RoutedSocketHandler):
        routes = (("BET", "on_bet"),)

        async def on_bet(self, bet: Bet):
            return bet.amount

    async with client_of(Table) as client:
        assert (await client.ask({"type": "BET", "amount": 5}))["data"] == 5
        assert (await client.ask({"type": "BET"}))["status"] == 400


async def test_events_of_the_channel_layer_are_not_checked():
    class Table(RoutedSocketHandler):
        groups = ("tables",)

        def default_route(self): ...

        def table_said(self, event: Bet):
            self.send_json(event)

        async def table_left(self, event: "Elsewhere"):
            await self.send_json(event)

    async with client_of(Table) as client:
        for type in ("table.said", "table.left"):
            await get_channel_layer().group_send("tables", {"type": type, "amount": "much"})
            assert await client.receive_json_from() == {"type": type, "amount": "much"}


# Names


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ("", None),
        ("user, ref", None),
        ("content", None),
        ("user, payload", None),
        ("bet", "bet"),
        ("bet, content", "bet"),
        ("user, bet", None),
        ("move", None),
    ],
)
def test_the_content_may_have_a_name_of_its_own(parameters, name):
    namespace = {}
    exec(f"def on_bet(socket, {parameters}): ...", namespace)
    assert own_name(namespace["on_bet"], frozenset({"move"})) == name


def mounted_at(route, function, **options):
    """A client's application: the function's route, at that path."""

    class Table(View):
        socket = SocketRouter()

    Table.socket.route("BET", **options)(function)
    table = URLRouter([path(route, Table.socket.Handler.as_asgi())])
    return SimpleNamespace(as_asgi=lambda: table)


@pytest.mark.parametrize("options", [{}, {"schema": BetForm}])
async def test_a_url_argument_of_that_name_takes_the_place_of_the_content(options):
    def on_bet(socket, bet: int):
        return bet

    async with client_of(mounted_at("<int:bet>/", on_bet, **options), "/7/") as client:
        assert (await client.ask({"type": "BET"}))["data"] == 7


async def test_a_url_argument_of_another_name_does_not():
    async with client_of(mounted_at("<int:table>/", by_own_name), "/7/") as client:
        assert (await client.ask({"type": "BET", "amount": 5}))["data"]["amount"] == 5


def test_a_group_of_the_regex_is_not_the_content():
    def on_act(socket, move: HasX): ...

    assert Route.of(re.compile("ACT_(?P<move>.+)"), on_act).schema is None


# The option


@pytest.mark.parametrize(
    ("schema", "made"),
    [(Bet, "Bet"), (Chips, "Chips"), (BetForm, "BetForm"), (BetSerializer, "BetSerializer")],
)
@pytest.mark.parametrize("colour", ["def", "async def"])
async def test_every_kind_is_an_option_and_an_annotation(schema, made, colour):
    def on_bet(socket, bet):
        return type(bet).__name__

    async def aon_bet(socket, bet):
        return type(bet).__name__

    function = on_bet if colour == "def" else aon_bet
    for options in ({"schema": schema}, {}):
        if not options:
            function.__annotations__["bet"] = schema
        answer, error = await answers(function, {"amount": 5}, {"amount": "much"}, **options)
        assert answer["data"] == made
        assert (error["status"], error["errors"][0]["field"]) == (400, "amount")


async def test_forms_and_functions_run_on_a_thread_and_coroutine_functions_on_the_loop():
    threads = []

    def clean(content):
        threads.append(threading.get_ident())
        return content

    async def aclean(content):
        return clean(content)

    class Slow(BetForm):
        def clean(self):
            clean(self.cleaned_data)

    async def on_bet(socket):
        return None

    for schema in (clean, Slow, aclean):
        await answers(on_bet, {"amount": 5}, schema=schema)
    here = threading.get_ident()
    assert [thread == here for thread in threads] == [False, False, True]


async def test_the_option_comes_before_the_annotation():
    def on_bet(socket, bet: "Elsewhere"):
        return bet["n"]

    def halve(content):
        return {"n": content["n"] // 2}

    [answer] = await answers(on_bet, {"n": 4}, schema=halve)
    assert answer["data"] == 2
    [answer] = await answers(on_bet, {"n": 4}, schema=None)
    assert answer["data"] == 4


async def test_a_function_that_refuses_names_why():
    def whole(content):
        raise ValueError("Only whole chips.")

    [error] = await answers(by_own_name, {"amount": 5}, schema=whole)
    assert (error["status"], error["errors"]) == (400, [{"text": "Only whole chips."}])


async def test_content_that_is_no_object_is_typed_where_the_protocol_has_it():
    socket = SocketRouter(protocols=(Enveloped(),))

    @socket.route("SUM")
    async def on_sum(socket, payload: list[int]):
        return sum(payload)

    @socket.route("GREET")
    async def on_greet(socket, name: str):
        return f"Hello, {name}!"

    async with client_of(socket, subprotocols=["enveloped"]) as client:
        assert (await client.ask({"type": "SUM", "payload": [1, 2]}))["data"] == 3
        error = await client.ask({"type": "SUM", "payload": [1, "2"]})
        assert error["errors"][0]["field"] == "1"
        assert (await client.ask({"type": "GREET", "payload": "Ada"}))["data"] == "Hello, Ada!"
        assert (await client.ask({"type": "GREET", "payload": {}}))["status"] == 400


# What cannot be


def test_a_schema_and_fields_are_one_too_many():
    def on_bet(socket, bet: Bet, *, seat: int): ...

    with pytest.raises(
        DeclarationError, match=r"expected a schema or fields after \*, got both; move seat into"
    ):
        Route.of("BET", on_bet)
    assert Route.of("BET", on_bet, schema=None).schema is None


def test_two_annotations_of_the_content_are_one_too_many():
    def on_bet(socket, bet: Bet, content: dict): ...

    with pytest.raises(DeclarationError, match=r"Bet and content: dict are both the content"):
        Route.of("BET", on_bet)


@pytest.mark.parametrize("annotation", [HasX, View, "HasX"])
def test_an_annotation_that_is_no_schema_is_refused(annotation):
    def on_bet(socket, content): ...

    on_bet.__annotations__["content"] = annotation
    with pytest.raises(
        DeclarationError, match=r"on_bet: expected 'content' to be annotated .*View|HasX"
    ):
        Route.of("BET", on_bet)


def test_an_annotation_that_is_not_known_is_refused_with_what_to_write():
    def on_bet(socket, bet: "Elsewhere"): ...

    with pytest.raises(DeclarationError, match=r"'Elsewhere' is not known .* give schema= instead"):
        Route.of("BET", on_bet)


class Tagged(msgspec.Struct, tag=True):
    amount: int


@pytest.mark.parametrize(
    ("annotation", "fault"),
    [
        (int, "Expected `int`, got `object`"),
        (list[Bet], "Expected `array`, got `object`"),
        (dict[str, int], "Expected `int`, got `str`"),
        (Tagged, "Invalid value 'BET'"),
    ],
)
def test_a_schema_that_no_flat_message_fits_is_refused(annotation, fault):
    def on_bet(socket, content): ...

    on_bet.__annotations__["content"] = annotation
    router = SocketRouter()
    router.route("BET")(on_bet)
    with pytest.raises(DeclarationError, match=f"on_bet: no message fits .*{re.escape(fault)}"):
        router.Handler  # noqa: B018
    both = SocketRouter(protocols=(Native(), Enveloped()))
    both.route("BET")(on_bet)
    assert both.Handler
