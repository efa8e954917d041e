"""The names and forms of django-observable-socket, after a change of the import."""

import asyncio
import functools
import json
import logging
import threading

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import Group
from django.http import Http404
from django.urls import re_path

from sockets import Reply, SocketRouter, compat
from sockets import StatusCodes as OurStatusCodes
from sockets.compat.observable import (
    AsyncSocketRouterConsumer,
    CallError,
    GenericRouteInfo,
    HandlerArg,
    RouteInfo,
    SocketRouterConsumer,
    StatusCodes,
    route_to_method_name,
)
from sockets.exceptions import DeclarationError
from sockets.guards import require_perms

from .clients import Client, client_of
from .test_observable import PONG, request, response

IMPORTS = """
from sockets.compat.observable import (
    AsyncSocketRouterConsumer, GenericRouteInfo, HandlerArg, SocketRouterConsumer, StatusCodes,
)
from rest_framework import serializers
"""


def run_example(source, **names):
    """What an example of theirs defines, beneath the import of ours."""
    names["__name__"] = __name__
    exec(IMPORTS + source, names)
    return names


async def answer_of(consumer, route, payload=None, **fields):
    """The payload and status of the answer to one request."""
    async with client_of(consumer) as client:
        answer = await client.ask(request(route, payload, **fields))
        assert answer.keys() == {"headers", "payload", "uuid", "status"}
        return answer["payload"], answer["status"]


def consumer_of(method=None, /, **options):
    """A consumer with one route, `go`, of these options."""
    namespace = {"routes": ({"route": "go", **options},), "on_go": method or (lambda self: {})}
    return type("Consumer", (SocketRouterConsumer,), namespace)


# Their examples. What is no Python in them is: the keys of the article consumer are quoted, and
# the check that has a name only has a body.

SAY_HELLO = """
def can_load_article(scope, fetched_data):
    return fetched_data.title != "secret"

class AppSocket(SocketRouterConsumer):
    @SocketRouterConsumer.routes.setter
    def routes(self, _):
        self._routes = [
            {"route": "sayHello"},
            {"route": "getArticle",
             ""
             "hydrate": lambda headers, p: load_article(p["id"]),
             "dehydrate": lambda art: {"id": art.id, "title": art.title}
             },
        ]

    def on_say_hello(self, payload, headers):
        name = (payload or {}).get("name", "World")
        return {"status": StatusCodes.OK, "payload": f"Hello, {name}!"}
"""
SAY_HELLO_ASYNC = """
class AppSocketAsync(AsyncSocketRouterConsumer):
    @AsyncSocketRouterConsumer.routes.setter
    def routes(self, _):
        self._routes = [{"route": "sayHello"}]

    async def on_say_hello(self, payload, headers):
        return {"status": 200, "payload": {"msg": "Hello async!"}}
"""
ARTICLES = """
class ArticleSerializer(serializers.ModelSerializer):
    class Meta:
        model = Article
        fields = ["id", "name"]

def load_article(headers, payload) -> Article | None:
    try:
        article_id = headers.get('id')
        if not article_id:
            return None
        return Article.objects.get(id=article_id) # assume id is of type string like uuid
    except Article.DoesNotExist:
        return None

def deserialize(headers, payload) -> Article | None:
    try:
        serializer = ArticleSerializer(data=payload)
        serializer.is_valid(raise_exception=True)
        return serializer.save()
    except serializers.ValidationError:
        return None

def serialize(article: Article) -> str:
    serializer = ArticleSerializer(article)
    return serializer.data

class ArticleConsumer(SocketRouterConsumer):
    routes = [
        {"route": "get", "hydrate": load_article, "dehydrate": serialize},
        {"route": "create", "hydrate": deserialize, "dehydrate": serialize}
    ]

    def on_get(headers, payload):
        return {
            "payload": payload,
            # article gets fetched from DB in background using the `load_article` function
            # dehydrate will automatically serilize the article by running `serialize` function
            "status": StatusCodes.OK if payload else StatusCodes.NOT_FOUND
        }

    def on_create(headers, payload):
        if not payload: # deserialize function has returned None
            return {
                "payload": "Unable to create article",
                "status": StatusCodes.BAD_REQUEST
            }

        return {
            "payload": payload,
            "status": StatusCodes.CREATED
        }
"""


async def test_their_first_example():
    consumer = run_example(SAY_HELLO)["AppSocket"]
    async with client_of(consumer) as client:
        assert await client.ask(request("sayHello", {"name": "Ada"})) == response("Hello, Ada!")
        assert await client.ask(request("sayHello", None)) == response("Hello, World!")
        # A route that has no method, as in the example itself.
        assert (await client.ask(request("getArticle", {"id": 5})))["status"] == 500
        assert await client.ask(request("PING", {}, uuid="hb")) == PONG
        assert (await client.ask(request("nope")))["status"] == 404


async def test_their_first_example_with_what_it_leaves_out():
    class Article:
        def __init__(self, id, title):
            self.id, self.title = id, title

    articles = {1: Article(1, "On sockets"), 2: Article(2, "secret")}
    example = run_example(SAY_HELLO, load_article=articles.get)

    class AppSocket(example["AppSocket"]):
        @classmethod
        def routes(cls):
            hello, article = super().routes()
            return [hello, {**article, "check_access": example["can_load_article"]}]

        def on_get_article(self, payload, headers):
            return {"payload": payload}

    async with client_of(AppSocket) as client:
        answer = await client.ask(request("getArticle", {"id": 1}))
        assert answer == response({"id": 1, "title": "On sockets"})
        assert (await client.ask(request("getArticle", {"id": 2})))["status"] == 403
        assert await client.ask(request("sayHello")) == response("Hello, World!")


async def test_their_async_example():
    consumer = run_example(SAY_HELLO_ASYNC)["AppSocketAsync"]
    assert await answer_of(consumer, "sayHello") == ({"msg": "Hello async!"}, 200)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("closing_connections")
async def test_their_article_consumer():
    consumer = run_example(ARTICLES, Article=Group)["ArticleConsumer"]
    async with client_of(consumer) as client:
        answer = await client.ask(request("create", {"name": "On sockets"}))
        article = await Group.objects.aget()
        assert answer == response({"id": article.pk, "name": "On sockets"}, 201)
        for bad in ({}, {"name": "On sockets"}, {"name": ""}, None, []):
            answer = await client.ask(request("create", bad))
            assert answer == response("Unable to create article", 400)
        answer = await client.ask(request("get", headers={"id": article.pk}))
        assert answer == response({"id": article.pk, "name": "On sockets"})
        for headers in ({"id": article.pk + 1}, {}, None):
            assert await client.ask(request("get", headers=headers)) == response(None, 404)


def test_their_table_of_status_codes():
    for name, value in {
        "OK": 200, "CREATED": 201, "ACCEPTED": 202, "NO_CONTENT": 204, "BAD_REQUEST": 400,
        "UNAUTHORIZED": 401, "PENDING": 402, "FORBIDDEN": 403, "NOT_FOUND": 404,
        "PAYLOAD_TOO_LARGE": 413, "URI_TOO_LONG": 414, "RANGE_NOT_SATISFIABLE": 416,
        "TOO_MANY_REQUESTS": 429, "INTERNAL_SERVER_ERROR": 500, "GATEWAY_TIMEOUT": 504,
        "HTTP_VERSION_NOT_SUPPORTED": 505,
    }.items():  # fmt: skip
        assert StatusCodes[name] == value
    assert StatusCodes.__members__.keys() >= OurStatusCodes.__members__.keys()


def test_their_other_names():
    assert AsyncSocketRouterConsumer is SocketRouterConsumer
    assert {error.name: str(error) for error in CallError} == {
        "InvalidData": "Invalid Data",
        "AccessDenied": "Access Denied",
        "RouteNotFound": "Route Not Found",
        "MethodNotImplemented": "Method Not Implemented",
        "BadRequestFormat": "Request Format Error",
        "InternalServerError": "Internal Server Error",
    }
    assert RouteInfo.__args__[1].__origin__ is GenericRouteInfo
    assert set(compat.observable.__all__) >= {"HandlerArg", "RouteInfo", "GenericRouteInfo"}


@pytest.mark.parametrize(
    ("route", "method"),
    [
        ("sayHello", "on_say_hello"),
        ("get", "on_get"),
        ("getURL", "on_get_url"),
        ("get_one", "on_get_one"),
        ("getA1B", "on_get_a1b"),
    ],
)
def test_methods_are_named_after_routes(route, method):
    assert route_to_method_name(route) == method


# Where routes are declared


class Hello(SocketRouterConsumer):
    _routes = ({"route": "sayHello"},)

    def on_say_hello(self, payload):
        return {"payload": f"{self.greeting}, {payload}!"}

    greeting = "Hello"


class ByList(Hello):
    routes = [{"route": "sayHello"}]  # noqa: RUF012


class ByObject(Hello):
    routes = (GenericRouteInfo[str, str](route="sayHello"),)


class ByGenerator(Hello):
    routes = ({"route": route} for route in ["sayHello"])


class BySetter(Hello):
    @SocketRouterConsumer.routes.setter
    def routes(self, value):
        self._routes = [{"route": "sayHello"}]


class ByClassMethod(Hello):
    @classmethod
    def routes(cls):
        return [GenericRouteInfo(route="sayHello")]


class Mixin:
    routes = ({"route": "sayHello"},)


class ByMixin(Mixin, Hello): ...


class ByUnderscore(Hello):
    _routes = [{"route": "sayHello"}]  # noqa: RUF012


FORMS = [Hello, ByList, ByObject, ByGenerator, BySetter, ByClassMethod, ByMixin, ByUnderscore]


@pytest.mark.parametrize("consumer", FORMS)
async def test_routes_may_be_declared_in_any_form(consumer):
    assert await answer_of(consumer, "sayHello", "Ada") == ("Hello, Ada!", 200)


@pytest.mark.parametrize("consumer", FORMS)
async def test_a_subclass_has_the_routes_and_its_own_methods(consumer):
    class Louder(consumer):
        greeting = "HELLO"

        def on_say_hello(self, payload):
            return {"payload": super().on_say_hello(payload)["payload"].upper()}

    assert await answer_of(Louder, "sayHello", "Ada") == ("HELLO, ADA!", 200)


@pytest.mark.parametrize("consumer", FORMS)
async def test_a_subclass_may_add_to_the_routes(consumer):
    class More(consumer):
        @classmethod
        def routes(cls):
            return [*super().routes(), {"route": "sayMore"}]

        def on_say_more(self):
            return {"payload": "more"}

    class Most(More):
        @More.routes.setter
        def routes(self, _):
            self._routes = [*More.routes(), {"route": "sayMost"}]

        def on_say_most(self):
            return {"payload": "most"}

    assert [len(handler.routes()) for handler in (consumer, More, Most)] == [1, 2, 3]
    for route, payload in (("sayHello", "Hello, Ada!"), ("sayMore", "more"), ("sayMost", "most")):
        assert await answer_of(Most, route, "Ada") == (payload, 200)


@pytest.mark.parametrize("kind", [list, tuple])
async def test_a_subclass_may_add_what_its_parents_routes_are_declared_in(kind):
    class Parent(SocketRouterConsumer):
        routes = kind([{"route": "first"}])

        def on_first(self):
            return {"payload": "first"}

    class ByMethod(Parent):
        @classmethod
        def routes(cls):
            return super().routes() + kind([{"route": "second"}])

        def on_second(self):
            return {"payload": "second"}

    class ByProperty(Parent):
        @property
        def routes(self):
            return super().routes + kind([{"route": "second"}])

        on_second = ByMethod.on_second

    class Behind(Parent):
        routes = Parent.routes + kind([{"route": "second"}])

        on_second = ByMethod.on_second

    class Before(Parent):
        routes = kind([{"route": "second"}]) + Parent.routes

        on_second = ByMethod.on_second

    for consumer in (ByMethod, ByProperty, Behind, Before):
        for route in ("first", "second"):
            assert await answer_of(consumer, route) == (route, 200)


def test_what_the_consumer_itself_has_for_routes_is_an_empty_list():
    assert SocketRouterConsumer.routes() == []


def test_the_routes_of_a_class_stay_as_they_were_declared():
    Page = type("Page", (Hello,), {"routes": [{"route": "sayHello"}]})
    Page.routes().append({"route": "never"})
    assert Page.routes() == [{"route": "sayHello"}]


async def test_a_subclass_may_replace_the_routes():
    class Other(Hello):
        routes = ({"route": "other"},)

        def on_other(self):
            return {}

    assert (await answer_of(Other, "sayHello"))[1] == 404
    assert await answer_of(Other, "other") == (None, 200)


async def test_of_routes_with_one_name_the_first_counts():
    class Twice(SocketRouterConsumer):
        routes = ({"route": "go", "dehydrate": str}, {"route": "go"})

        def on_go(self):
            return {"payload": 5}

    assert await answer_of(Twice, "go") == ("5", 200)


async def test_a_router_may_start_from_a_consumer():
    router = SocketRouter(Hello)

    @router.route
    def on_say_more(socket, payload):
        return payload

    assert await answer_of(router, "sayHello", "Ada") == ("Hello, Ada!", 200)
    assert await answer_of(router, "sayMore", "more") == ("more", 200)


async def test_our_own_forms_stand_beside_theirs():
    class Mixed(SocketRouterConsumer):
        routes = ({"route": "go", "login_required": True}, ("stay", "on_stay"))

        def on_go(self, arg):
            return {}

        def on_stay(self, payload):
            return payload

    assert (await answer_of(Mixed, "go"))[1] == 401
    assert await answer_of(Mixed, "stay", 5) == (5, 200)


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        (None, "expected a list of routes, got None"),
        ("sayHello", "expected a list of routes, got 'sayHello'"),
        ({"route": "go"}, "expected a list of routes"),
        (["go"], r'expected \{"route": name, ...\} or a GenericRouteInfo, got \'go\''),
        ([{"check_data": bool}], 'expected {"route": name'),
        ([{"route": 5}], 'expected {"route": name'),
        ([{"route": "go", "hydrat": bool}], "no option 'hydrat'; did you mean 'hydrate'"),
        ([{"route": "go", "hydrate": 5}], "expected a function or the name of a method, got 5"),
        ([{"route": "go", "hydrate": "on_goo"}], "'on_goo', which does not exist; did you mean"),
        ([{"route": "go", "check_data": lambda a, b, c: 1}], "'a' is not known here"),
        ([{"route": "go", "hydrate": lambda obj, store, b: 1}], "'obj' is not known here"),
        ([{"route": "go", "check_access": lambda obj: 1}], "asks for obj, but the route has no"),
        ([{"route": "go", "check_data": lambda *, other: 1}], "'other' is not known here"),
    ],
)
def test_what_is_no_route_is_refused_when_the_class_is_made(routes, message):
    with pytest.raises(DeclarationError, match=message):
        type("Broken", (SocketRouterConsumer,), {"routes": routes, "on_go": lambda self: {}})


def test_a_setter_that_sets_nothing_is_refused():
    with pytest.raises(DeclarationError, match="expected a list of routes, got None"):

        class Broken(SocketRouterConsumer):
            @SocketRouterConsumer.routes.setter
            def routes(self, _): ...


async def test_a_route_without_a_method_is_answered_with_500(caplog):
    class Unfinished(SocketRouterConsumer):
        routes = ({"route": "getArticle", "hydrate": lambda arg: 5},)

    async with client_of(Unfinished) as client:
        for _ in range(2):
            answer = await client.ask(request("getArticle"))
            assert answer == response({"error": "The server failed."}, 500)
    assert "Unfinished.on_get_article, got none; write it" in caplog.text


# What functions take


ARG = {"scope": "/", "headers": {"h": 1}, "payload": {"p": 2}, "store": {}}


def told(value):
    """A HandlerArg, or anything else, as JSON."""
    if isinstance(value, HandlerArg):
        scope = value.scope["path"]
        return {**vars(value), "scope": scope}
    return value


class Method:
    """Methods in all forms, each with what it must be given."""

    def both(self, payload, headers):
        return [payload, headers]

    def turned(self, headers, payload):
        return [payload, headers]

    def without_self(payload, headers):
        return [payload, headers]

    def by_place(self, h, p):
        return [p, h]

    def half_by_name(self, headers, p):
        return [p, headers]

    def other_half_by_name(self, p, headers):
        return [p, headers]

    def payload_second(self, h, payload):
        return [payload, h]

    def payload_first(self, payload, h):
        return [payload, h]

    def argument(self, arg):
        return [arg.payload, arg.headers]

    def argument_of_any_name(self, message):
        return [message.payload, message.headers]

    def argument_and_store(self, arg, store):
        assert arg.store is store
        return [arg.payload, arg.headers]

    def four(self, scope, headers, payload, store, limit=5):
        assert (scope["path"], store, limit) == ("/", {}, 5)
        return [payload, headers]

    def default_first(self, limit=5, payload=None, headers=None):
        assert limit == 5
        return [payload, headers]

    def by_keyword(self, *, payload, headers, **others):
        assert others == {}
        return [payload, headers]

    def with_others(self, h, p, *headers, **payload):
        assert not headers and not payload
        return [p, h]

    def after_a_gap(self, headers, limit=5, payload=None):
        assert limit == 5
        return [payload, headers]

    def anything(self, *args):
        [arg] = args
        return [arg.payload, arg.headers]

    def really_anything(*args, **kwargs):
        self, arg = args
        assert isinstance(self, SocketRouterConsumer) and kwargs == {}
        return [arg.payload, arg.headers]

    @staticmethod
    def static(h, p):
        return [p, h]

    @classmethod
    def of_class(cls, h, p):
        assert issubclass(cls, SocketRouterConsumer)
        return [p, h]

    async def awaited(self, h, p):
        assert threading.current_thread() is threading.main_thread()
        return [p, h]

    partial = functools.partial(lambda greeting, h, p: [p, h], "Hello")


@pytest.mark.parametrize("name", [name for name in vars(Method) if not name.startswith("_")])
async def test_a_method_takes_its_arguments_in_any_form(name):
    method = vars(Method)[name]

    class Consumer(SocketRouterConsumer):
        routes = ({"route": "go", "dehydrate": lambda data: data},)
        on_go = method

    answer = await answer_of(Consumer, "go", {"p": 2}, headers={"h": 1})
    assert answer == ([{"p": 2}, {"h": 1}], 200)


class Callable:
    def __call__(self, arg):
        return told(arg)


class AsyncCallable:
    async def __call__(self, arg):
        return told(arg)


async def hydrate_async(arg):
    return told(arg)


@pytest.mark.parametrize(
    "hydrate",
    [
        lambda arg: told(arg),
        lambda anything: told(anything),
        lambda a, limit=5: told(a),
        lambda *args: told(*args),
        functools.partial(lambda prefix, a: told(a), "x"),
        told,
        hydrate_async,
        lambda arg: hydrate_async(arg),
        Callable(),
        AsyncCallable(),
        functools.partial(hydrate_async),
    ],
)
async def test_a_function_with_one_parameter_gets_the_argument(hydrate):
    consumer = consumer_of(lambda self, payload: {"payload": payload}, hydrate=hydrate)
    assert await answer_of(consumer, "go", {"p": 2}, headers={"h": 1}) == (ARG, 200)


async def test_functions_may_be_methods_of_the_class():
    class Consumer(SocketRouterConsumer):
        def may_go(self, arg):
            return self.scope is arg.scope

        def load(self, headers, payload):
            return [self.path, payload]

        routes = ({"route": "go", "check_access": "may_go", "hydrate": load},)

        def on_go(self, payload):
            return {"payload": payload}

    assert await answer_of(Consumer, "go", 5) == (["/", 5], 200)


@pytest.mark.parametrize(
    "dehydrate",
    [
        str,
        lambda anything: str(anything),
        lambda payload: str(payload),
        lambda headers, p: str(p),
        sync_to_async(str),
    ],
)
async def test_dehydrate_gets_the_payload_of_a_success(dehydrate):
    consumer = consumer_of(
        lambda self, payload: {"payload": payload, "status": payload}, dehydrate=dehydrate
    )
    assert await answer_of(consumer, "go", 201) == ("201", 201)
    assert await answer_of(consumer, "go", 299) == ("299", 299)
    assert await answer_of(consumer, "go", 404) == (404, 404)
    assert await answer_of(consumer, "go", 300) == (300, 300)


async def test_headers_that_are_null_arrive_empty():
    consumer = consumer_of(lambda self, arg: {"payload": [arg.headers, arg.payload]})
    async with client_of(consumer) as client:
        assert await client.ask(request("go", headers=None)) == response([{}, None])
        assert await client.ask({"route": "go", "uuid": 1}) == response([{}, None], uuid=1)


async def test_a_message_has_one_store():
    def remember(arg):
        arg.store["seen"] = [*arg.store.get("seen", []), len(arg.store)]
        return True

    consumer = consumer_of(
        lambda self, store: {"payload": store["seen"]},
        check_access=remember,
        check_data=remember,
        hydrate=remember,
    )
    async with client_of(consumer) as client:
        for _ in range(2):
            assert await client.ask(request("go")) == response([0, 1, 1])


async def test_none_from_hydrate_runs_the_method():
    consumer = consumer_of(
        lambda self, payload: {"payload": payload is None}, hydrate=lambda arg: None
    )
    assert await answer_of(consumer, "go", 5) == (True, 200)


# What checks refuse


async def check_async(arg):
    return arg.payload


@pytest.mark.parametrize(
    ("option", "status"), [("check_access", 403), ("check_data", 400)], ids=["access", "data"]
)
@pytest.mark.parametrize(
    "check", [lambda arg: arg.payload, check_async, lambda arg: check_async(arg)]
)
@pytest.mark.parametrize("falsy", [False, None, 0, "", []])
async def test_a_check_refuses_with_whatever_is_false(option, status, check, falsy):
    ran = []

    def method(self, arg):
        ran.append(arg.payload)
        return {}

    consumer = consumer_of(method, **{option: check})
    payload, refused = await answer_of(consumer, "go", falsy)
    assert (payload.keys(), refused, ran) == ({"error"}, status, [])
    assert await answer_of(consumer, "go", ["truthy"]) == (None, 200)
    assert ran == [["truthy"]]


@pytest.mark.parametrize("name", ["obj", "fetched_data"])
@pytest.mark.parametrize("check", ["check_access", "check_data"])
async def test_a_check_of_what_is_loaded_is_asked_after_it(check, name):
    check_loaded = eval(f"lambda scope, {name}: {name} == 'loaded'")
    options = {check: check_loaded, "hydrate": lambda headers, p: p}
    consumer = consumer_of(lambda self, payload: {"payload": payload}, **options)
    assert await answer_of(consumer, "go", "loaded") == ("loaded", 200)
    assert (await answer_of(consumer, "go", "else"))[1] == (403 if "access" in check else 400)


async def test_access_is_asked_before_the_data_is_looked_at():
    order = []

    def step(name):
        return lambda arg: order.append(name) or True

    names = ("check_data", "check_access", "hydrate")
    consumer = consumer_of(**{name: step(name) for name in names})
    assert (await answer_of(consumer, "go"))[1] == 200
    assert order == ["check_access", "check_data", "hydrate"]


@pytest.mark.parametrize("stage", ["check_access", "check_data", "hydrate", "dehydrate"])
async def test_a_fault_of_any_stage_is_answered(stage, caplog):
    def fail(arg):
        raise RuntimeError("expected to be seen in the log only")

    assert await answer_of(consumer_of(**{stage: fail}), "go") == (
        {"error": "The server failed."},
        500,
    )
    assert "expected to be seen in the log only" in caplog.text


async def test_exceptions_of_django_keep_their_status():
    def missing(arg):
        raise Http404("No such article.")

    assert await answer_of(consumer_of(missing), "go") == ({"error": "No such article."}, 404)


async def test_permissions_may_be_required():
    consumer = consumer_of(require_perms("auth.view_user")(lambda self, payload: {}))
    assert (await answer_of(consumer, "go"))[1] == 401


# What methods return


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({}, response(None)),
        ({"payload": 5}, response(5)),
        ({"status": 404}, response(None, 404)),
        ({"status": None, "payload": None, "headers": None}, response(None)),
        ({"status": StatusCodes.PENDING}, response(None, 402)),
        ({"headers": {"a": 1}}, response(None, headers={"a": 1})),
        ({"payload": 5, "more": "ignored"}, response(5)),
        ({"payload": {"error": CallError.InvalidData}}, response({"error": "Invalid Data"})),
        ({"name": "Ada"}, response({"name": "Ada"})),
        ("text", response("text")),
        (Reply(1, 201, {"a": 1}), response(1, 201, headers={"a": 1})),
        (("text", 201), response("text", 201)),
        (None, response(None, 204)),
    ],
)
async def test_results_may_lack_any_key(result, expected):
    async def method(self):
        return result

    async with client_of(consumer_of(method)) as client:
        assert await client.ask(request("go")) == expected
    async with client_of(consumer_of(lambda self: result)) as client:
        assert await client.ask(request("go")) == expected


@pytest.mark.parametrize("status", [206, 100, 600, "200"])
async def test_a_status_that_no_reply_has_is_a_fault(status):
    consumer = consumer_of(lambda self: {"status": status})
    assert (await answer_of(consumer, "go"))[1] == 500


async def test_a_generator_answers_in_parts():
    async def count(self, payload):
        for number in range(payload):
            yield number

    consumer = consumer_of(count)
    assert consumer._declared.own_routes[0].concurrent
    async with client_of(consumer) as client:
        await client.send_json_to(request("go", 2))
        frames = [await client.receive_json_from() for _ in range(3)]
    assert [(frame["status"], frame["payload"]) for frame in frames] == [
        *((206, 0), (206, 1)),
        (200, None),
    ]


async def test_methods_run_where_their_colour_has_them_run():
    async def on_loop(self):
        return {"payload": threading.current_thread() is threading.main_thread()}

    def in_thread(self):
        return {"payload": threading.current_thread() is threading.main_thread()}

    assert await answer_of(consumer_of(on_loop), "go") == (True, 200)
    assert await answer_of(consumer_of(in_thread), "go") == (False, 200)


# Connecting


class Accepting(Hello):
    def connect(self):
        self.accept()


class AcceptingAsync(Hello):
    async def connect(self):
        await self.accept()


class CallingSuper(Hello):
    def connect(self):
        super().connect()

    def disconnect(self, code):
        super().disconnect(code)


class CallingSuperAsync(Hello):
    async def connect(self):
        await super().connect()

    async def disconnect(self, code):
        await super().disconnect(code)


@pytest.mark.parametrize("consumer", [Accepting, AcceptingAsync, CallingSuper, CallingSuperAsync])
async def test_connect_may_accept_in_either_colour(consumer, caplog):
    assert await answer_of(consumer, "sayHello", "Ada") == ("Hello, Ada!", 200)
    assert caplog.records == []


class Forgetful(Hello):
    def connect(self): ...


class ForgetfulAsync(Hello):
    async def connect(self): ...


@pytest.mark.parametrize("consumer", [Forgetful, ForgetfulAsync])
async def test_connect_that_decides_nothing_refuses_with_a_warning(consumer, caplog):
    client = Client(consumer.as_asgi(), "/")
    assert await client.connect() == (False, 4403)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{consumer.__name__}.connect has neither accepted the client nor closed" in caplog.text


async def test_connect_may_close():
    class Closing(Hello):
        async def connect(self):
            await self.close(4001)

    client = Client(Closing.as_asgi(), "/")
    assert await client.connect() == (False, 4001)


async def test_it_is_mounted_as_theirs_is():
    application = URLRouter([re_path(r"ws/app/$", Hello.as_asgi())])
    client = WebsocketCommunicator(application, "/ws/app/")
    assert await client.connect() == (True, None)
    await client.send_to(json.dumps(request("sayHello", "Ada")))
    assert json.loads(await client.receive_from()) == response("Hello, Ada!")
    await client.disconnect()


async def test_a_page_may_ask_for_everything_at_once():
    async with client_of(consumer_of(lambda self, payload: {"payload": payload})) as client:
        for number in range(200):
            await client.send_json_to(request("go", number, uuid=number))
        for number in range(200):
            assert await client.receive_json_from() == response(number, uuid=number)


async def test_a_ping_is_answered_while_a_method_sleeps():
    async def method(self):
        await asyncio.sleep(0.1)
        return {}

    async with client_of(consumer_of(method)) as client:
        await client.send_json_to(request("go"))
        assert await client.ask(request("PING", {}, uuid="hb")) == PONG
        assert await client.receive_json_from() == response(None)
