"""The wire of Django Channels REST framework: frames of five keys, alone or in streams."""

import asyncio
import json
import re
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID

import pytest
from channels.layers import get_channel_layer
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404
from django.views import View
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from rest_framework import exceptions, serializers

from sockets import Reply, RoutedSocketHandler, SocketError, SocketRouter, groups
from sockets.exceptions import DeclarationError, HandlerFault, InvalidFrame, UnknownKey
from sockets.protocols.dcrf import DCRF

from .clients import client_of
from .servers import ROOT
from .test_fuzz import fuzzing

REFERENCE = (ROOT / "docs" / "reference.md").read_text()

dcrf = DCRF()
KEYS = ["errors", "data", "action", "response_status", "request_id"]
NOT_ALLOWED = "You do not have permission to perform this action."


def decoded(frame):
    return dcrf.decode(json.dumps(frame))


def frame(action, data=None, status=200, ref=None, errors=()):
    values = [list(errors), data, action, status, ref]
    return dict(zip(KEYS, values, strict=True))


def router():
    return SocketRouter(protocols=(DCRF(),))


async def in_stream(client, stream, **payload):
    """Send a request in a stream, and return the frame that comes in it."""
    answer = await client.ask({"stream": stream, "payload": payload})
    assert answer.keys() == {"stream", "payload"}
    assert answer["stream"] == stream
    return answer["payload"]


# Decoding


def test_the_action_is_the_key_and_all_keys_beside_it_are_the_content():
    message = decoded({"action": "list", "request_id": 7, "data": {}, "limit": 5})
    assert (message.key, message.ref) == ("list", 7)
    assert message.content == {"data": {}, "limit": 5}


@pytest.mark.parametrize("ref", ["a", "", 7, 0, 1.5, None, True, [1], {"a": {"b": []}}])
def test_a_request_id_may_be_anything_and_is_repeated_as_it_is(ref):
    message = decoded({"action": "list", "request_id": ref})
    answer = dcrf.reply(message, None, 200, None)
    assert json.dumps(json.loads(answer)["request_id"]) == json.dumps(ref)


def test_a_request_without_an_id_is_answered_with_null():
    assert json.loads(dcrf.reply(decoded({"action": "a"}), 1, 200, None)) == frame("a", 1)


def test_a_frame_in_a_stream_is_its_payload():
    message = decoded({"stream": "books", "payload": {"action": "list", "request_id": 1, "a": 2}})
    assert (message.stream, message.action, message.ref) == ("books", "list", 1)
    assert message.content == {"a": 2}


def test_keys_beside_stream_and_payload_are_ignored():
    message = decoded({"stream": "books", "payload": {"action": "list"}, "token": "t"})
    assert (message.stream, message.content) == ("books", {})


def test_an_action_may_have_a_stream_and_a_payload_of_its_own():
    message = decoded({"action": "listen", "stream": "news", "payload": {"a": 1}})
    assert (message.stream, message.key) == (None, "listen")
    assert message.content == {"stream": "news", "payload": {"a": 1}}


def test_half_of_a_character_does_not_cost_the_answer():
    message = dcrf.decode(r'{"action": "say", "request_id": "a", "text": "cut: \ud83d"}')
    assert (message.ref, message.content["text"]) == ("a", "cut: \ufffd")


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", '"list"', "NaN", "[" * 100_000])
def test_a_frame_that_is_no_object_is_refused(text):
    with pytest.raises(InvalidFrame, match="expected a JSON object"):
        dcrf.decode(text)


def test_a_binary_frame_is_refused():
    with pytest.raises(InvalidFrame, match="expected a JSON text frame, got 2 bytes"):
        dcrf.decode(b"{}")


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_an_id_that_could_not_be_written_again_is_refused(opened, closed):
    for levels in (1, 15):
        nested = opened * levels + "1" + closed * levels
        message = dcrf.decode(f'{{"action": "list", "request_id": {nested}}}')
        assert json.loads(dcrf.reply(message, 1, 200, None))["request_id"] == json.loads(nested)
    for levels in (17, 100, 900):
        nested = opened * levels + "1" + closed * levels
        with pytest.raises(InvalidFrame, match="expected a request_id of at most 16 levels"):
            dcrf.decode(f'{{"action": "list", "request_id": {nested}}}')


LARGE = "x" * 100_000


@pytest.mark.parametrize("ref", ["a", 7, None])
def test_of_a_frame_that_is_too_large_what_its_refusal_repeats_is_read(ref):
    request = {"action": "create", "data": {"text": LARGE}, "request_id": ref}
    bare = dcrf.outline(json.dumps(request))
    assert (bare.key, bare.ref, bare.action, bare.stream) == (None, ref, "create", None)
    wrapped = dcrf.outline(json.dumps({"stream": "books", "payload": request}))
    assert (wrapped.key, wrapped.ref, wrapped.action) == (None, ref, "create")
    assert wrapped.stream == "books"


@pytest.mark.parametrize(
    ("frame", "repeated"),
    [
        ({"action": "listen", "stream": "news", "payload": LARGE, "request_id": 1}, (1, None)),
        ({"stream": "books", "payload": LARGE}, (None, "books")),
        ({"stream": "books", "payload": {"data": LARGE, "request_id": [1]}}, (None, "books")),
        ({"stream": 5, "payload": {"data": LARGE, "request_id": 1}}, (None, None)),
        ({"action": {"a": 1}, "data": LARGE, "request_id": 1}, (None, None)),
        ({"action": "create", "data": LARGE, "request_id": {"a": 1}}, (None, None)),
        ([LARGE], (None, None)),
        (LARGE, (None, None)),
    ],
    ids=range(8),
)
def test_what_cannot_be_read_quickly_is_left_out(frame, repeated):
    message = dcrf.outline(json.dumps(frame))
    assert (message.ref, message.stream) == repeated


async def test_the_refusal_of_a_frame_that_is_too_large_comes_where_it_is_waited_for():
    details = "expected a frame of at most 65536 bytes, got "
    request = {"action": "create", "text": LARGE, "request_id": "a"}
    async with client_of(router()) as client:
        for answer in (await client.ask(request), await in_stream(client, "books", **request)):
            [error] = answer["errors"]
            assert error.startswith(details)
            assert answer == frame("create", status=413, ref="a", errors=[error])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
requests = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("action", "request_id", "stream", "payload", "pk"), values)
)


@fuzzing
@given(requests | requests.map(lambda payload: {"stream": "books", "payload": payload}))
def test_whatever_an_object_holds_it_can_be_answered_where_it_came_from(content):
    try:
        message = decoded(content)
    except InvalidFrame:
        return  # numbers out of the range of JSON's readers
    answer = json.loads(dcrf.error(UnknownKey("Unknown."), message))
    if message.stream is not None:
        assert answer["stream"] == content["stream"]
        answer = answer["payload"]
    assert list(answer) == KEYS
    assert answer["response_status"] == 405


@pytest.mark.parametrize(("name", "key"), [("on_list", "list"), ("create", "create")])
def test_the_key_of_a_function_is_its_name(name, key):
    assert dcrf.key(name) == key


# Replies


async def test_every_frame_has_exactly_five_keys():
    socket = router()

    @socket.route("list")
    async def on_list(socket):
        return [1, 2]

    @socket.route("fail")
    async def on_fail(socket):
        raise SocketError("No.", status=418)

    @socket.route("push")
    async def on_push(socket):
        socket.send_action("update", pk=1)

    async with client_of(socket) as client:
        for action in ("list", "fail", "push", "unknown"):
            assert list(await client.ask({"action": action, "request_id": 1})) == KEYS


@pytest.mark.parametrize(
    ("value", "data", "status"),
    [
        ([{"pk": 1}], [{"pk": 1}], 200),
        ({"pk": 1}, {"pk": 1}, 200),
        (({"pk": 1}, 201), {"pk": 1}, 201),
        ((None, 201), None, 201),
        ((None, 204), None, 204),
        (Reply("a", 202), "a", 202),
        (("a", "b"), ["a", "b"], 200),
        (False, False, 200),
    ],
)
async def test_what_a_function_returns_is_the_data_and_the_status(value, data, status):
    socket = router()

    @socket.route("do")
    async def on_do(socket):
        return value

    async with client_of(socket) as client:
        answer = await client.ask({"action": "do", "request_id": "r"})
        assert answer == frame("do", data, status, "r")


@pytest.mark.parametrize("request_id", [{}, {"request_id": None}, {"request_id": "r"}])
async def test_a_function_that_returns_nothing_is_answered_too(request_id):
    """A client waits for ever for a request that nobody answers."""
    socket = router()

    @socket.route("do")
    def on_do(socket): ...

    async with client_of(socket) as client:
        answer = await client.ask({"action": "do", **request_id})
        assert answer == frame("do", None, 204, request_id.get("request_id"))


async def test_the_ref_of_a_function_is_the_request_id_as_it_came():
    socket = router()

    @socket.route("do")
    async def on_do(socket, ref, content):
        return [ref, content]

    async with client_of(socket) as client:
        answer = await client.ask({"action": "do", "request_id": {"n": [1]}, "pk": 5})
        assert answer["data"] == [{"n": [1]}, {"pk": 5}]


async def test_fields_are_the_keys_beside_the_action():
    socket = router()

    class Book(Struct):
        title: str

    @socket.route("update")
    async def on_update(socket, *, pk: int, data: Book):
        return {"pk": pk, "title": data.title}

    async with client_of(socket) as client:
        message = {"action": "update", "request_id": 1, "pk": 5, "data": {"title": "Emma"}}
        assert (await client.ask(message))["data"] == {"pk": 5, "title": "Emma"}


async def test_answers_come_in_the_order_of_the_requests():
    socket = router()

    @socket.route("slow")
    async def on_slow(socket):
        await asyncio.sleep(0.05)

    @socket.route("fast")
    async def on_fast(socket): ...

    async with client_of(socket) as client:
        await client.send_json_to({"action": "slow", "request_id": 1})
        answers = [await client.ask({"action": "fast", "request_id": 2})]
        answers.append(await client.receive_json_from())
        assert [answer["request_id"] for answer in answers] == [1, 2]


@pytest.mark.parametrize("ref", ["a", 1, [1], {"a": 1}])
async def test_a_request_id_in_use_may_be_used_again(ref):
    """A client repeats the id of its subscription when it ends it, and when it returns."""
    socket, gate = router(), asyncio.Event()

    @socket.route("subscribe_instance", concurrent=True)
    async def on_subscribe(socket):
        await gate.wait()
        return None, 201

    @socket.route("unsubscribe_instance")
    async def on_unsubscribe(socket):
        return None, 204

    async with client_of(socket) as client:
        for _ in range(2):
            await client.send_json_to({"action": "subscribe_instance", "request_id": ref})
        answer = await client.ask({"action": "unsubscribe_instance", "request_id": ref})
        assert answer == frame("unsubscribe_instance", None, 204, ref)
        gate.set()
        for _ in range(2):
            assert await client.receive_json_from() == frame("subscribe_instance", None, 201, ref)


async def test_a_time_out_is_an_answer():
    socket = router()

    @socket.route("slow", timeout=0.05)
    async def on_slow(socket):
        await asyncio.sleep(60)

    async with client_of(socket) as client:
        await client.send_json_to({"action": "slow", "request_id": [1]})
        answer = await client.receive_json_from(timeout=5)
        assert (answer["response_status"], answer["request_id"]) == (504, [1])


# Streams of parts


async def test_parts_are_frames_with_200_and_nothing_tells_their_end():
    socket = router()

    @socket.route("list")
    async def on_list(socket):
        yield {"offset": 0}
        yield {"offset": 2}

    @socket.route("next")
    async def on_next(socket): ...

    async with client_of(socket) as client:
        first = await client.ask({"action": "list", "request_id": 1})
        assert first == frame("list", {"offset": 0}, 200, 1)
        assert await client.receive_json_from() == frame("list", {"offset": 2}, 200, 1)
        assert (await client.ask({"action": "next"}))["action"] == "next"


async def test_a_generator_without_parts_is_answered():
    socket = router()

    @socket.route("list")
    def on_list(socket):
        yield from ()

    async with client_of(socket) as client:
        assert await client.ask({"action": "list"}) == frame("list", None, 204)


async def test_a_fault_after_some_parts_is_told():
    socket = router()

    @socket.route("list")
    async def on_list(socket):
        yield 1
        raise SocketError("No more.", status=409)

    async with client_of(socket) as client:
        assert (await client.ask({"action": "list", "request_id": 1}))["data"] == 1
        answer = await client.receive_json_from()
        assert answer == frame("list", None, 409, 1, ["No more."])


# Errors


async def test_an_unknown_action():
    async with client_of(router()) as client:
        answer = await client.ask({"action": "x", "request_id": 1})
        assert answer == frame("x", None, 405, 1, ['Method "x" not allowed.'])


@pytest.mark.parametrize("action", [5, 1.5, True, False])
async def test_an_action_that_is_no_text_is_unknown(action):
    async with client_of(router()) as client:
        answer = await client.ask({"action": action, "request_id": 1})
        assert (answer["response_status"], answer["action"]) == (405, action)
        assert answer["errors"][0].endswith("not allowed.")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"action": None},
        {"action": ["list"]},
        {"action": {"a": 1}},
        {"stream": "books"},
        {"payload": {}},
    ],
)
async def test_a_request_without_an_action(content):
    async with client_of(router()) as client:
        answer = await client.ask({**content, "request_id": 1})
        expected = "Unable to find action in message body."
        assert answer == frame(None, None, 405, 1, [expected])


async def test_a_long_action_is_cut_in_the_text():
    async with client_of(router()) as client:
        [text] = (await client.ask({"action": "x" * 1000}))["errors"]
        assert text == f'Method "{"x" * 80}" not allowed.'


@pytest.mark.parametrize("action", ["HELLO", "PING", "JOIN", "LEAVE", "CANCEL", "TIME_SYNC"])
async def test_the_built_in_routes_of_the_native_wire_are_unknown(action):
    async with client_of(router()) as client:
        answer = await client.ask({"action": action, "request_id": 1, "group": "a"})
        assert answer["response_status"] == 405


async def test_a_handler_may_have_both_wires():
    socket = SocketRouter(protocols=(DCRF(), *RoutedSocketHandler.protocols))
    async with client_of(socket) as client:
        assert (await client.ask({"action": "TIME_SYNC"}))["response_status"] == 405
    async with client_of(socket, subprotocols=["sockets.json", "sockets.dcrf"]) as client:
        assert (await client.ask({"type": "TIME_SYNC"}))["type"] == "TIME_SYNC"
        assert (await client.ask({"type": "list", "ref": 1}))["status"] == 404


class BookSerializer(serializers.Serializer):
    title = serializers.CharField()
    pages = serializers.ListField(child=serializers.IntegerField(), required=False)


def validate(data):
    BookSerializer(data=data).is_valid(raise_exception=True)


NO_OBJECT = "Invalid data. Expected a dictionary, but got list."


@pytest.mark.parametrize(
    ("fault", "status", "errors"),
    [
        pytest.param(
            lambda: validate({}), 400, [{"title": ["This field is required."]}], id="dict"
        ),
        pytest.param(
            lambda: validate({"title": "a", "pages": [1, "x"]}),
            400,
            [{"pages": {"1": ["A valid integer is required."]}}],
            id="nested",
        ),
        pytest.param(lambda: validate([]), 400, [{"non_field_errors": [NO_OBJECT]}], id="no dict"),
        pytest.param(exceptions.ValidationError(["a", "b"]), 400, ["a", "b"], id="list"),
        pytest.param(exceptions.Throttled(), 429, ["Request was throttled."], id="APIException"),
        pytest.param(exceptions.NotFound("No such shop."), 404, ["No such shop."], id="NotFound"),
        pytest.param(
            ValidationError({"title": ["Too long.", "Too dull."], "__all__": ["No."]}),
            400,
            [{"title": ["Too long.", "Too dull."], "non_field_errors": ["No."]}],
            id="Django's fields",
        ),
        pytest.param(ValidationError(["a", "b"]), 400, ["a", "b"], id="Django's list"),
        pytest.param(PermissionDenied(), 403, [NOT_ALLOWED], id="PermissionDenied"),
        pytest.param(PermissionDenied("Staff only."), 403, ["Staff only."], id="403 with text"),
        pytest.param(Http404("No Book matches."), 404, ["Not found"], id="Http404"),
        pytest.param(User.DoesNotExist("No User."), 404, ["Not found"], id="DoesNotExist"),
        pytest.param(SocketError("Gone.", status=410), 410, ["Gone."], id="SocketError"),
        pytest.param(SocketError("No.", errors=["a", "b"]), 400, ["a", "b"], id="errors"),
    ],
)
async def test_faults_have_the_forms_that_clients_know(fault, status, errors):
    socket = router()

    @socket.route("do")
    async def on_do(socket):
        if callable(fault):
            fault()
        raise fault

    async with client_of(socket) as client:
        answer = await client.ask({"action": "do", "request_id": 1})
        assert answer == frame("do", None, status, 1, errors)


async def test_a_refusal_keeps_its_words_whatever_it_is_raised_from():
    socket = router()

    @socket.route("do")
    async def on_do(socket):
        raise SocketError("This book was sold.", status=404) from User.DoesNotExist()

    async with client_of(socket) as client:
        assert (await client.ask({"action": "do"}))["errors"] == ["This book was sold."]


async def test_a_fault_that_nobody_foresaw_is_answered_and_the_connection_lives(caplog):
    socket = router()

    @socket.route("do")
    async def on_do(socket, *, fail: bool):
        if fail:
            raise ZeroDivisionError
        return "done"

    async with client_of(socket) as client:
        answer = await client.ask({"action": "do", "request_id": 1, "fail": True})
        assert answer == frame("do", None, 500, 1, ["The server failed."])
        assert (await client.ask({"action": "do", "fail": False}))["data"] == "done"
    assert "'do' of user" in caplog.text


async def test_missing_and_faulty_fields_are_told_by_name():
    socket = router()

    class Book(Struct):
        title: str
        pages: int

    @socket.route("update")
    async def on_update(socket, *, pk: int, data: Book): ...

    async with client_of(socket) as client:
        [errors] = (await client.ask({"action": "update"}))["errors"]
        assert errors == {name: ["This field is required."] for name in ("pk", "data")}
        message = {"action": "update", "pk": "x", "data": {"pages": "y"}}
        answer = await client.ask(message)
        assert answer["response_status"] == 400
        [errors] = answer["errors"]
        assert errors.keys() == {"pk", "title", "pages"}
        assert errors["title"] == ["This field is required."]


async def test_anonymous_users_are_refused_with_403():
    socket = router()

    @socket.route("private", login_required=True)
    async def on_private(socket): ...

    @socket.route("staff", guards=[lambda socket: False])
    async def on_staff(socket): ...

    async with client_of(socket, user=AnonymousUser()) as client:
        for action in ("private", "staff"):
            answer = await client.ask({"action": action, "request_id": 1})
            assert answer == frame(action, None, 403, 1, [NOT_ALLOWED])


@pytest.mark.parametrize("text", ["{", "[]", "5", "null", '"list"', "[" * 1000])
async def test_a_frame_that_is_no_request_is_answered(text):
    socket = router()

    @socket.route("do")
    async def on_do(socket): ...

    async with client_of(socket) as client:
        await client.send_to(text_data=text)
        answer = await client.receive_json_from()
        [error] = answer.pop("errors")
        assert error.startswith("expected a JSON object")
        assert answer == {"data": None, "action": None, "response_status": 400, "request_id": None}
        assert (await client.ask({"action": "do"}))["response_status"] == 204


async def test_a_binary_frame_is_answered():
    async with client_of(router()) as client:
        await client.send_to(bytes_data=b"{}")
        assert (await client.receive_json_from())["response_status"] == 400


def test_an_error_that_answers_nothing():
    answer = json.loads(dcrf.error(HandlerFault("No."), None))
    assert answer == frame(None, None, 500, None, ["No."])


async def test_clients_cannot_be_asked(caplog):
    socket = router()

    @socket.route("do")
    async def on_do(socket):
        await socket.call("SURE")

    async with client_of(socket) as client:
        assert (await client.ask({"action": "do"}))["response_status"] == 500
    assert "got DCRF; ask with send_action('SURE', ...)" in caplog.text


def test_clients_are_asked_for_no_sign_of_life():
    assert dcrf.ping() is None


async def test_who_must_log_in_is_told_and_closed():
    async with client_of(
        SocketRouter(protocols=(DCRF(),), login_required=True), user=AnonymousUser()
    ) as client:
        answer = await client.ask({"action": "list"})
        assert (answer["action"], list(answer)) == ("RECONNECT", KEYS)
        assert await client.next_close() == 4401


# Events


async def test_an_event_answers_the_id_of_its_subscription():
    socket = router()

    @socket.route("subscribe_instance")
    async def on_subscribe(socket, ref, *, pk: int):
        socket.send_action("update", request_id=ref, data={"pk": pk, "title": "Emma"})
        socket.send_action("delete", request_id=ref, response_status=204, pk=pk)
        socket.send_action("update", request_id=ref, response_status=404, errors=["Not found"])
        return None, 201

    async with client_of(socket) as client:
        message = {"action": "subscribe_instance", "request_id": 9, "pk": 5}
        assert await client.ask(message) == frame("update", {"pk": 5, "title": "Emma"}, 200, 9)
        assert await client.receive_json_from() == frame("delete", {"pk": 5}, 204, 9)
        assert await client.receive_json_from() == frame("update", None, 404, 9, ["Not found"])
        assert await client.receive_json_from() == frame("subscribe_instance", None, 201, 9)


def test_the_fields_of_an_action_are_its_data():
    assert json.loads(dcrf.action("CHAT", {"text": "hi"})) == frame("CHAT", {"text": "hi"})
    assert json.loads(dcrf.action("CHAT", {"data": [1]})) == frame("CHAT", [1])
    assert json.loads(dcrf.action("CHAT", {})) == frame("CHAT")


def test_fields_beside_data_are_refused():
    with pytest.raises(ValueError, match="expected no fields beside data, got text"):
        dcrf.action("CHAT", {"data": {}, "text": "hi"})


def test_an_action_may_name_its_stream():
    expected = {"stream": "books", "payload": frame("update", {"pk": UUID(int=5).hex})}
    written = dcrf.action("update", {"stream": "books", "pk": UUID(int=5).hex})
    assert json.loads(written) == expected


def test_an_event_is_what_was_given():
    content = {"message": {"pk": 1}, "request_id": "s"}
    assert json.loads(dcrf.event(content)) == content
    assert dcrf.event_of_json(b'{"a":1}') == '{"a":1}'


def test_broadcasts_of_actions_are_the_same_frames():
    fields = b'{"stream":"books","request_id":"s","data":{"pk":1}}'
    expected = {"stream": "books", "payload": frame("update", {"pk": 1}, 200, "s")}
    assert json.loads(dcrf.action_of_json("update", fields)) == expected


def test_values_become_what_they_are_everywhere():
    data = {"pk": UUID(int=1), "price": Decimal("1.50")}
    answer = json.loads(dcrf.reply(decoded({"action": "a"}), data, 200, None))
    assert answer["data"] == {"pk": str(UUID(int=1)), "price": "1.50"}
    with pytest.raises(ValueError, match=r"got nan at .*price"):
        dcrf.reply(decoded({"action": "a"}), {"price": float("nan")}, 200, None)


def test_the_events_of_the_reference_are_those_of_subscriptions():
    section = REFERENCE.partition("### The wire of Django Channels REST framework")[2]
    [block, *_] = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    sent = []
    socket = SimpleNamespace(send_action=lambda type, **fields: sent.append((type, fields)))
    exec(block, {"socket": socket, "ref": "s"})
    assert [json.loads(dcrf.action(*event)) for event in sent] == [
        frame("update", {"pk": 5, "title": "Emma"}, 200, "s"),
        frame("delete", {"pk": 5}, 204, "s"),
    ]


# Several routers as streams of one connection


def library():
    """A router with the streams `books` and `people`, and an action in none."""
    books, people = router(), router()

    @books.route("list")
    async def list_books(socket):
        return ["Emma"]

    @books.route("fail")
    async def fail(socket):
        raise ZeroDivisionError

    @books.route("tell")
    async def tell(socket):
        socket.send_json({"plain": True})
        socket.send_action("told", a=1)

    @books.route(re.compile("by_(?P<author>.+)"))
    def list_by(socket, author):
        socket.send_action("searched")
        return author

    @people.route("list")
    async def list_people(socket):
        return ["Jane"]

    @people.default_route
    async def other(socket, content, message):
        return [message.action, content]

    socket = router()
    socket.include(books, stream="books")
    socket.include(people, stream="people")

    @socket.route("list")
    async def list_streams(socket):
        return ["books", "people"]

    @socket.route(re.compile("all.*"))
    async def wide(socket):
        return "wide"

    return socket


async def test_the_library_of_the_reference_has_its_streams():
    section = REFERENCE.partition("### The wire of Django Channels REST framework")[2]
    [block] = re.findall(r"^```python\n(class .*?)^```$", section, re.MULTILINE | re.DOTALL)
    books, people = router(), router()
    books.route("list")(lambda socket: ["Emma"])
    people.route("list")(lambda socket: ["Jane"])
    page = {"View": View, "SocketRouter": SocketRouter, "DCRF": DCRF}
    exec(block, {**page, "books": books, "people": people}, page)
    async with client_of(page["Library"].socket) as client:
        assert (await in_stream(client, "books", action="list"))["data"] == ["Emma"]
        assert (await in_stream(client, "people", action="list"))["data"] == ["Jane"]


async def test_streams_have_keys_of_their_own():
    async with client_of(library()) as client:
        answer = await in_stream(client, "books", action="list", request_id=1)
        assert answer == frame("list", ["Emma"], 200, 1)
        assert (await in_stream(client, "people", action="list"))["data"] == ["Jane"]
        assert (await client.ask({"action": "list"}))["data"] == ["books", "people"]


async def test_routes_in_no_stream_take_no_message_of_one():
    async with client_of(library()) as client:
        assert (await client.ask({"action": "all_books"}))["data"] == "wide"
        answer = await in_stream(client, "books", action="all_books", request_id=1)
        assert answer == frame("all_books", None, 405, 1, ['Method "all_books" not allowed.'])


@pytest.mark.parametrize("first", [True, False])
async def test_a_regex_for_everything_takes_no_message_of_a_stream(first):
    books, socket = router(), router()
    books.route("list")(lambda socket: "books")
    everything = socket.route(re.compile("(?s).*"))
    if first:
        everything(lambda socket: "everything")
    socket.include(books, stream="books")
    if not first:
        everything(lambda socket: "everything")
    async with client_of(socket) as client:
        assert (await in_stream(client, "books", action="list"))["data"] == "books"
        assert (await in_stream(client, "books", action="x"))["response_status"] == 405
        assert (await in_stream(client, "shop", action="x"))["response_status"] == 404
        assert (await client.ask({"action": "x"}))["data"] == "everything"


async def test_a_regex_in_a_stream_has_its_groups_and_its_sends_go_there():
    async with client_of(library()) as client:
        assert await in_stream(client, "books", action="by_Jane") == frame("searched")
        answer = await client.receive_json_from()
        assert answer == {"stream": "books", "payload": frame("by_Jane", "Jane")}


async def test_events_go_to_the_stream_of_the_request():
    async with client_of(library()) as client:
        assert await in_stream(client, "books", action="tell") == {"plain": True}
        answer = await client.receive_json_from()
        assert answer == {"stream": "books", "payload": frame("told", {"a": 1})}
        answer = await client.receive_json_from()
        assert answer == {"stream": "books", "payload": frame("tell", None, 204)}


async def test_an_unknown_stream_is_answered_in_it():
    async with client_of(library()) as client:
        answer = await in_stream(client, "shop", action="list", request_id=1)
        assert answer == frame("list", None, 404, 1, ["Unknown stream: 'shop'."])
        assert (await in_stream(client, "books", action="list"))["data"] == ["Emma"]


async def test_a_socket_without_streams_answers_in_them_too():
    socket = router()
    socket.route(re.compile(".*"))(lambda socket: "any")
    socket.default_route(lambda socket: "default")
    async with client_of(socket) as client:
        answer = await in_stream(client, "shop", action="list", request_id=1)
        assert answer["errors"] == ["Unknown stream: 'shop'."]


@pytest.mark.parametrize("payload", [{}, [], None, 5, "list", {"action": None}])
async def test_a_payload_without_an_action_is_answered_in_its_stream(payload):
    async with client_of(library()) as client:
        answer = await client.ask({"stream": "books", "payload": payload})
        expected = frame(None, None, 405, None, ["Unable to find action in message body."])
        assert answer == {"stream": "books", "payload": expected}


@pytest.mark.parametrize("stream", [5, None, ["books"], {}])
async def test_a_stream_without_a_name_is_none(stream):
    async with client_of(library()) as client:
        answer = await client.ask({"stream": stream, "payload": {"action": "list"}})
        assert (answer["response_status"], answer["action"]) == (405, None)


async def test_the_default_route_of_a_stream_takes_what_is_left_of_it():
    async with client_of(library()) as client:
        answer = await in_stream(client, "people", action="greet", name="Jane")
        assert answer["data"] == ["greet", {"name": "Jane"}]
        assert (await in_stream(client, "people", request_id=1))["data"] == [None, {}]
        assert (await client.ask({"action": "greet"}))["response_status"] == 405


async def test_the_default_route_in_no_stream_takes_nothing_of_one():
    socket = library()
    socket.default_route(lambda socket: "default")
    async with client_of(socket) as client:
        assert (await client.ask({"action": "x"}))["data"] == "default"
        assert (await in_stream(client, "books", action="x"))["response_status"] == 405
        assert (await in_stream(client, "shop", action="x"))["response_status"] == 404


async def test_a_fault_in_one_stream_hurts_no_other(caplog):
    async with client_of(library()) as client:
        assert (await in_stream(client, "books", action="fail"))["response_status"] == 500
        assert (await in_stream(client, "people", action="list"))["data"] == ["Jane"]
        assert (await in_stream(client, "books", action="list"))["data"] == ["Emma"]


@pytest.mark.parametrize("separator", ["\x1f", "/", ".", ""])
async def test_no_client_can_write_a_key_of_a_stream_without_naming_it(separator):
    async with client_of(library()) as client:
        answer = await client.ask({"action": f"books{separator}by_Jane"})
        assert (answer["data"], answer["action"]) != ("Jane", "by_Jane")
        assert "stream" not in answer


async def test_the_same_id_in_two_streams_is_two_requests():
    async with client_of(library()) as client:
        requests = [
            {"stream": stream, "payload": {"action": "list", "request_id": 1}}
            for stream in ("books", "people")
        ]
        answers = [await client.ask(request) for request in requests]
        assert [answer["stream"] for answer in answers] == ["books", "people"]


async def test_all_hooks_run_before_accept_and_their_sends_go_to_their_streams():
    books, people, socket = router(), router(), router()

    @books.connect
    def greet(socket):
        socket.send_action("open", count=1)

    @people.connect
    async def agreet(socket):
        await asyncio.sleep(0.01)
        await socket.send_json({"hello": "people"})

    @socket.connect
    async def last(socket):
        socket.send_json({"ready": True})

    for name, included in {"books": books, "people": people}.items():
        included.route("list")(lambda socket: None)
        socket.include(included, stream=name)
    async with client_of(socket) as client:
        frames = [await client.receive_json_from() for _ in range(3)]
        assert frames == [
            {"ready": True},
            {"stream": "books", "payload": frame("open", {"count": 1})},
            {"stream": "people", "payload": {"hello": "people"}},
        ]


async def test_broadcasts_are_the_same_wherever_they_are_sent_from():
    books, socket = router(), router()

    @books.route("publish")
    async def publish(socket):
        await groups.asend_json("readers", {"stream": "books", "payload": {"a": 1}})
        await groups.asend_action("readers", "update", stream="books", request_id="s", data=[1])
        await groups.asend_action("readers", "update", pk=1)

    @socket.connect
    async def join(socket):
        await socket.join("readers")

    socket.include(books, stream="books")
    async with client_of(socket) as client:
        assert await in_stream(client, "books", action="publish") == {"a": 1}
        answer = await client.receive_json_from()
        assert answer == {"stream": "books", "payload": frame("update", [1], 200, "s")}
        assert await client.receive_json_from() == frame("update", {"pk": 1})


async def test_events_of_the_channel_layer_name_their_stream():
    books = router()

    @books.route("subscribe_instance")
    async def subscribe(socket, ref, *, pk: int):
        socket.state.ref = ref
        return None, 201

    class Handler(RoutedSocketHandler):
        groups = ("shelf",)

        async def book_changed(self, event):
            self.send_action(
                "update", stream="books", request_id=self.state.ref, data=event["book"]
            )

    socket = SocketRouter(handler=Handler, protocols=(DCRF(),))
    socket.include(books, stream="books")
    async with client_of(socket) as client:
        answer = await in_stream(client, "books", action="subscribe_instance", request_id=7, pk=1)
        assert answer["response_status"] == 201
        await get_channel_layer().group_send("shelf", {"type": "book.changed", "book": {"pk": 1}})
        answer = await client.receive_json_from()
        assert answer == {"stream": "books", "payload": frame("update", {"pk": 1}, 200, 7)}


def test_streams_that_no_protocol_has_are_refused():
    socket = SocketRouter()
    books = SocketRouter()
    books.route("list")(lambda socket: None)
    socket.include(books, stream="books")
    with pytest.raises(DeclarationError, match=r"reach the stream 'books'; .*protocols = \(DCRF"):
        _ = socket.Handler
